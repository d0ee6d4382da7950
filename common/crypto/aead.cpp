#include "common/crypto/aead.hpp"

#include <algorithm>
#include <array>

#include "common/crypto/algorithms.hpp"
#include "common/crypto/openssl.hpp"
#include "common/crypto/random.hpp"

namespace common::crypto {
namespace {

Status check_key(const Secret& key) {
  if (key.size() != kAeadKeyBytes) {
    return fail(ErrorCode::InvalidArgument, "an AES-256-GCM key has {} bytes, not {}",
                kAeadKeyBytes, key.size());
  }
  return {};
}

tl::unexpected<Error> gcm_failure() {
  return openssl::failure(ErrorCode::Internal, "AES-256-GCM");
}

// Longer associated data is a mistake: it is a purpose and a few ids.
constexpr std::size_t kMaxAssociated = std::size_t{1} << 20;

Status check_lengths(ByteView plaintext_sized, ByteView associated) {
  if (plaintext_sized.size() > kAeadMaxPlaintext || associated.size() > kMaxAssociated) {
    return fail(ErrorCode::TooLarge, "too long to seal: {} bytes with {} bytes associated",
                plaintext_sized.size(), associated.size());
  }
  return {};
}

// `output` begins with the nonce to use.
Status encrypt(const Secret& key, ByteView plaintext, ByteView associated,
               std::span<std::byte> output) {
  TROTH_TRY(const Algorithms* known, algorithms());
  const openssl::CipherCtx context(EVP_CIPHER_CTX_new());
  const auto body = output.subspan(kAeadNonceBytes, plaintext.size());
  int done = 0;
  if (!context ||
      EVP_EncryptInit_ex2(context.get(), known->aes_256_gcm, openssl::data(key.bytes()),
                          openssl::data(output), nullptr) != 1 ||
      EVP_EncryptUpdate(context.get(), nullptr, &done, openssl::data(associated),
                        static_cast<int>(associated.size())) != 1 ||
      EVP_EncryptUpdate(context.get(), openssl::writable(body), &done, openssl::data(plaintext),
                        static_cast<int>(plaintext.size())) != 1 ||
      done != static_cast<int>(plaintext.size()) ||
      EVP_EncryptFinal_ex(context.get(), nullptr, &done) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kAeadTagBytes,
                          output.last(kAeadTagBytes).data()) != 1) {
    return gcm_failure();
  }
  return {};
}

// False if the tag does not match.
Result<bool> decrypt(const Secret& key, ByteView sealed, ByteView associated,
                     std::span<std::byte> plaintext) {
  TROTH_TRY(const Algorithms* known, algorithms());
  const openssl::CipherCtx context(EVP_CIPHER_CTX_new());
  const ByteView body = sealed.subspan(kAeadNonceBytes, plaintext.size());
  // OpenSSL takes the expected tag through a pointer that is not const.
  std::array<std::byte, kAeadTagBytes> tag{};
  std::copy_n(sealed.last(kAeadTagBytes).begin(), kAeadTagBytes, tag.begin());
  int done = 0;
  if (!context ||
      EVP_DecryptInit_ex2(context.get(), known->aes_256_gcm, openssl::data(key.bytes()),
                          openssl::data(sealed), nullptr) != 1 ||
      EVP_DecryptUpdate(context.get(), nullptr, &done, openssl::data(associated),
                        static_cast<int>(associated.size())) != 1 ||
      EVP_DecryptUpdate(context.get(), openssl::writable(plaintext), &done, openssl::data(body),
                        static_cast<int>(body.size())) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kAeadTagBytes, tag.data()) != 1) {
    wipe(plaintext);
    return gcm_failure();
  }
  if (EVP_DecryptFinal_ex(context.get(), nullptr, &done) == 1)
    return true;
  wipe(plaintext);
  return false;
}

// Fills `out(size)` with the plaintext.
template <typename Out, typename Make, typename Span>
Result<Out> open_as(const Secret& key, ByteView sealed, ByteView associated, Make make, Span span) {
  if (sealed.size() < kAeadOverhead) {
    return fail(ErrorCode::Corrupt, "a sealed message is truncated");
  }
  Out out = make(sealed.size() - kAeadOverhead);
  TROTH_TRY_VOID(open_into(key, sealed, associated, span(out)));
  return out;
}

}  // namespace

Result<Secret> new_aead_key() {
  Secret key(kAeadKeyBytes);
  TROTH_TRY_VOID(random_bytes(key.writable()));
  return key;
}

Status seal_into(const Secret& key, ByteView plaintext, ByteView associated,
                 std::span<std::byte> sealed) {
  TROTH_TRY_VOID(check_key(key));
  TROTH_TRY_VOID(check_lengths(plaintext, associated));
  if (sealed.size() != plaintext.size() + kAeadOverhead) {
    return fail(ErrorCode::InvalidArgument, "{} bytes are sealed into {}, not {}", plaintext.size(),
                plaintext.size() + kAeadOverhead, sealed.size());
  }
  TROTH_TRY_VOID(random_bytes(sealed.first(kAeadNonceBytes)));
  return encrypt(key, plaintext, associated, sealed);
}

Status open_into(const Secret& key, ByteView sealed, ByteView associated,
                 std::span<std::byte> plaintext) {
  TROTH_TRY_VOID(check_key(key));
  if (sealed.size() < kAeadOverhead) {
    return fail(ErrorCode::Corrupt, "a sealed message is truncated");
  }
  if (plaintext.size() != sealed.size() - kAeadOverhead) {
    return fail(ErrorCode::InvalidArgument, "{} sealed bytes open into {}, not {}", sealed.size(),
                sealed.size() - kAeadOverhead, plaintext.size());
  }
  TROTH_TRY_VOID(check_lengths(plaintext, associated));
  TROTH_TRY(const bool authentic, decrypt(key, sealed, associated, plaintext));
  if (!authentic) {
    return fail(ErrorCode::Corrupt, "a sealed message does not open under this key and purpose");
  }
  return {};
}

Result<Bytes> seal(const Secret& key, ByteView plaintext, ByteView associated) {
  TROTH_TRY_VOID(check_lengths(plaintext, associated));
  Bytes sealed(plaintext.size() + kAeadOverhead);
  TROTH_TRY_VOID(seal_into(key, plaintext, associated, sealed));
  return sealed;
}

Result<Bytes> open(const Secret& key, ByteView sealed, ByteView associated) {
  return open_as<Bytes>(
      key, sealed, associated, [](std::size_t n) { return Bytes(n); },
      [](Bytes& out) { return std::span<std::byte>(out); });
}

Result<Secret> open_secret(const Secret& key, ByteView sealed, ByteView associated) {
  return open_as<Secret>(
      key, sealed, associated, [](std::size_t n) { return Secret(n); },
      [](Secret& out) { return out.writable(); });
}

Result<Bytes> seal_with_nonce_for_test(const Secret& key, ByteView nonce, ByteView plaintext,
                                       ByteView associated) {
  TROTH_TRY_VOID(check_key(key));
  TROTH_TRY_VOID(check_lengths(plaintext, associated));
  if (nonce.size() != kAeadNonceBytes) {
    return fail(ErrorCode::InvalidArgument, "a nonce has {} bytes", kAeadNonceBytes);
  }
  Bytes sealed(plaintext.size() + kAeadOverhead);
  std::copy(nonce.begin(), nonce.end(), sealed.begin());
  TROTH_TRY_VOID(encrypt(key, plaintext, associated, sealed));
  return sealed;
}

}  // namespace common::crypto
