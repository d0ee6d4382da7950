#pragma once

// Which blocks are about to be referred to, and which the collector has condemned: the one lock
// under which the two meet (STORE.md 7). Memory only.

#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "common/sync/mutex.hpp"
#include "fileserver/store/blocks/block_store.hpp"

namespace fileserver::store {

// A set of names that may answer "in it" for one that is not, never the other way round. Fixed in
// size: when it is too full it answers "in it" always, which here only keeps garbage for longer.
class NameFilter {
 public:
  void clear();
  void add(const BlockName& name);
  [[nodiscard]] bool may_contain(const BlockName& name) const;

 private:
  // 2 MiB; at a million names one in five hundred is kept by mistake.
  static constexpr std::size_t kBits = std::size_t{1} << 24;
  std::vector<std::uint64_t> words_;  // empty: no name
};

// Safe from any thread; never blocks on the disk.
class BlockPins {
 public:
  struct Pinned {
    bool condemned = false;
    std::optional<NewBlock> record;  // written by an upload that still lives
  };
  // The name cannot be condemned until as many unpin() as pin(). What it was at that moment.
  [[nodiscard]] Pinned pin(const BlockName& name);
  void unpin(const BlockName& name);
  // The pinned block was written. Answers the record that counts: the first, if two uploads have
  // written it at once. That one's segment is in use until the last pin goes.
  [[nodiscard]] NewBlock set_record(const NewBlock& block);
  [[nodiscard]] std::optional<NewBlock> record(const BlockName& name) const;

  // Appends that begin now go into segments from `segment` on: those count as in use until
  // end_append() with the same number.
  void begin_append(std::uint32_t segment);
  void end_append(std::uint32_t segment);

  void begin_round();
  [[nodiscard]] std::vector<BlockName> condemn(std::span<const BlockName> names);
  void end_round();
  [[nodiscard]] bool is_condemned(const BlockName& name) const;

  [[nodiscard]] std::vector<BlockName> pinned() const;
  // Segments of records, and all from the lowest that an append may be writing up to `newest`.
  [[nodiscard]] std::vector<std::uint32_t> segments_in_use(std::uint32_t newest) const;

 private:
  struct Entry {
    std::uint64_t pins = 0;
    std::optional<NewBlock> record;
  };
  mutable common::Mutex mutex_;
  std::unordered_map<BlockName, Entry> entries_ GUARDED_BY(mutex_);
  std::multiset<std::uint32_t> appends_ GUARDED_BY(mutex_);
  bool in_round_ GUARDED_BY(mutex_) = false;
  std::unordered_set<BlockName> condemned_ GUARDED_BY(mutex_);
  NameFilter put_in_round_ GUARDED_BY(mutex_);
};

}  // namespace fileserver::store
