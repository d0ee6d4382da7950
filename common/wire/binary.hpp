#pragma once

// Fixed binary encodings: big-endian integers, byte strings behind a 32-bit length. Flat by design:
// a decoder is a straight line of reads that ends in finish(), so nothing a peer sends can recurse
// or leave bytes unread.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/bytes.hpp"
#include "common/result.hpp"

namespace common::wire {

// Appends to a buffer of its own.
class BinaryWriter {
 public:
  BinaryWriter& u8(std::uint8_t value) { return integer(value, 1); }
  BinaryWriter& u16(std::uint16_t value) { return integer(value, 2); }
  BinaryWriter& u32(std::uint32_t value) { return integer(value, 4); }
  BinaryWriter& u64(std::uint64_t value) { return integer(value, 8); }
  BinaryWriter& boolean(bool value) { return u8(value ? 1 : 0); }
  // Bytes whose number both sides know.
  BinaryWriter& fixed(ByteView bytes);
  // Length and bytes. The caller's bytes are below 4 GiB, as everything that we put into one
  // message is by far.
  BinaryWriter& bytes(ByteView bytes);
  BinaryWriter& text(std::string_view text) { return bytes(as_bytes(text)); }

  [[nodiscard]] const Bytes& view() const { return buffer_; }
  [[nodiscard]] Bytes take() { return std::move(buffer_); }

 private:
  BinaryWriter& integer(std::uint64_t value, unsigned size);
  Bytes buffer_;
};

// Reads what a BinaryWriter wrote. Every failure is Protocol, and says at which byte. What it
// returns as a view lives as long as the input.
class BinaryReader {
 public:
  explicit BinaryReader(ByteView input) : input_(input) {}

  Result<std::uint8_t> u8();
  Result<std::uint16_t> u16();
  Result<std::uint32_t> u32();
  Result<std::uint64_t> u64();
  // 0 or 1, nothing else.
  Result<bool> boolean();
  Status fixed(std::span<std::byte> out);
  Result<ByteView> fixed(std::size_t size);
  // Refuses a length over `most` before looking at the bytes.
  Result<ByteView> bytes(std::size_t most);
  // As bytes(), and must be UTF-8.
  Result<std::string> text(std::size_t most);

  [[nodiscard]] std::size_t remaining() const { return input_.size() - at_; }
  // The last call of every decoder: fails if anything is left.
  [[nodiscard]] Status finish() const;

 private:
  Result<std::uint64_t> integer(unsigned size);
  ByteView input_;
  std::size_t at_ = 0;
};

}  // namespace common::wire
