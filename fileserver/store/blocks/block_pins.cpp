#include "fileserver/store/blocks/block_pins.hpp"

#include <algorithm>

namespace fileserver::store {

using common::MutexLock;

void NameFilter::clear() {
  words_ = {};
}

// Names are hashes, so any of their bits will do; those that std::hash takes are left to others.
void NameFilter::add(const BlockName& name) {
  words_.resize(kBits / 64);
  for (std::size_t i = 1; i < 4; ++i) {
    std::uint64_t part = 0;
    std::memcpy(&part, name.bytes.data() + 8 * i, sizeof part);
    words_[part % kBits / 64] |= std::uint64_t{1} << (part % 64);
  }
}

bool NameFilter::may_contain(const BlockName& name) const {
  if (words_.empty())
    return false;
  for (std::size_t i = 1; i < 4; ++i) {
    std::uint64_t part = 0;
    std::memcpy(&part, name.bytes.data() + 8 * i, sizeof part);
    if ((words_[part % kBits / 64] >> (part % 64) & 1) == 0)
      return false;
  }
  return true;
}

BlockPins::Pinned BlockPins::pin(const BlockName& name) {
  MutexLock lock(mutex_);
  Entry& entry = entries_[name];
  ++entry.pins;
  if (in_round_)
    put_in_round_.add(name);
  return {condemned_.contains(name), entry.record};
}

void BlockPins::unpin(const BlockName& name) {
  MutexLock lock(mutex_);
  const auto found = entries_.find(name);
  if (found != entries_.end() && --found->second.pins == 0)
    entries_.erase(found);
}

NewBlock BlockPins::set_record(const NewBlock& block) {
  MutexLock lock(mutex_);
  auto& record = entries_[block.name].record;
  if (!record)
    record = block;
  return *record;
}

std::optional<NewBlock> BlockPins::record(const BlockName& name) const {
  MutexLock lock(mutex_);
  const auto found = entries_.find(name);
  return found == entries_.end() ? std::nullopt : found->second.record;
}

void BlockPins::begin_append(std::uint32_t segment) {
  MutexLock lock(mutex_);
  appends_.insert(segment);
}

void BlockPins::end_append(std::uint32_t segment) {
  MutexLock lock(mutex_);
  appends_.erase(appends_.find(segment));
}

void BlockPins::begin_round() {
  MutexLock lock(mutex_);
  in_round_ = true;
  condemned_.clear();
  put_in_round_.clear();
  // These may be committed and unpinned before the marking ends, at a place it has passed already.
  for (const auto& [name, entry] : entries_)
    put_in_round_.add(name);
}

std::vector<BlockName> BlockPins::condemn(std::span<const BlockName> names) {
  MutexLock lock(mutex_);
  std::vector<BlockName> condemned;
  if (!in_round_)
    return condemned;
  for (const BlockName& name : names) {
    if (put_in_round_.may_contain(name))  // as everything that is pinned
      continue;
    condemned_.insert(name);
    condemned.push_back(name);
  }
  return condemned;
}

void BlockPins::end_round() {
  MutexLock lock(mutex_);
  in_round_ = false;
  condemned_.clear();
  put_in_round_.clear();
}

bool BlockPins::is_condemned(const BlockName& name) const {
  MutexLock lock(mutex_);
  return condemned_.contains(name);
}

std::vector<BlockName> BlockPins::pinned() const {
  MutexLock lock(mutex_);
  std::vector<BlockName> names;
  names.reserve(entries_.size());
  for (const auto& [name, entry] : entries_)
    names.push_back(name);
  return names;
}

std::vector<std::uint32_t> BlockPins::segments_in_use(std::uint32_t newest) const {
  MutexLock lock(mutex_);
  std::set<std::uint32_t> segments;
  for (const auto& [name, entry] : entries_) {
    if (entry.record)
      segments.insert(entry.record->placement.segment);
  }
  if (!appends_.empty()) {
    for (std::uint32_t segment = std::max(*appends_.begin(), 1U); segment <= newest; ++segment)
      segments.insert(segment);
  }
  return {segments.begin(), segments.end()};
}

}  // namespace fileserver::store
