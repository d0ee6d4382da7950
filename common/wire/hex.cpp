#include "common/wire/hex.hpp"

namespace common::wire {
namespace {

int digit_value(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  return -1;
}

Result<std::uint64_t> u64_from_hex(std::string_view text) {
  std::uint64_t value = 0;
  for (const char c : text) {
    const int digit = digit_value(c);
    if (digit < 0)
      return fail(ErrorCode::Protocol, "not lower-case hexadecimal");
    value = value << 4 | static_cast<unsigned>(digit);
  }
  return value;
}

}  // namespace

std::string to_hex(ByteView bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::byte b : bytes) {
    text += kDigits[std::to_integer<unsigned>(b >> 4)];
    text += kDigits[std::to_integer<unsigned>(b & std::byte{15})];
  }
  return text;
}

Status from_hex_into(std::string_view text, std::span<std::byte> out) {
  if (text.size() != out.size() * 2) {
    return fail(ErrorCode::Protocol, "expected {} hexadecimal digits, found {}", out.size() * 2,
                text.size());
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int high = digit_value(text[2 * i]);
    const int low = digit_value(text[2 * i + 1]);
    if (high < 0 || low < 0)
      return fail(ErrorCode::Protocol, "not lower-case hexadecimal");
    out[i] = static_cast<std::byte>(high << 4 | low);
  }
  return {};
}

Result<Bytes> from_hex(std::string_view text) {
  if (text.size() % 2 != 0)
    return fail(ErrorCode::Protocol, "an odd number of hexadecimal digits");
  Bytes out(text.size() / 2);
  TROTH_TRY_VOID(from_hex_into(text, out));
  return out;
}

std::string to_hex(const OperationId& id) {
  return fmt::format("{:016x}{:016x}", id.high, id.low);
}

Result<OperationId> operation_id_from_hex(std::string_view text) {
  if (text.size() != 32)
    return fail(ErrorCode::Protocol, "expected 32 hexadecimal digits");
  TROTH_TRY(const std::uint64_t high, u64_from_hex(text.substr(0, 16)));
  TROTH_TRY(const std::uint64_t low, u64_from_hex(text.substr(16)));
  return OperationId{.high = high, .low = low};
}

}  // namespace common::wire
