#include "fileserver/volumes/node_memory.hpp"

#include <algorithm>

namespace fileserver {

using common::Fid;
using common::MutexLock;

NodeMemory::NodeMemory(std::size_t most)
    : most_young_(std::max<std::size_t>(1, most / kShards / 2)) {}

NodeMemory::~NodeMemory() = default;

NodeMemory::Shard& NodeMemory::shard_of(Fid fid) {
  // Multiplied, since ids of neighbours differ in their lowest bits only.
  const std::uint64_t mixed = (fid.node.value ^ fid.volume.value << 20) * 0x9E3779B97F4A7C15ULL;
  return shards_[mixed >> 32 & (kShards - 1)];
}

std::optional<store::Attributes> NodeMemory::find(Fid fid, std::uint64_t state) {
  Shard& shard = shard_of(fid);
  const MutexLock lock(shard.mutex);
  if (const auto found = shard.young.find(fid); found != shard.young.end())
    return found->second.state == state ? std::optional(found->second.node) : std::nullopt;
  const auto found = shard.old.find(fid);
  if (found == shard.old.end() || found->second.state != state)
    return std::nullopt;
  const Entry entry = found->second;
  put(shard, fid, entry);
  return entry.node;
}

void NodeMemory::keep(Fid fid, std::uint64_t state, const store::Attributes& node) {
  Shard& shard = shard_of(fid);
  const MutexLock lock(shard.mutex);
  put(shard, fid, {state, node});
}

void NodeMemory::put(Shard& shard, Fid fid, const Entry& entry) {
  if (shard.young.size() >= most_young_ && !shard.young.contains(fid)) {
    shard.old = std::move(shard.young);
    shard.young.clear();
  }
  shard.young[fid] = entry;
}

std::size_t NodeMemory::size() {
  std::size_t total = 0;
  for (Shard& shard : shards_) {
    const MutexLock lock(shard.mutex);
    total += shard.young.size() + shard.old.size();
  }
  return total;
}

}  // namespace fileserver
