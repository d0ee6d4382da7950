#pragma once

// Which directories a caller may search, with every directory above: verdicts of one access
// generation of a volume (R7). Only what is allowed is kept; a refusal is judged anew, so that its
// reason can be told.

#include <array>
#include <memory>
#include <optional>
#include <unordered_map>

#include "common/ids.hpp"
#include "common/sync/mutex.hpp"
#include "fileserver/access/caller.hpp"

namespace fileserver::access {

// Safe from any thread; never blocks but for a look into a table.
class PathCache {
 public:
  // An entry takes some 100 bytes.
  static constexpr std::size_t kMostEntries = 131'072;
  explicit PathCache(std::size_t most = kMostEntries);
  ~PathCache();
  PathCache(const PathCache&) = delete;
  PathCache& operator=(const PathCache&) = delete;

  struct Key {
    common::Fid directory;
    Caller::Fingerprint caller{};
    friend bool operator==(const Key&, const Key&) = default;
  };
  // How a caller came to the end of a way, which has so many directories below the root.
  enum class Way : std::uint8_t { Closed, Open, ByAdministration };
  struct Known {
    Way way = Way::Closed;
    std::uint32_t depth = 0;
    friend bool operator==(const Known&, const Known&) = default;
  };
  // Closed: not known.
  [[nodiscard]] Known find(const Key& key, std::uint64_t generation);
  void keep(const Key& key, std::uint64_t generation, const Known& known);

  // Whether a list governs a directory, which changes with the generation, too; nullopt: not known.
  [[nodiscard]] std::optional<bool> find_governed(common::Fid directory, std::uint64_t generation);
  void keep_governed(common::Fid directory, std::uint64_t generation, bool governed);

  [[nodiscard]] std::size_t size();

 private:
  struct Hash {
    std::size_t operator()(const Key& key) const noexcept;
  };
  struct Entry {
    std::uint64_t generation = 0;
    Known known;
  };
  using Table = std::unordered_map<Key, Entry, Hash>;
  // When the young half is full it becomes the old one, and what was not asked for since goes.
  struct Shard {
    common::Mutex mutex;
    Table young GUARDED_BY(mutex);
    Table old GUARDED_BY(mutex);
  };
  static constexpr std::size_t kShards = 16;  // more than there are cores to meet in one

  Shard& shard_of(const Key& key);
  void put(Shard& shard, const Key& key, const Entry& entry) REQUIRES(shard.mutex);

  const std::size_t most_young_;
  std::array<Shard, kShards> shards_;
};

}  // namespace fileserver::access
