#pragma once

// Blocks by name: writes each once, reads verified, and keeps what is about to be referred to from
// being collected. Stands on Segments and on an index that somebody else keeps.

#include <functional>
#include <memory>
#include <unordered_set>

#include "fileserver/store/blocks/segments.hpp"
#include "fileserver/store/blocks/work_pool.hpp"

namespace fileserver::store {

// Where committed blocks are: the volume's table. Safe from any thread; may block on the disk.
class BlockIndex {
 public:
  virtual ~BlockIndex() = default;
  // In the order asked; nullopt: not indexed, or in quarantine.
  [[nodiscard]] virtual Result<std::vector<std::optional<Placement>>> find(
      std::span<const BlockName> names) = 0;
  // A record did not verify. Called at most once per name and life of the process; must not fail
  // the reader.
  virtual void found_bad(const BlockName& name, const Placement& placement,
                         const common::Error& why) = 0;
};

// A record that is written and not yet in the index.
struct NewBlock {
  BlockName name;
  BlockKind kind = BlockKind::Data;
  std::uint32_t raw_length = 0;
  Placement placement;
};

class BlockPins;

// The blocks of one change on its way to a commit. While it lives, nothing it names is condemned or
// deleted (I10) and its new records stay where they are. Movable; one thread at a time, but
// BlockStore::put_many may fill it from several.
class Upload {
 public:
  Upload(Upload&&) noexcept;
  Upload& operator=(Upload&&) noexcept;
  ~Upload();  // drops the pins

  // Records that the commit must enter into the index: where the name has no row, and in place of a
  // row that is condemned or in quarantine; any other row is as good and stays.
  [[nodiscard]] std::span<const NewBlock> written() const { return written_; }
  // Names believed to be in the index, which the commit must look at.
  [[nodiscard]] std::span<const BlockName> reused() const { return reused_; }

 private:
  friend class BlockStore;
  explicit Upload(std::shared_ptr<BlockPins> pins);
  std::shared_ptr<BlockPins> pins_;
  std::vector<NewBlock> written_;
  std::vector<BlockName> reused_;
  std::unordered_set<BlockName> names_;
};

struct BlockStoreOptions {
  bool compress = true;
  std::size_t list_cache_bytes = 8 << 20;  // verified list blocks
  // Another place to get a block from when ours is bad or missing (a replica). Its answer is
  // verified, and the read goes on with it.
  std::function<Result<Bytes>(const BlockName&, BlockKind)> fetch_elsewhere;
};

// Safe from any thread.
class BlockStore {
 public:
  // All must outlive this object.
  BlockStore(Segments& segments, BlockIndex& index, WorkPool& pool, BlockStoreOptions options);
  ~BlockStore();

  [[nodiscard]] Upload begin_upload();

  // Names the block, and writes it unless it is there: indexed and not condemned, or on its way in
  // this or another upload. `bytes` is canonical and not empty. The pin comes before the look.
  [[nodiscard]] Result<BlockName> put(Upload& upload, BlockKind kind, ByteView bytes);
  // The same for many at once: hashed in parallel, small ones written in one call.
  [[nodiscard]] Result<std::vector<BlockName>> put_many(Upload& upload, BlockKind kind,
                                                        std::span<const ByteView> blocks);
  // A block that somebody else named; InvalidArgument if that is not its name.
  [[nodiscard]] Status put_named(Upload& upload, const BlockName& name, BlockKind kind,
                                 ByteView bytes);
  // The upload will refer to this block, which must be there: NotFound if it is not.
  [[nodiscard]] Status reuse(Upload& upload, const BlockName& name);
  // The commit found that reused names are gone: forgets that they were believed to be there, so
  // that putting them again writes them.
  void forget_reused(Upload& upload);

  // Reads and verifies; returns the length. Looks again if the block was moved meanwhile. NotFound:
  // not indexed and not on its way.
  [[nodiscard]] Result<std::size_t> read(const BlockName& name, BlockKind kind,
                                         std::span<std::byte> into);
  // A list block's names, from the cache if it is there.
  [[nodiscard]] Result<std::shared_ptr<const std::vector<BlockName>>> read_list(
      const BlockName& name);
  // Data blocks straight into their places, looked up together, read and verified in parallel. A
  // block shorter than its place is followed by zeros; a hole is zeros.
  struct Wanted {
    BlockName name;
    std::span<std::byte> into;
    std::size_t skip = 0;  // bytes of the block before `into` begins
  };
  [[nodiscard]] Status read_many(std::span<const Wanted> wanted);

  // --- for the collector and for commits ---
  // From now on put() takes these names for absent, except those that are pinned or were put since
  // begin_round(); returns what was condemned.
  void begin_round();
  [[nodiscard]] std::vector<BlockName> condemn(std::span<const BlockName> names);
  void end_round();  // nothing is condemned any more
  [[nodiscard]] bool is_condemned(const BlockName& name) const;
  // Names that uploads hold, so that marking includes them.
  [[nodiscard]] std::vector<BlockName> pinned() const;
  // Segments that hold records of unfinished uploads. Whoever wants to empty some asks
  // Segments::list() first: into a segment that was closed then, nobody begins to write later.
  [[nodiscard]] std::vector<std::uint32_t> segments_in_use() const;

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace fileserver::store
