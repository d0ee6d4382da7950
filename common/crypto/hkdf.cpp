#include "common/crypto/hkdf.hpp"

#include <openssl/core_names.h>

#include <array>

#include "common/crypto/algorithms.hpp"
#include "common/crypto/openssl.hpp"

namespace common::crypto {
namespace {

constexpr std::size_t kMaxOutput = std::size_t{255} * 32;  // RFC 5869, 2.3
constexpr std::size_t kMinMaster = 16;  // a shorter master is a password: that is scrypt's work
constexpr std::string_view kPrefix = "troth/v1/";  // so that no other protocol derives our keys

}  // namespace

Result<Secret> hkdf_sha256(ByteView key_material, ByteView salt, ByteView info,
                           std::size_t length) {
  if (length == 0 || length > kMaxOutput) {
    return fail(ErrorCode::InvalidArgument, "HKDF-SHA256 gives 1 to {} bytes, not {}", kMaxOutput,
                length);
  }
  TROTH_TRY(const Algorithms* known, algorithms());
  const openssl::KdfCtx context(EVP_KDF_CTX_new(known->hkdf));
  char digest[] = "SHA2-256";
  const std::array<OSSL_PARAM, 5> parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      openssl::octets(OSSL_KDF_PARAM_KEY, key_material),
      openssl::octets(OSSL_KDF_PARAM_SALT, salt),
      openssl::octets(OSSL_KDF_PARAM_INFO, info),
      OSSL_PARAM_construct_end(),
  };
  Secret out(length);
  if (!context || EVP_KDF_derive(context.get(), openssl::writable(out.writable()), length,
                                 parameters.data()) != 1) {
    return openssl::failure(ErrorCode::Internal, "HKDF-SHA256");
  }
  return out;
}

Result<Secret> derive_key(const Secret& master, std::string_view label, ByteView context) {
  if (master.size() < kMinMaster) {
    return fail(ErrorCode::InvalidArgument, "a master key has at least {} bytes, not {}",
                kMinMaster, master.size());
  }
  if (label.empty() || label.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::InvalidArgument, "a key label is not empty and has no NUL byte");
  }
  const ByteView prefix = as_bytes(kPrefix);
  const ByteView name = as_bytes(label);
  Bytes info(prefix.begin(), prefix.end());
  info.insert(info.end(), name.begin(), name.end());
  info.push_back(std::byte{0});  // ends the label: ("a", "bc") and ("ab", "c") differ
  info.insert(info.end(), context.begin(), context.end());
  constexpr std::size_t kKeyBytes = 32;
  return hkdf_sha256(master.bytes(), {}, info, kKeyBytes);
}

}  // namespace common::crypto
