#pragma once

// When something last happened to each of very many things, in fixed room: things that fall into
// one slot share the later stamp. So an answer "not since" is always true, and "since" may be
// wrong.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace fileserver::promises {

class Stamps {
 public:
  explicit Stamps(std::size_t slots)
      : stamps_(std::bit_ceil(std::max<std::size_t>(slots, 1)), 0), mask_(stamps_.size() - 1) {}

  // `clock` never goes down from call to call.
  void set(std::uint64_t hash, std::uint64_t clock) { stamps_[hash & mask_] = clock; }
  [[nodiscard]] bool since(std::uint64_t hash, std::uint64_t clock) const {
    return stamps_[hash & mask_] > clock;
  }
  [[nodiscard]] std::size_t memory_bytes() const { return stamps_.capacity() * sizeof(stamps_[0]); }

 private:
  std::vector<std::uint64_t> stamps_;
  std::uint64_t mask_;
};

}  // namespace fileserver::promises
