#include "common/wire/binary.hpp"

#include <algorithm>

#include "common/utf8.hpp"

namespace common::wire {

BinaryWriter& BinaryWriter::integer(std::uint64_t value, unsigned size) {
  for (unsigned i = size; i-- > 0;)
    buffer_.push_back(static_cast<std::byte>(value >> (8 * i)));
  return *this;
}

BinaryWriter& BinaryWriter::fixed(ByteView bytes) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  return *this;
}

BinaryWriter& BinaryWriter::bytes(ByteView bytes) {
  u32(static_cast<std::uint32_t>(bytes.size()));
  return fixed(bytes);
}

Result<ByteView> BinaryReader::fixed(std::size_t size) {
  if (size > remaining()) {
    return fail(ErrorCode::Protocol, "cut off at byte {}: {} more expected, {} there", at_, size,
                remaining());
  }
  const ByteView bytes = input_.subspan(at_, size);
  at_ += size;
  return bytes;
}

Status BinaryReader::fixed(std::span<std::byte> out) {
  TROTH_TRY(const ByteView bytes, fixed(out.size()));
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return {};
}

Result<std::uint64_t> BinaryReader::integer(unsigned size) {
  TROTH_TRY(const ByteView bytes, fixed(std::size_t{size}));
  std::uint64_t value = 0;
  for (const std::byte b : bytes)
    value = value << 8 | std::to_integer<std::uint64_t>(b);
  return value;
}

Result<std::uint8_t> BinaryReader::u8() {
  TROTH_TRY(const std::uint64_t value, integer(1));
  return static_cast<std::uint8_t>(value);
}
Result<std::uint16_t> BinaryReader::u16() {
  TROTH_TRY(const std::uint64_t value, integer(2));
  return static_cast<std::uint16_t>(value);
}
Result<std::uint32_t> BinaryReader::u32() {
  TROTH_TRY(const std::uint64_t value, integer(4));
  return static_cast<std::uint32_t>(value);
}
Result<std::uint64_t> BinaryReader::u64() {
  return integer(8);
}

Result<bool> BinaryReader::boolean() {
  TROTH_TRY(const std::uint64_t value, integer(1));
  if (value > 1)
    return fail(ErrorCode::Protocol, "byte {} is {}, not 0 or 1", at_ - 1, value);
  return value == 1;
}

Result<ByteView> BinaryReader::bytes(std::size_t most) {
  TROTH_TRY(const std::uint32_t size, u32());
  if (size > most) {
    return fail(ErrorCode::Protocol, "at byte {}: {} bytes, at most {} allowed", at_, size, most);
  }
  return fixed(std::size_t{size});
}

Result<std::string> BinaryReader::text(std::size_t most) {
  TROTH_TRY(const ByteView raw, bytes(most));
  if (!is_valid_utf8(as_text(raw))) {
    return fail(ErrorCode::Protocol, "the text that ends at byte {} is not UTF-8", at_);
  }
  return std::string(as_text(raw));
}

Status BinaryReader::finish() const {
  if (remaining() == 0)
    return {};
  return fail(ErrorCode::Protocol, "{} bytes too many after byte {}", remaining(), at_);
}

}  // namespace common::wire
