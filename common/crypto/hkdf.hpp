#pragma once

// HKDF with SHA-256 (RFC 5869). Safe from any thread.

#include <cstddef>
#include <string_view>

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

}  // namespace common::crypto
