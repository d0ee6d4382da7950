#pragma once

#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "common/sync/mutex.hpp"
#include "fileserver/store/types.hpp"

namespace fileserver::store {

// Verified list blocks, the least recently used dropped first. Safe from any thread.
class ListCache {
 public:
  using Names = std::shared_ptr<const std::vector<BlockName>>;

  explicit ListCache(std::size_t bytes) : limit_(bytes) {}

  [[nodiscard]] Names find(const BlockName& name);  // null: not there
  void insert(const BlockName& name, Names names);
  [[nodiscard]] std::size_t bytes() const;  // what it holds, its own book-keeping included

 private:
  struct Kept {
    BlockName name;
    Names names;
  };
  static std::size_t cost(const Kept& kept);

  const std::size_t limit_;
  mutable common::Mutex mutex_;
  std::list<Kept> by_use_ GUARDED_BY(mutex_);  // the last used first
  std::unordered_map<BlockName, std::list<Kept>::iterator> by_name_ GUARDED_BY(mutex_);
  std::size_t bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace fileserver::store
