#pragma once

// Random numbers that are the same on every machine and compiler. <random>'s engines are portable
// but its distributions are not, so a seed found on one machine would not replay on another.
// Not for secrets.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "common/clock.hpp"

namespace common::sim {

// Probabilities are whole parts per million: floating point may round differently elsewhere.
using Ppm = std::uint32_t;
inline constexpr Ppm kAlways = 1'000'000;

// The finaliser of splitmix64: a bijection that spreads every input bit over the whole word. Used
// as a hash wherever a decision must depend on *what* is decided and not on how many numbers were
// drawn before, so that removing one fault from a run leaves unrelated decisions as they were.
constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

constexpr std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  return mix(mix(a) ^ b);
}

constexpr std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = text.size();
  for (char c : text)
    hash = mix(hash, static_cast<unsigned char>(c));
  return hash;
}

// `bits` (uniform) scaled to [0, bound) by multiplication; the bias is below bound / 2^64.
constexpr std::uint64_t scale(std::uint64_t bits, std::uint64_t bound) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(bits) * bound) >> 64);
}

// xoshiro256**, seeded through splitmix64. A plain value: copying it copies the stream.
class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) {
    for (auto& word : state_)
      word = seed = mix(seed);
  }

  // An independent stream for one purpose; does not advance this one.
  [[nodiscard]] constexpr Random fork(std::string_view purpose) const {
    return Random(mix(state_[0], hash_text(purpose)));
  }

  constexpr std::uint64_t next() {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // In [0, bound); 0 when bound is 0.
  constexpr std::uint64_t below(std::uint64_t bound) { return scale(next(), bound); }

  // In [low, high], both included; high >= low.
  constexpr std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
  }
  constexpr Duration between(Duration low, Duration high) {
    return Duration{between(low.count(), high.count())};
  }

  constexpr bool chance(Ppm probability) { return below(kAlways) < probability; }

  // One of a non-empty list.
  template <typename T>
  constexpr const T& pick(std::span<const T> choices) {
    return choices[below(choices.size())];
  }

  template <typename T>
  constexpr void shuffle(std::span<T> items) {
    for (std::size_t i = items.size(); i > 1; --i)
      std::swap(items[i - 1], items[below(i)]);
  }

 private:
  std::uint64_t state_[4]{};
};

}  // namespace common::sim
