#pragma once

// Authenticated encryption: AES-256-GCM with random nonces.
//
// A sealed message is exactly: 12 bytes nonce, the ciphertext (as long as the plaintext), 16 bytes
// tag. The associated data is authenticated but not contained: both sides must already know it, and
// it should say what the message is for, so that a seal made for one purpose opens for no other.
//
// With random 96-bit nonces one key may seal at most 2^32 messages (NIST SP 800-38D, 8.3): whoever
// holds a key that lives long derives sub-keys (hkdf.hpp) or rotates it. Safe from any thread.

#include <cstddef>
#include <span>

#include "common/bytes.hpp"
#include "common/crypto/secret.hpp"
#include "common/result.hpp"

namespace common::crypto {

inline constexpr std::size_t kAeadKeyBytes = 32;
inline constexpr std::size_t kAeadNonceBytes = 12;
inline constexpr std::size_t kAeadTagBytes = 16;
inline constexpr std::size_t kAeadOverhead = kAeadNonceBytes + kAeadTagBytes;
// Far above any message or block of ours, far below OpenSSL's int lengths.
inline constexpr std::size_t kAeadMaxPlaintext = std::size_t{1} << 30;

// A fresh key.
Result<Secret> new_aead_key();

Result<Bytes> seal(const Secret& key, ByteView plaintext, ByteView associated);

// The plaintext, or Corrupt if anything at all differs from what was sealed (the bytes, the
// associated data, the key): the reason is not told apart, and no plaintext is given out.
Result<Bytes> open(const Secret& key, ByteView sealed, ByteView associated);
// The same where the plaintext is itself a secret.
Result<Secret> open_secret(const Secret& key, ByteView sealed, ByteView associated);

// Into memory of the caller, for large messages. Output sizes must be exact: plaintext +
// kAeadOverhead and sealed - kAeadOverhead; input and output must not overlap. When open_into
// fails, `plaintext` has been wiped.
Status seal_into(const Secret& key, ByteView plaintext, ByteView associated,
                 std::span<std::byte> sealed);
Status open_into(const Secret& key, ByteView sealed, ByteView associated,
                 std::span<std::byte> plaintext);

// For known-answer tests only: everybody else must let the nonce be random.
Result<Bytes> seal_with_nonce_for_test(const Secret& key, ByteView nonce, ByteView plaintext,
                                       ByteView associated);

}  // namespace common::crypto
