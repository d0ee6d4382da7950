#pragma once

// Files as trees of blocks (STORE.md 1). Every function takes a content and returns a new one; none
// touches metadata. Their result is canonical: equal bytes and size give an equal root (where there
// is no tail). Blocks on the disk and CPU: callers hold no lock. Safe from any thread (an Upload:
// from one at a time).
//
// Subtrees that a change takes over unread, from its base or from the source of copy_range, are not
// pinned: a terabyte has eight million names. So a commit must see in its transaction that the rows
// its base and its source came from are retained still; then they were so all along, and every
// round of the collector has marked what is below them (I10).

#include "fileserver/store/blocks/block_store.hpp"

namespace fileserver::store {

// One piece of a change. Pieces are applied in order; they may overlap and lie beyond the end.
struct Edit {
  enum class Kind : std::uint8_t {
    Data,   // `bytes` at `offset`
    Block,  // a data block that is stored already, at a multiple of kBlockBytes: covers `length`
            // bytes (zeros after its own end), which is kBlockBytes or reaches the new end.
            // NotFound if it is not here: its bytes are needed
    Hole,   // zeros over `length` bytes
  };
  Kind kind = Kind::Data;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;  // of Block and Hole
  ByteView bytes;            // must stay until the call returns
  BlockName block;
};

// 0: the root is a data block.
[[nodiscard]] unsigned tree_height(std::uint64_t tree_size);

// The content of these bytes alone.
[[nodiscard]] Result<Content> make_content(BlockStore& blocks, Upload& upload, ByteView bytes);

// `base` changed by `edits`, then cut or grown with zeros to `size`; without edits it folds the
// tail into the tree. Writes only blocks that change and the lists above them, and reads of the old
// only what stays of these. TooLarge above kMaxFileSize; InvalidArgument for a misplaced Block
// edit. `base` stays readable and unchanged.
[[nodiscard]] Result<Content> edit_content(BlockStore& blocks, Upload& upload, const Content& base,
                                           std::span<const Edit> edits, std::uint64_t size);

// `bytes` after the end of `base`: into the tail while they fit, else folded into the tree.
[[nodiscard]] Result<Content> append_content(BlockStore& blocks, Upload& upload,
                                             const Content& base, ByteView bytes);

// `to` with [from_offset, +length) of `from` at to_offset, growing it if need be. Where source and
// destination agree modulo kBlockBytes no byte moves but at the two ends. Bytes beyond the end of
// `from` are not copied.
[[nodiscard]] Result<Content> copy_range(BlockStore& blocks, Upload& upload, const Content& from,
                                         std::uint64_t from_offset, std::uint64_t length,
                                         const Content& to, std::uint64_t to_offset);

// Fills `into` from `offset`; fewer bytes only at the end. Verified; large reads on several cores.
[[nodiscard]] Result<std::size_t> read_content(BlockStore& blocks, const Content& content,
                                               std::uint64_t offset, std::span<std::byte> into);

// The first offset at or after `offset` that is data (or hole); the size of the file if there is
// none. The end of the file counts as hole. As lseek: precise to a block.
[[nodiscard]] Result<std::uint64_t> next_data(BlockStore& blocks, const Content& content,
                                              std::uint64_t offset);
[[nodiscard]] Result<std::uint64_t> next_hole(BlockStore& blocks, const Content& content,
                                              std::uint64_t offset);

// The names of the data blocks of [first, first + count) in units of kBlockBytes, holes included;
// fewer where the tree ends.
[[nodiscard]] Result<std::vector<BlockName>> block_names(BlockStore& blocks, const Content& content,
                                                         std::uint64_t first, std::uint64_t count);

// Visits every block of the tree, lists before what they list, equal subtrees as often as they
// occur unless `descend` answers false for a list. Corrupt where a list is not what the size asks
// for. Data blocks are not read.
struct TreeVisitor {
  std::function<Status(const BlockName&, BlockKind)> visit;
  std::function<bool(const BlockName&)> descend;  // none: always
};
[[nodiscard]] Status visit_tree(BlockStore& blocks, const BlockName& root, std::uint64_t tree_size,
                                const TreeVisitor& visitor);

// Blocks of the tree that are not here, each once, at most `limit`, lists before what they list:
// what a copy must fetch. Where a list is missing, what it lists is not known yet. Corrupt where a
// list is not what the size asks for: nothing to fetch helps.
//
// A copy that is about to redo a commit gives an upload, and the content that it has: what of the
// tree is in `present`, at the same place, is skipped, for it is whole; the rest is looked for and
// pinned in `upload`, so that the commit looks again.
struct MissingBlock {
  BlockName name;
  BlockKind kind = BlockKind::Data;
  friend bool operator==(const MissingBlock&, const MissingBlock&) = default;
};
[[nodiscard]] Result<std::vector<MissingBlock>> missing_blocks(
    BlockStore& blocks, const BlockName& root, std::uint64_t tree_size, std::size_t limit,
    Upload* upload = nullptr, const Content* present = nullptr);

}  // namespace fileserver::store
