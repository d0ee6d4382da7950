#include "common/crypto/scrypt.hpp"

#include <openssl/core_names.h>

#include <array>

#include "common/crypto/algorithms.hpp"
#include "common/crypto/openssl.hpp"

namespace common::crypto {
namespace {

constexpr std::size_t kMaxOutput = 1024;    // keys, not streams
constexpr std::size_t kMaxPassword = 4096;  // bounds what a remote caller can make us hash

}  // namespace

Result<ScryptParameters> ScryptParameters::make(unsigned log2_n, unsigned r, unsigned p) {
  if (log2_n < kMinLog2N || log2_n > kMaxLog2N || r < 8 || r > 64 || p < 1 || p > kMaxP) {
    return fail(ErrorCode::InvalidArgument,
                "scrypt parameters log2(N)={} r={} p={} are outside {}..{}, 8..64, 1..{}", log2_n,
                r, p, kMinLog2N, kMaxLog2N, kMaxP);
  }
  const ScryptParameters parameters(log2_n, r, p);
  if (parameters.memory_bytes() > kMaxMemory) {
    return fail(ErrorCode::ResourceExhausted, "scrypt with log2(N)={} r={} needs {} MiB, over {}",
                log2_n, r, parameters.memory_bytes() >> 20, kMaxMemory >> 20);
  }
  return parameters;
}

Result<Secret> scrypt(const Secret& password, ByteView salt, const ScryptParameters& parameters,
                      std::size_t length) {
  if (salt.size() < kMinSaltBytes) {
    return fail(ErrorCode::InvalidArgument, "a salt has at least {} bytes, not {}", kMinSaltBytes,
                salt.size());
  }
  if (password.size() > kMaxPassword) {
    return fail(ErrorCode::TooLarge, "a password has at most {} bytes", kMaxPassword);
  }
  return scrypt_unchecked_for_test(password.bytes(), salt, std::uint64_t{1} << parameters.log2_n(),
                                   parameters.r(), parameters.p(), length);
}

Result<Secret> scrypt_unchecked_for_test(ByteView password, ByteView salt, std::uint64_t n,
                                         std::uint32_t r, std::uint32_t p, std::size_t length) {
  if (length == 0 || length > kMaxOutput) {
    return fail(ErrorCode::InvalidArgument, "scrypt gives 1 to {} bytes here, not {}", kMaxOutput,
                length);
  }
  TROTH_TRY(const Algorithms* known, algorithms());
  const openssl::KdfCtx context(EVP_KDF_CTX_new(known->scrypt));
  // The working memory plus what the library adds to it.
  std::uint64_t memory = ScryptParameters::kMaxMemory + (std::uint64_t{2} << 20);
  const std::array<OSSL_PARAM, 7> parameters{
      openssl::octets(OSSL_KDF_PARAM_PASSWORD, password),
      openssl::octets(OSSL_KDF_PARAM_SALT, salt),
      OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
      OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
      OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
      OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
      OSSL_PARAM_construct_end(),
  };
  Secret out(length);
  if (!context || EVP_KDF_derive(context.get(), openssl::writable(out.writable()), length,
                                 parameters.data()) != 1) {
    return openssl::failure(ErrorCode::Internal, "scrypt");
  }
  return out;
}

}  // namespace common::crypto
