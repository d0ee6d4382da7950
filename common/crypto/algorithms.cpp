#include "common/crypto/algorithms.hpp"

namespace common::crypto {
namespace {

// Never freed: threads still running while the process exits may be using them.
const Algorithms* look_up() {
  auto* found = new Algorithms{
      .sha256 = EVP_MD_fetch(nullptr, "SHA2-256", nullptr),
      .hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr),
      .hkdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr),
      .scrypt = EVP_KDF_fetch(nullptr, "SCRYPT", nullptr),
      .aes_256_gcm = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr),
  };
  return found;
}

}  // namespace

Result<const Algorithms*> algorithms() {
  static const Algorithms* const found = look_up();
  if (found->sha256 == nullptr || found->hmac == nullptr || found->hkdf == nullptr ||
      found->scrypt == nullptr || found->aes_256_gcm == nullptr) {
    return openssl::failure(ErrorCode::Unsupported,
                            "this OpenSSL offers no SHA-256, HMAC, HKDF, scrypt or AES-256-GCM; "
                            "check the providers in openssl.cnf");
  }
  return found;
}

}  // namespace common::crypto
