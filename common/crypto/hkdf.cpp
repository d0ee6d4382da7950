#include "common/crypto/hkdf.hpp"

#include <openssl/core_names.h>

#include <array>

#include "common/crypto/algorithms.hpp"
#include "common/crypto/hash.hpp"
#include "common/crypto/openssl.hpp"

namespace common::crypto {
namespace {

constexpr std::size_t kMaxHkdfOutput = std::size_t{255} * 32;  // RFC 5869, 2.3
constexpr std::size_t kMinMaster = 16;  // a shorter master is a password: that is scrypt's work
constexpr std::string_view kPrefix = "troth/v1/";  // so that no other protocol derives our keys

}  // namespace

Result<Secret> hkdf_sha256(ByteView key_material, ByteView salt, ByteView info,
                           std::size_t length) {
  if (length == 0 || length > kMaxHkdfOutput) {
    return fail(ErrorCode::InvalidArgument, "HKDF-SHA256 gives 1 to {} bytes, not {}",
                kMaxHkdfOutput, length);
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
  TROTH_TRY(const KeyDeriver deriver, KeyDeriver::create(master));
  return deriver.key(label, context);
}

Result<KeyDeriver> KeyDeriver::create(const Secret& master) {
  if (master.size() < kMinMaster) {
    return fail(ErrorCode::InvalidArgument, "a master key has at least {} bytes, not {}",
                kMinMaster, master.size());
  }
  // RFC 5869, 2.2, without a salt. Straight HMAC: OpenSSL's KDF object costs several times as much
  // to set up as the whole derivation.
  constexpr Digest kNoSalt{};
  TROTH_TRY(Digest extracted, hmac_sha256(kNoSalt, master.bytes()));
  KeyDeriver deriver(Secret::copy_of(extracted));
  wipe(extracted);
  return deriver;
}

Result<Secret> KeyDeriver::key(std::string_view label, ByteView context) const {
  if (label.empty() || label.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::InvalidArgument, "a key label is not empty and has no NUL byte");
  }
  // RFC 5869, 2.3: one block is one key. The NUL ends the label: ("a", "bc") and ("ab", "c")
  // differ.
  constexpr std::byte kEndOfLabel{0};
  constexpr std::byte kFirstBlock{1};
  TROTH_TRY(Digest derived, hmac_sha256(extracted_.bytes(), {as_bytes(kPrefix), as_bytes(label),
                                                             ByteView(&kEndOfLabel, 1), context,
                                                             ByteView(&kFirstBlock, 1)}));
  Secret key = Secret::copy_of(derived);
  wipe(derived);
  return key;
}

}  // namespace common::crypto
