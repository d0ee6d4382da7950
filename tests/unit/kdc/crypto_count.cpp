// OpenSSL's functions wrapped by the linker (--wrap, in meson.build): all of common/crypto goes
// through them.

#include "crypto_count.hpp"

#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <atomic>

namespace {
std::array<std::atomic<std::uint64_t>, 5> counts{};
}  // namespace

namespace kdc_test {
CryptoCount crypto_count() {
  CryptoCount now{};
  for (std::size_t i = 0; i < now.size(); ++i)
    now[i] = counts[i];
  return now;
}
}  // namespace kdc_test

extern "C" {

int __real_EVP_MAC_final(EVP_MAC_CTX*, unsigned char*, std::size_t*, std::size_t);
int __wrap_EVP_MAC_final(EVP_MAC_CTX* context, unsigned char* out, std::size_t* size,
                         std::size_t most) {
  ++counts[0];
  return __real_EVP_MAC_final(context, out, size, most);
}

int __real_EVP_KDF_derive(EVP_KDF_CTX*, unsigned char*, std::size_t, const OSSL_PARAM*);
int __wrap_EVP_KDF_derive(EVP_KDF_CTX* context, unsigned char* key, std::size_t size,
                          const OSSL_PARAM* parameters) {
  ++counts[1];
  return __real_EVP_KDF_derive(context, key, size, parameters);
}

int __real_EVP_DigestFinal_ex(EVP_MD_CTX*, unsigned char*, unsigned int*);
int __wrap_EVP_DigestFinal_ex(EVP_MD_CTX* context, unsigned char* out, unsigned int* size) {
  ++counts[2];
  return __real_EVP_DigestFinal_ex(context, out, size);
}

int __real_EVP_DecryptFinal_ex(EVP_CIPHER_CTX*, unsigned char*, int*);
int __wrap_EVP_DecryptFinal_ex(EVP_CIPHER_CTX* context, unsigned char* out, int* size) {
  ++counts[3];
  return __real_EVP_DecryptFinal_ex(context, out, size);
}

int __real_EVP_EncryptFinal_ex(EVP_CIPHER_CTX*, unsigned char*, int*);
int __wrap_EVP_EncryptFinal_ex(EVP_CIPHER_CTX* context, unsigned char* out, int* size) {
  ++counts[4];
  return __real_EVP_EncryptFinal_ex(context, out, size);
}

}  // extern "C"
