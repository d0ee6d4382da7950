#pragma once

// Where plaintexts with keys in them lie while they are read or written. For .cpp files of this
// folder only.

#include <span>

#include "common/crypto/secret.hpp"

namespace common::ticket {

// Locked memory of this thread's own, wiped when the object dies. Pages of locked memory cost more
// than everything else that is done with a ticket, so a thread keeps its own; a second Scratch of
// one thread at one time gets memory for itself.
class Scratch {
 public:
  // At most kMaxSealedTicket bytes.
  explicit Scratch(std::size_t size);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }

 private:
  crypto::Secret own_;
  std::span<std::byte> bytes_;
  bool shared_ = false;  // bytes_ is the thread's
};

}  // namespace common::ticket
