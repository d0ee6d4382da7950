#include "fileserver/access/path_cache.hpp"

#include <algorithm>
#include <cstring>

namespace fileserver::access {

namespace {

// No caller's: fingerprints are hashes.
PathCache::Key of_directory(common::Fid directory) {
  PathCache::Key key;
  key.directory = directory;
  key.caller.fill(std::byte{0xFF});
  return key;
}

}  // namespace

PathCache::PathCache(std::size_t most)
    : most_young_(std::max<std::size_t>(1, most / kShards / 2)) {}

PathCache::~PathCache() = default;

std::size_t PathCache::Hash::operator()(const Key& key) const noexcept {
  std::size_t caller = 0;  // any eight bytes of a hash are one
  std::memcpy(&caller, key.caller.data(), sizeof caller);
  return caller ^ std::hash<common::Fid>{}(key.directory) * 0x9E3779B97F4A7C15ULL;
}

PathCache::Shard& PathCache::shard_of(const Key& key) {
  return shards_[Hash{}(key) >> 32 & (kShards - 1)];
}

PathCache::Known PathCache::find(const Key& key, std::uint64_t generation) {
  Shard& shard = shard_of(key);
  const common::MutexLock lock(shard.mutex);
  if (const auto found = shard.young.find(key); found != shard.young.end())
    return found->second.generation == generation ? found->second.known : Known{};
  const auto found = shard.old.find(key);
  if (found == shard.old.end() || found->second.generation != generation)
    return {};
  const Entry entry = found->second;
  put(shard, key, entry);
  return entry.known;
}

void PathCache::keep(const Key& key, std::uint64_t generation, const Known& known) {
  Shard& shard = shard_of(key);
  const common::MutexLock lock(shard.mutex);
  put(shard, key, {generation, known});
}

void PathCache::put(Shard& shard, const Key& key, const Entry& entry) {
  if (shard.young.size() >= most_young_ && !shard.young.contains(key)) {
    shard.old = std::move(shard.young);
    shard.young.clear();
  }
  shard.young[key] = entry;
}

std::optional<bool> PathCache::find_governed(common::Fid directory, std::uint64_t generation) {
  const Way way = find(of_directory(directory), generation).way;
  return way == Way::Closed ? std::nullopt : std::optional(way == Way::ByAdministration);
}

void PathCache::keep_governed(common::Fid directory, std::uint64_t generation, bool governed) {
  keep(of_directory(directory), generation, {governed ? Way::ByAdministration : Way::Open, 0});
}

std::size_t PathCache::size() {
  std::size_t total = 0;
  for (Shard& shard : shards_) {
    const common::MutexLock lock(shard.mutex);
    total += shard.young.size() + shard.old.size();
  }
  return total;
}

}  // namespace fileserver::access
