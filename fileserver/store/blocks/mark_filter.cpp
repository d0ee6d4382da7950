#include "fileserver/store/blocks/mark_filter.hpp"

#include <algorithm>

namespace fileserver::store {

namespace {

constexpr std::size_t kFirstWords = std::size_t{1} << 14;  // 128 KiB
constexpr std::size_t kMostWords = std::size_t{1} << 22;   // 32 MiB
// Ten bits and seven looks a name: fewer than one in a hundred is kept by mistake.
constexpr std::uint64_t kBitsPerName = 10;
constexpr unsigned kLooks = 7;

}  // namespace

MarkFilter::MarkFilter(std::uint64_t salt) : salt_(salt) {
  stages_.push_back({std::vector<std::uint64_t>(kFirstWords), 0});
}

// Names are hashes already: the salt has to shuffle them, not to spread them.
MarkFilter::Hash MarkFilter::hash(const BlockName& name) const {
  Hash result;
  std::memcpy(&result.first, name.bytes.data() + 8, sizeof result.first);
  std::memcpy(&result.step, name.bytes.data() + 16, sizeof result.step);
  const auto shuffle = [&](std::uint64_t value) {
    value = (value ^ salt_) * 0xA24BAED4963EE407U;
    return value ^ (value >> 32);
  };
  return {shuffle(result.first), shuffle(result.step) | 1};
}

bool MarkFilter::contains(const Stage& stage, Hash hash) {
  const std::uint64_t mask = stage.words.size() * 64 - 1;
  for (unsigned look = 0; look < kLooks; ++look) {
    const std::uint64_t bit = (hash.first + look * hash.step) & mask;
    if ((stage.words[bit / 64] >> (bit % 64) & 1) == 0)
      return false;
  }
  return true;
}

bool MarkFilter::may_contain(const BlockName& name) const {
  const Hash where = hash(name);
  return std::ranges::any_of(stages_, [&](const Stage& stage) { return contains(stage, where); });
}

void MarkFilter::add(const BlockName& name) {
  if (may_contain(name))
    return;
  const bool full = stages_.back().names * kBitsPerName >= stages_.back().words.size() * 64;
  if (full && stages_.back().words.size() < kMostWords)
    stages_.push_back({std::vector<std::uint64_t>(stages_.back().words.size() * 2), 0});
  Stage& stage = stages_.back();
  const std::uint64_t mask = stage.words.size() * 64 - 1;
  const Hash where = hash(name);
  for (unsigned look = 0; look < kLooks; ++look) {
    const std::uint64_t bit = (where.first + look * where.step) & mask;
    stage.words[bit / 64] |= std::uint64_t{1} << (bit % 64);
  }
  ++stage.names;
  ++added_;
}

}  // namespace fileserver::store
