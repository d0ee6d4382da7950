#pragma once

// SHA-256 and HMAC-SHA256 through OpenSSL's EVP, which uses the CPU's own instructions.

#include <array>
#include <cstddef>
#include <initializer_list>
#include <memory>

#include "common/bytes.hpp"
#include "common/crypto/secret.hpp"
#include "common/result.hpp"

struct evp_md_ctx_st;
struct evp_mac_ctx_st;

namespace common::crypto {

using Digest = std::array<std::byte, 32>;

// One-shot forms; safe from any thread (each keeps a context of its own). Failing is possible only
// when OpenSSL is out of memory or restricted.
Result<Digest> sha256(ByteView data);
Result<Digest> hmac_sha256(ByteView key, ByteView data);
// The tag of the pieces one after the other, as if they lay in one buffer.
Result<Digest> hmac_sha256(ByteView key, std::initializer_list<ByteView> pieces);

// True if both have the same length and bytes. Takes the same time wherever they differ; use it
// for every tag, digest and token. Only the lengths may show in its timing.
bool constant_time_equal(ByteView a, ByteView b);

// SHA-256 of pieces. One thread at a time.
class Sha256 {
 public:
  static Result<Sha256> create();

  Status update(ByteView data);
  // The digest of everything since creation or the last finish(); ready for the next message.
  Result<Digest> finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  explicit Sha256(std::unique_ptr<evp_md_ctx_st, Free> context) : context_(std::move(context)) {}
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

// HMAC-SHA256 under one key for many messages: the key is set up once. One thread at a time.
class HmacSha256 {
 public:
  static Result<HmacSha256> create(const Secret& key);

  Status update(ByteView data);
  Result<Digest> finish();  // as Sha256::finish

  // update and finish in one.
  Result<Digest> mac(ByteView data);

 private:
  struct Free {
    void operator()(evp_mac_ctx_st* context) const;
  };
  explicit HmacSha256(std::unique_ptr<evp_mac_ctx_st, Free> context)
      : context_(std::move(context)) {}
  std::unique_ptr<evp_mac_ctx_st, Free> context_;
};

}  // namespace common::crypto
