#pragma once

// A fixed pool of independent shards; a key always maps to the same one. The shard class knows
// nothing of its siblings.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

namespace common {

// Keeps neighbouring shards out of each other's cache lines.
inline constexpr std::size_t kCacheLine = 64;

template <typename Shard>
class Striped {
 public:
  // `count` shards, at least one; memory is O(count), whatever the number of keys.
  explicit Striped(std::size_t count) : shards_(std::max<std::size_t>(count, 1)) {
    for (auto& slot : shards_)
      slot = std::make_unique<Slot>();
  }

  [[nodiscard]] std::size_t size() const { return shards_.size(); }
  [[nodiscard]] Shard& at(std::size_t index) { return shards_[index]->shard; }

  // `hash` must be well mixed in its low bits.
  [[nodiscard]] std::size_t index_of(std::size_t hash) const { return hash % shards_.size(); }
  [[nodiscard]] Shard& of(std::size_t hash) { return at(index_of(hash)); }

  // The distinct shard indices of several hashes, ascending: the order in which an operation on
  // several keys must lock them.
  [[nodiscard]] std::vector<std::size_t> in_lock_order(
      const std::vector<std::size_t>& hashes) const {
    std::vector<std::size_t> order;
    order.reserve(hashes.size());
    for (std::size_t hash : hashes)
      order.push_back(index_of(hash));
    std::sort(order.begin(), order.end());
    order.erase(std::unique(order.begin(), order.end()), order.end());
    return order;
  }

 private:
  struct alignas(kCacheLine) Slot {
    Shard shard;
  };
  std::vector<std::unique_ptr<Slot>> shards_;
};

}  // namespace common
