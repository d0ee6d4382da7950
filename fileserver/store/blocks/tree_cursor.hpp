#pragma once

// One content tree, looked at by position. Keeps the lists of the path it went last, so that going
// along the tree costs one look at a list per block. Not for writing; for one thread.

#include <array>
#include <unordered_map>
#include <unordered_set>

#include "fileserver/store/blocks/block_store.hpp"

namespace fileserver::store {

// kBlockBytes * kFanOut^6 is above kMaxFileSize.
inline constexpr unsigned kMaxTreeHeight = 6;

// How many pieces of kBlockBytes the tree covers, the last perhaps in part.
constexpr std::uint64_t blocks_of(std::uint64_t tree_size) {
  return tree_size / kBlockBytes + (tree_size % kBlockBytes != 0 ? 1 : 0);
}
// How many pieces are below one entry of this level.
constexpr std::uint64_t span_of(unsigned level) {
  return std::uint64_t{1} << (8 * level);
}
static_assert(kFanOut == 1 << 8);

// BlockStore::read_many for blocks that must be there because something refers to them: one that is
// missing is Corrupt, which no caller takes for a file that does not exist.
[[nodiscard]] Status read_kept(BlockStore& blocks, std::span<const BlockStore::Wanted> wanted);

using BlockList = std::shared_ptr<const std::vector<BlockName>>;

class TreeCursor {
 public:
  // `blocks` must outlive it.
  TreeCursor(BlockStore& blocks, const BlockName& root, std::uint64_t tree_size);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] std::uint64_t block_count() const { return block_count_; }

  // What lies at position `index` among the subtrees of `level`. Above the root there is only the
  // root, at position 0: `level` of the answer is then its own, lower than asked for.
  struct Subtree {
    BlockName name;
    unsigned level = 0;
  };
  [[nodiscard]] Result<Subtree> subtree(unsigned level, std::uint64_t index);
  // The data block at this position; beyond the end: a hole.
  [[nodiscard]] Result<BlockName> block(std::uint64_t index);

  // How many data blocks are below this subtree.
  [[nodiscard]] Result<std::uint64_t> count_subtree(unsigned level, std::uint64_t index);
  // How many data blocks are in [first, last).
  [[nodiscard]] Result<std::uint64_t> count(std::uint64_t first, std::uint64_t last);

  enum class Seek : std::uint8_t { Data, Hole };
  // The first block at or after `first` that is data (or hole); block_count() if there is none.
  [[nodiscard]] Result<std::uint64_t> next(std::uint64_t first, Seek what);

  // Whether `list` can be at this place in a tree of this size: Corrupt if not. What other copies
  // send has not been made by us.
  [[nodiscard]] Status check_list(const std::vector<BlockName>& list, unsigned level,
                                  std::uint64_t index) const;
  // Reads and checks; a list that is missing is Corrupt, too.
  [[nodiscard]] Result<BlockList> list(const BlockName& name, unsigned level, std::uint64_t index);

 private:
  [[nodiscard]] Result<std::uint64_t> count_below(const BlockName& name, unsigned level,
                                                  std::uint64_t index);
  struct Range {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
  };
  [[nodiscard]] Result<std::uint64_t> count_part(const BlockName& name, unsigned level,
                                                 std::uint64_t index, Range range);
  [[nodiscard]] Result<std::optional<std::uint64_t>> next_below(const BlockName& name,
                                                                unsigned level, std::uint64_t index,
                                                                std::uint64_t first, Seek what);

  struct Step {
    std::uint64_t index = 0;
    BlockList list;
  };

  BlockStore& blocks_;
  const BlockName root_;
  const std::uint64_t size_;
  const std::uint64_t block_count_;
  const unsigned height_;
  std::array<Step, kMaxTreeHeight + 1> path_;  // by level
  // Trees that repeat themselves can be far larger than what is stored of them: what has been
  // found out about a list is remembered by its name.
  std::unordered_map<BlockName, std::uint64_t> counts_;
  std::unordered_set<BlockName> full_;  // lists with no hole below
};

}  // namespace fileserver::store
