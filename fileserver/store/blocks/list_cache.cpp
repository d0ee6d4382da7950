#include "fileserver/store/blocks/list_cache.hpp"

namespace fileserver::store {

using common::MutexLock;

// Nodes of the two containers, the vector and its counter, roughly.
constexpr std::size_t kBookKeeping = 200;

std::size_t ListCache::cost(const Kept& kept) {
  return kept.names->size() * sizeof(BlockName) + kBookKeeping;
}

ListCache::Names ListCache::find(const BlockName& name) {
  MutexLock lock(mutex_);
  const auto found = by_name_.find(name);
  if (found == by_name_.end())
    return nullptr;
  by_use_.splice(by_use_.begin(), by_use_, found->second);
  return found->second->names;
}

void ListCache::insert(const BlockName& name, Names names) {
  MutexLock lock(mutex_);
  if (by_name_.contains(name))
    return;
  by_use_.push_front({name, std::move(names)});
  by_name_.emplace(name, by_use_.begin());
  bytes_ += cost(by_use_.front());
  while (bytes_ > limit_ && !by_use_.empty()) {
    bytes_ -= cost(by_use_.back());
    by_name_.erase(by_use_.back().name);
    by_use_.pop_back();
  }
}

std::size_t ListCache::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

}  // namespace fileserver::store
