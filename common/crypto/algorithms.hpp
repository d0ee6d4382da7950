#pragma once

// OpenSSL's algorithm objects, looked up once in a process. A look-up by name costs several
// microseconds and a lock, which is more than most uses of the algorithm itself.

#include "common/crypto/openssl.hpp"

namespace common::crypto {

struct Algorithms {
  EVP_MD* sha256 = nullptr;
  EVP_MAC* hmac = nullptr;
  EVP_KDF* hkdf = nullptr;
  EVP_KDF* scrypt = nullptr;
  EVP_CIPHER* aes_256_gcm = nullptr;
};

// Safe from any thread; the first call does the look-up. Lives until the process ends. Fails with
// Unsupported if this OpenSSL lacks one of them (a restricted provider configuration).
Result<const Algorithms*> algorithms();

}  // namespace common::crypto
