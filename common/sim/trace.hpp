#pragma once

// What a run did: always as a hash, on request also as lines for people.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/sim/random.hpp"

namespace common::sim {

// Order-sensitive hash of everything that happened in a run. Equal hashes of two runs of one plan
// are the proof that the code under test is deterministic: no clock, thread, address or iteration
// order of a hash table has leaked into it.
class TraceHash {
 public:
  constexpr void add(std::uint64_t value) {
    value_ = std::rotl((value_ ^ value) * 0x9FB21C651E98DF25ULL, 29) + 0x632BE59BD9B4E019ULL;
  }
  void add(std::span<const std::byte> bytes) {
    add(bytes.size());
    std::uint64_t word = 0;
    std::size_t filled = 0;
    for (std::byte b : bytes) {
      word = (word << 8) | std::to_integer<std::uint64_t>(b);
      if (++filled % 8 == 0)
        add(std::exchange(word, 0));
    }
    if (filled % 8 != 0)
      add(word);
  }
  [[nodiscard]] constexpr std::uint64_t value() const { return mix(value_); }

 private:
  std::uint64_t value_ = 0x7C0FFEE5EED5EED5ULL;
};

// Lines of one run, the newest kept: what led to a violation stands at the end.
class TraceLines {
 public:
  // Bound on memory; a shrunk trace is a few dozen lines, an unshrunk one is read from its end.
  static constexpr std::size_t kMaxLines = 20'000;

  void add(std::string line) {
    if (lines_.size() >= kMaxLines) {
      lines_.erase(lines_.begin(), lines_.begin() + kMaxLines / 2);
      cut_ = true;
    }
    lines_.push_back(std::move(line));
  }
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }
  [[nodiscard]] bool cut() const { return cut_; }

 private:
  std::vector<std::string> lines_;
  bool cut_ = false;
};

}  // namespace common::sim
