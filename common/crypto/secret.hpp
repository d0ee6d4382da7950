#pragma once

#include <cstddef>
#include <iosfwd>
#include <span>

#include "common/bytes.hpp"

namespace common::crypto {

// Bytes that must not leak: keys, passwords, private key files. Held in locked memory that core
// dumps leave out (where the kernel allows), wiped when the object dies. It can be moved, never
// copied by accident, never compared with ==, printed, formatted, logged or converted to text:
// each of these is a compile error. It knows nothing of what its bytes mean.
//
// One thread at a time, as any value. Not for bulk data: large secrets cost pages of locked memory.
class Secret {
 public:
  Secret() = default;
  // `size` zero bytes, to be filled through writable().
  explicit Secret(std::size_t size);
  // A copy of `bytes`; the caller wipes the source (wipe()) if it was its own.
  static Secret copy_of(ByteView bytes);

  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  // A second copy, on purpose.
  [[nodiscard]] Secret clone() const { return copy_of(bytes()); }

  // Valid until the object is moved from, assigned to or destroyed.
  [[nodiscard]] ByteView bytes() const { return {data_, size_}; }
  [[nodiscard]] std::span<std::byte> writable() { return {data_, size_}; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

  bool operator==(const Secret&) const = delete;
  friend std::ostream& operator<<(std::ostream&, const Secret&) = delete;

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Overwrites memory in a way the compiler may not remove.
void wipe(std::span<std::byte> bytes);

}  // namespace common::crypto
