#pragma once

// What nodes were asked for lately, of all volumes: who asks for one again while nothing has been
// committed in its volume need not look at the database.

#include <array>
#include <optional>
#include <unordered_map>

#include "common/ids.hpp"
#include "common/sync/mutex.hpp"
#include "fileserver/store/types.hpp"

namespace fileserver {

// Safe from any thread; never blocks but for a look into a table.
class NodeMemory {
 public:
  // An entry takes some 250 bytes.
  static constexpr std::size_t kMostEntries = 65'536;
  explicit NodeMemory(std::size_t most = kMostEntries);
  NodeMemory(const NodeMemory&) = delete;
  NodeMemory& operator=(const NodeMemory&) = delete;
  ~NodeMemory();

  // The present attributes in that state of the volume (Volume::read_state(), not 0), if they are
  // known. States of different volumes, or of one that was opened anew, are never equal.
  [[nodiscard]] std::optional<store::Attributes> find(common::Fid fid, std::uint64_t state);
  // `state` was asked for before the node was read.
  void keep(common::Fid fid, std::uint64_t state, const store::Attributes& node);

  [[nodiscard]] std::size_t size();

 private:
  struct Entry {
    std::uint64_t state = 0;
    store::Attributes node;
  };
  using Table = std::unordered_map<common::Fid, Entry>;
  // When the young half is full it becomes the old one, and what was not asked for since goes.
  struct Shard {
    common::Mutex mutex;
    Table young GUARDED_BY(mutex);
    Table old GUARDED_BY(mutex);
  };
  static constexpr std::size_t kShards = 16;  // more than there are cores to meet in one

  Shard& shard_of(common::Fid fid);
  void put(Shard& shard, common::Fid fid, const Entry& entry) REQUIRES(shard.mutex);

  const std::size_t most_young_;
  std::array<Shard, kShards> shards_;
};

}  // namespace fileserver
