#pragma once

// scrypt (RFC 7914): turns a password into a key at a price an attacker has to pay per guess.

#include <cstddef>
#include <cstdint>

#include "common/bytes.hpp"
#include "common/crypto/secret.hpp"
#include "common/result.hpp"

namespace common::crypto {

// Cost of one password guess; cannot be made weaker than the floor. The memory needed is
// 128 * 2^log2_n * r bytes.
class ScryptParameters {
 public:
  static constexpr unsigned kMinLog2N = 15;  // 2^15, r 8: 32 MiB, about 0.1 s
  static constexpr unsigned kMaxLog2N = 20;
  static constexpr std::uint64_t kMaxMemory = std::uint64_t{256} << 20;  // for one guess
  static constexpr unsigned kMaxP = 16;                                  // bounds the time as well

  // Refuses what is weaker than the floor or dearer than the caps; stored or received parameters
  // come in through here.
  static Result<ScryptParameters> make(unsigned log2_n, unsigned r, unsigned p);
  static ScryptParameters standard() { return {kMinLog2N, 8, 1}; }

  [[nodiscard]] unsigned log2_n() const { return log2_n_; }
  [[nodiscard]] unsigned r() const { return r_; }
  [[nodiscard]] unsigned p() const { return p_; }
  [[nodiscard]] std::uint64_t memory_bytes() const { return (std::uint64_t{128} << log2_n_) * r_; }

 private:
  ScryptParameters(unsigned log2_n, unsigned r, unsigned p) : log2_n_(log2_n), r_(r), p_(p) {}
  unsigned log2_n_;
  unsigned r_;
  unsigned p_;
};

inline constexpr std::size_t kMinSaltBytes = 16;

// `length` bytes (1 to 1024) from the password. Takes about 0.1 s of CPU and memory_bytes(), so a
// server runs it on a bounded number of threads. Safe from any thread. The salt is random and at
// least kMinSaltBytes long.
Result<Secret> scrypt(const Secret& password, ByteView salt, const ScryptParameters& parameters,
                      std::size_t length = 32);

// For known-answer tests only: the published vectors lie below our floor.
Result<Secret> scrypt_unchecked_for_test(ByteView password, ByteView salt, std::uint64_t n,
                                         std::uint32_t r, std::uint32_t p, std::size_t length);

}  // namespace common::crypto
