#pragma once

// HKDF with SHA-256 (RFC 5869). Safe from any thread.

#include <cstddef>
#include <string_view>
#include <utility>

#include "common/bytes.hpp"
#include "common/crypto/secret.hpp"
#include "common/result.hpp"

namespace common::crypto {

// The RFC's function: extract with `salt`, expand with `info` to `length` bytes (at most 8160).
Result<Secret> hkdf_sha256(ByteView key_material, ByteView salt, ByteView info, std::size_t length);

// A 32-byte key for one purpose. `label` names the purpose ("ticket-seal") and is a constant of the
// program without NUL bytes; `context` is what else the key must depend on (a cell id, a version).
// Different labels or contexts give independent keys; the master itself is used for nothing else.
Result<Secret> derive_key(const Secret& master, std::string_view label, ByteView context = {});

// derive_key for several labels under one master: the master is prepared once, and then each key
// costs one HMAC. key(label, context) is derive_key(master, label, context), byte for byte.
// Immutable once made, so any number of threads may derive from one object.
class KeyDeriver {
 public:
  static Result<KeyDeriver> create(const Secret& master);

  [[nodiscard]] Result<Secret> key(std::string_view label, ByteView context = {}) const;

 private:
  explicit KeyDeriver(Secret extracted) : extracted_(std::move(extracted)) {}
  Secret extracted_;  // RFC 5869's PRK
};

}  // namespace common::crypto
