#pragma once

// The insides of BlockStore, for its own sources: block_store.cpp (what callers see), block_put.cpp
// (writing) and block_read.cpp (reading).

#include "common/sync/locked.hpp"
#include "fileserver/store/blocks/block_pins.hpp"
#include "fileserver/store/blocks/block_store.hpp"
#include "fileserver/store/blocks/list_cache.hpp"

namespace fileserver::store {

struct BlockStore::State {
  State(Segments& segments_, BlockIndex& index_, WorkPool& pool_, BlockStoreOptions options_)
      : segments(segments_),
        index(index_),
        pool(pool_),
        options(std::move(options_)),
        lists(options.list_cache_bytes) {}

  // One block on its way into an upload.
  struct Item {
    BlockName name;
    ByteView bytes;
    bool condemned = false;  // when it was pinned: its row, if there is one, is about to go
  };
  // An upload while one call fills it, maybe from several threads.
  struct Filling {
    Upload& upload;
    common::Mutex mutex = {};  // of what the upload holds
  };

  [[nodiscard]] Status for_each(std::size_t count, std::size_t bytes,
                                const std::function<Status(std::size_t)>& task);
  [[nodiscard]] Status put_share(Filling& filling, BlockKind kind, std::span<const ByteView> blocks,
                                 std::span<BlockName> names);
  [[nodiscard]] Status settle(Filling& filling, BlockKind kind, std::vector<Item> items);
  // These three take out of `items` what they have settled.
  void pin_absent(Filling& filling, std::vector<Item>& items);
  [[nodiscard]] Status drop_indexed(Filling& filling, std::vector<Item>& items);
  [[nodiscard]] Status write(Filling& filling, BlockKind kind, std::vector<Item>& items);
  void keep_list(const BlockName& name, ByteView bytes);

  [[nodiscard]] bool is_known_bad(const BlockName& name, const Placement& placement);
  void report_bad(const BlockName& name, const Placement& placement, const common::Error& why);
  [[nodiscard]] Result<std::optional<Placement>> find(const BlockName& name);
  [[nodiscard]] Result<std::size_t> read(const BlockName& name, BlockKind kind,
                                         std::span<std::byte> into,
                                         std::optional<Placement> first_look);
  [[nodiscard]] Result<std::size_t> elsewhere(const BlockName& name, BlockKind kind,
                                              std::span<std::byte> into,
                                              const common::Error& otherwise);
  // Whole blocks are verified together, the rest one by one.
  [[nodiscard]] Status read_group(std::span<const Wanted> wanted,
                                  std::span<const std::optional<Placement>> placements);
  [[nodiscard]] Status read_wanted(const Wanted& wanted, const std::optional<Placement>& placement);

  Segments& segments;
  BlockIndex& index;
  WorkPool& pool;
  const BlockStoreOptions options;
  const std::shared_ptr<BlockPins> pins = std::make_shared<BlockPins>();
  ListCache lists;
  common::Locked<std::unordered_map<BlockName, Placement>> bad;
};

}  // namespace fileserver::store
