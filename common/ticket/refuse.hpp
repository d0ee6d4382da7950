#pragma once

// How the .cpp files of this folder turn failures into the one refusal.

#include <algorithm>
#include <initializer_list>

#include "common/bytes.hpp"
#include "common/crypto/hash.hpp"
#include "common/crypto/secret.hpp"
#include "common/result.hpp"
#include "common/ticket/seal.hpp"

namespace common::ticket {

// refused(), unless the failure is of this machine (OpenSSL out of memory or restricted), which
// must not look like a wrong password.
[[nodiscard]] tl::unexpected<Error> refuse(Error error);

// Whether `given` is HMAC of the pieces under `key`; refused() if not.
inline Status check_mac(const crypto::Secret& key, std::initializer_list<ByteView> pieces,
                        const crypto::Digest& given) {
  auto expected = crypto::hmac_sha256(key.bytes(), pieces);
  if (!expected)
    return refuse(std::move(expected).error());
  if (!crypto::constant_time_equal(*expected, given))
    return refused();
  return {};
}

// Puts HMAC of the pieces into the last 32 bytes of a message.
inline Status put_mac(const crypto::Secret& key, std::initializer_list<ByteView> pieces,
                      Bytes& message) {
  TROTH_TRY(const crypto::Digest mac, crypto::hmac_sha256(key.bytes(), pieces));
  std::copy(mac.begin(), mac.end(), message.end() - static_cast<std::ptrdiff_t>(mac.size()));
  return {};
}

}  // namespace common::ticket
