#include "common/crypto/hash.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>

#include "common/crypto/algorithms.hpp"
#include "common/crypto/openssl.hpp"

namespace common::crypto {
namespace {

tl::unexpected<Error> sha_failure() {
  return openssl::failure(ErrorCode::Internal, "SHA-256");
}
tl::unexpected<Error> hmac_failure() {
  return openssl::failure(ErrorCode::Internal, "HMAC-SHA256");
}

Status start(EVP_MD_CTX* context) {
  TROTH_TRY(const Algorithms* known, algorithms());
  if (context == nullptr || EVP_DigestInit_ex2(context, known->sha256, nullptr) != 1) {
    return sha_failure();
  }
  return {};
}

// OpenSSL refuses a null key, so an empty one is given as a pointer to something.
Status start(EVP_MAC_CTX* context, ByteView key) {
  static constexpr unsigned char kNothing = 0;
  char name[] = "SHA2-256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
      OSSL_PARAM_construct_end(),
  };
  if (EVP_MAC_init(context, key.empty() ? &kNothing : openssl::data(key), key.size(), parameters) !=
      1) {
    return hmac_failure();
  }
  return {};
}

Result<Digest> finish_digest(EVP_MD_CTX* context) {
  Digest digest;
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(context, openssl::writable(std::span(digest)), &size) != 1 ||
      size != digest.size()) {
    return sha_failure();
  }
  return digest;
}

Result<Digest> finish_mac(EVP_MAC_CTX* context) {
  Digest digest;
  std::size_t size = 0;
  if (EVP_MAC_final(context, openssl::writable(std::span(digest)), &size, digest.size()) != 1 ||
      size != digest.size()) {
    return hmac_failure();
  }
  return digest;
}

// A thread's context with the digest set: setting it looks the digest up by name, which costs more
// than the MAC of a small message.
class ThreadMac {
 public:
  static Result<EVP_MAC_CTX*> get() {
    thread_local const openssl::MacCtx context = make();
    if (!context)
      return hmac_failure();
    return context.get();
  }

 private:
  static openssl::MacCtx make() {
    const auto known = algorithms();
    openssl::MacCtx context(known ? EVP_MAC_CTX_new((*known)->hmac) : nullptr);
    if (context && !start(context.get(), {}))
      context.reset();
    return context;
  }
};

Status set_key(EVP_MAC_CTX* context, ByteView key) {
  static constexpr unsigned char kNothing = 0;
  if (EVP_MAC_init(context, key.empty() ? &kNothing : openssl::data(key), key.size(), nullptr) != 1)
    return hmac_failure();
  return {};
}

Result<Digest> mac_once(EVP_MAC_CTX* context, ByteView key,
                        std::initializer_list<ByteView> pieces) {
  TROTH_TRY_VOID(set_key(context, key));
  for (const ByteView piece : pieces) {
    if (EVP_MAC_update(context, openssl::data(piece), piece.size()) != 1)
      return hmac_failure();
  }
  return finish_mac(context);
}

}  // namespace

Result<Digest> sha256(ByteView data) {
  // Making a context costs more than hashing a small message.
  thread_local const openssl::MdCtx context(EVP_MD_CTX_new());
  TROTH_TRY_VOID(start(context.get()));
  if (EVP_DigestUpdate(context.get(), data.data(), data.size()) != 1)
    return sha_failure();
  return finish_digest(context.get());
}

Result<Digest> hmac_sha256(ByteView key, ByteView data) {
  return hmac_sha256(key, std::initializer_list<ByteView>{data});
}

Result<Digest> hmac_sha256(ByteView key, std::initializer_list<ByteView> pieces) {
  TROTH_TRY(EVP_MAC_CTX * context, ThreadMac::get());
  auto tag = mac_once(context, key, pieces);
  // What the context keeps is derived from its key: the empty key takes its place.
  TROTH_TRY_VOID(set_key(context, {}));
  return tag;
}

bool constant_time_equal(ByteView a, ByteView b) {
  return a.size() == b.size() && (a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0);
}

void Sha256::Free::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

Result<Sha256> Sha256::create() {
  std::unique_ptr<evp_md_ctx_st, Free> context(EVP_MD_CTX_new());
  TROTH_TRY_VOID(start(context.get()));
  return Sha256(std::move(context));
}

Status Sha256::update(ByteView data) {
  if (EVP_DigestUpdate(context_.get(), data.data(), data.size()) != 1)
    return sha_failure();
  return {};
}

Result<Digest> Sha256::finish() {
  TROTH_TRY(const Digest digest, finish_digest(context_.get()));
  TROTH_TRY_VOID(start(context_.get()));
  return digest;
}

void HmacSha256::Free::operator()(evp_mac_ctx_st* context) const {
  EVP_MAC_CTX_free(context);
}

Result<HmacSha256> HmacSha256::create(const Secret& key) {
  TROTH_TRY(const Algorithms* known, algorithms());
  std::unique_ptr<evp_mac_ctx_st, Free> context(EVP_MAC_CTX_new(known->hmac));
  if (!context)
    return hmac_failure();
  TROTH_TRY_VOID(start(context.get(), key.bytes()));
  return HmacSha256(std::move(context));
}

Status HmacSha256::update(ByteView data) {
  if (EVP_MAC_update(context_.get(), openssl::data(data), data.size()) != 1)
    return hmac_failure();
  return {};
}

Result<Digest> HmacSha256::finish() {
  TROTH_TRY(const Digest digest, finish_mac(context_.get()));
  // No key: the one it has is kept.
  if (EVP_MAC_init(context_.get(), nullptr, 0, nullptr) != 1)
    return hmac_failure();
  return digest;
}

Result<Digest> HmacSha256::mac(ByteView data) {
  TROTH_TRY_VOID(update(data));
  return finish();
}

}  // namespace common::crypto
