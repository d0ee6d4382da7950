#include "fileserver/store/blocks/tree_cursor.hpp"

#include <algorithm>

#include "fileserver/store/blocks/content_tree.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;

// About 6 MiB; a dense terabyte has 32,768 lists. When it is full it begins anew.
constexpr std::size_t kRemembered = 65'536;

common::Error missing_is_corrupt(common::Error error) {
  if (error.code == ErrorCode::NotFound)
    error.code = ErrorCode::Corrupt;
  return error;
}

}  // namespace

Status read_kept(BlockStore& blocks, std::span<const BlockStore::Wanted> wanted) {
  if (wanted.empty())
    return {};
  return blocks.read_many(wanted).map_error(missing_is_corrupt);
}

unsigned tree_height(std::uint64_t tree_size) {
  unsigned height = 0;
  while (span_of(height) < blocks_of(tree_size))
    ++height;
  return height;
}

TreeCursor::TreeCursor(BlockStore& blocks, const BlockName& root, std::uint64_t tree_size)
    : blocks_(blocks),
      root_(root),
      size_(tree_size),
      block_count_(blocks_of(tree_size)),
      height_(tree_height(tree_size)) {}

Status TreeCursor::check_list(const std::vector<BlockName>& list, unsigned level,
                              std::uint64_t index) const {
  const std::uint64_t entry_span = span_of(level - 1);
  const std::uint64_t entries =
      block_count_ / entry_span + (block_count_ % entry_span != 0 ? 1 : 0);
  const std::uint64_t before = index * kFanOut;
  const std::uint64_t room = entries > before ? std::min(entries - before, kFanOut) : 0;
  if (list.empty() || list.size() > room || list.back().is_hole())
    return fail(ErrorCode::Corrupt,
                "a list of {} blocks at level {} has no place in a file of {} bytes", list.size(),
                level, size_);
  return {};
}

Result<BlockList> TreeCursor::list(const BlockName& name, unsigned level, std::uint64_t index) {
  TROTH_TRY(BlockList list, blocks_.read_list(name).map_error(missing_is_corrupt));
  TROTH_TRY_VOID(check_list(*list, level, index));
  return list;
}

Result<TreeCursor::Subtree> TreeCursor::subtree(unsigned level, std::uint64_t index) {
  if (level >= height_)
    return index == 0 ? Subtree{root_, height_} : Subtree{BlockName{}, level};
  if (index >> (8 * (height_ - level)) != 0)
    return Subtree{BlockName{}, level};
  BlockName name = root_;
  for (unsigned at = height_; at > level && !name.is_hole(); --at) {
    const std::uint64_t position = index >> (8 * (at - level));
    Step& step = path_[at];
    if (!step.list || step.index != position) {
      TROTH_TRY(step.list, list(name, at, position));
      step.index = position;
    }
    const std::uint64_t entry = (index >> (8 * (at - 1 - level))) % kFanOut;
    name = entry < step.list->size() ? (*step.list)[entry] : BlockName{};
  }
  return Subtree{name, level};
}

Result<BlockName> TreeCursor::block(std::uint64_t index) {
  if (index >= block_count_)
    return BlockName{};
  TROTH_TRY(const Subtree found, subtree(0, index));
  return found.name;
}

Result<std::uint64_t> TreeCursor::count_below(const BlockName& name, unsigned level,
                                              std::uint64_t index) {
  if (name.is_hole())
    return 0;
  if (level == 0)
    return 1;
  if (const auto known = counts_.find(name); known != counts_.end())
    return known->second;
  TROTH_TRY(const BlockList entries, list(name, level, index));
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < entries->size(); ++i) {
    TROTH_TRY(const auto below, count_below((*entries)[i], level - 1, index * kFanOut + i));
    total += below;
  }
  if (counts_.size() >= kRemembered)
    counts_.clear();
  counts_.emplace(name, total);
  return total;
}

Result<std::uint64_t> TreeCursor::count_subtree(unsigned level, std::uint64_t index) {
  TROTH_TRY(const Subtree found, subtree(level, index));
  return count_below(found.name, found.level, found.level == level ? index : 0);
}

Result<std::uint64_t> TreeCursor::count_part(const BlockName& name, unsigned level,
                                             std::uint64_t index, Range range) {
  const std::uint64_t begin = index * span_of(level);
  const std::uint64_t end = begin + span_of(level);
  if (name.is_hole() || end <= range.first || begin >= range.last)
    return 0;
  if (range.first <= begin && end <= range.last)
    return count_below(name, level, index);
  TROTH_TRY(const BlockList entries, list(name, level, index));
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < entries->size(); ++i) {
    TROTH_TRY(const auto below, count_part((*entries)[i], level - 1, index * kFanOut + i, range));
    total += below;
  }
  return total;
}

Result<std::uint64_t> TreeCursor::count(std::uint64_t first, std::uint64_t last) {
  // All of the tree is all of its top, even where that could hold more.
  if (first == 0 && last >= block_count_)
    return count_below(root_, height_, 0);
  return count_part(root_, height_, 0, {first, last});
}

Result<std::optional<std::uint64_t>> TreeCursor::next_below(const BlockName& name, unsigned level,
                                                            std::uint64_t index,
                                                            std::uint64_t first, Seek what) {
  const std::uint64_t begin = index * span_of(level);
  const std::uint64_t end = std::min(begin + span_of(level), block_count_);
  if (end <= first || (name.is_hole() && what == Seek::Data))
    return std::nullopt;
  if (name.is_hole())
    return std::max(begin, first);
  if (level == 0)
    return what == Seek::Data ? std::optional(begin) : std::nullopt;
  if (what == Seek::Hole && full_.contains(name))
    return std::nullopt;
  TROTH_TRY(const BlockList entries, list(name, level, index));
  const std::uint64_t below = span_of(level - 1);
  for (std::uint64_t i = first > begin ? (first - begin) / below : 0;
       i < kFanOut && begin + i * below < end; ++i) {
    const BlockName entry = i < entries->size() ? (*entries)[i] : BlockName{};
    TROTH_TRY(const auto found, next_below(entry, level - 1, index * kFanOut + i, first, what));
    if (found)
      return found;
  }
  if (what == Seek::Hole && first <= begin && end == begin + span_of(level)) {
    if (full_.size() >= kRemembered)
      full_.clear();
    full_.insert(name);
  }
  return std::nullopt;
}

Result<std::uint64_t> TreeCursor::next(std::uint64_t first, Seek what) {
  if (first >= block_count_)
    return block_count_;
  TROTH_TRY(const auto found, next_below(root_, height_, 0, first, what));
  return found.value_or(block_count_);
}

}  // namespace fileserver::store
