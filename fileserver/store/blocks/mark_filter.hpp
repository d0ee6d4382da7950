#pragma once

#include <cstdint>
#include <vector>

#include "fileserver/store/types.hpp"

namespace fileserver::store {

// The names that a round of the collector has marked, in ten to twenty bits each. It never denies a
// name that was added. It may claim one that was not: that block is kept until a later round, which
// hashes differently. So it decides only what is kept, never what is looked through.
class MarkFilter {
 public:
  // Rounds differ in `salt`.
  explicit MarkFilter(std::uint64_t salt);

  void add(const BlockName& name);
  [[nodiscard]] bool may_contain(const BlockName& name) const;
  [[nodiscard]] std::uint64_t added() const { return added_; }

 private:
  // Grows by filters twice as large each, so that it costs little where there is little. The last
  // is only filled up further: 64 MiB in all hold 50 million names, 6 TiB of full blocks.
  struct Stage {
    std::vector<std::uint64_t> words;
    std::uint64_t names = 0;
  };
  struct Hash {
    std::uint64_t first = 0;
    std::uint64_t step = 0;
  };
  [[nodiscard]] Hash hash(const BlockName& name) const;
  [[nodiscard]] static bool contains(const Stage& stage, Hash hash);

  std::uint64_t salt_;
  std::uint64_t added_ = 0;
  std::vector<Stage> stages_;
};

}  // namespace fileserver::store
