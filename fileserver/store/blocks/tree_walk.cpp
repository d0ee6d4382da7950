// All blocks of a tree: visiting them, and finding those that are missing.

#include <unordered_set>

#include "fileserver/store/blocks/content_tree.hpp"
#include "fileserver/store/blocks/tree_cursor.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;

// Lists looked through already, so that trees that repeat themselves take no longer than what is
// stored of them; about 4 MiB, then it begins anew.
constexpr std::size_t kRememberedLists = 65'536;

Status visit_below(TreeCursor& tree, const BlockName& name, unsigned level, std::uint64_t index,
                   const TreeVisitor& visitor) {
  if (name.is_hole())
    return {};
  TROTH_TRY_VOID(visitor.visit(name, level == 0 ? BlockKind::Data : BlockKind::List));
  if (level == 0 || (visitor.descend && !visitor.descend(name)))
    return {};
  TROTH_TRY(const BlockList list, tree.list(name, level, index));
  for (std::size_t i = 0; i < list->size(); ++i)
    TROTH_TRY_VOID(visit_below(tree, (*list)[i], level - 1, index * kFanOut + i, visitor));
  return {};
}

class MissingFinder {
 public:
  MissingFinder(BlockStore& blocks, Upload& upload, TreeCursor& tree, TreeCursor* present,
                std::size_t limit)
      : blocks_(blocks), upload_(upload), tree_(tree), present_(present), limit_(limit) {}

  Status find(const BlockName& name, unsigned level, std::uint64_t index) {
    if (name.is_hole() || missing_.size() >= limit_ || known_missing_.contains(name))
      return {};
    if (present_ != nullptr) {
      TROTH_TRY(const auto have, present_->subtree(level, index));
      if (have.name == name && have.level == level)
        return {};
    }
    const BlockKind kind = level == 0 ? BlockKind::Data : BlockKind::List;
    if (const Status here = blocks_.reuse(upload_, name); !here)
      return absent(name, kind, here.error());
    if (level == 0)
      return {};
    if (seen_.size() >= kRememberedLists)
      seen_.clear();
    if (!seen_.insert(name).second)
      return {};
    const auto list = blocks_.read_list(name);
    if (!list)
      return absent(name, kind, list.error());
    TROTH_TRY_VOID(tree_.check_list(**list, level, index));
    for (std::size_t i = 0; i < (*list)->size(); ++i)
      TROTH_TRY_VOID(find((**list)[i], level - 1, index * kFanOut + i));
    return {};
  }

  std::vector<MissingBlock> take() { return std::move(missing_); }

 private:
  // A block that cannot be read is to be fetched as one that was never here.
  Status absent(const BlockName& name, BlockKind kind, const common::Error& why) {
    if (why.code != ErrorCode::NotFound && why.code != ErrorCode::Corrupt)
      return tl::unexpected(why);
    known_missing_.insert(name);
    missing_.push_back({name, kind});
    return {};
  }

  BlockStore& blocks_;
  Upload& upload_;
  TreeCursor& tree_;
  TreeCursor* const present_;
  const std::size_t limit_;
  std::vector<MissingBlock> missing_;
  std::unordered_set<BlockName> known_missing_;
  std::unordered_set<BlockName> seen_;
};

}  // namespace

Status visit_tree(BlockStore& blocks, const BlockName& root, std::uint64_t tree_size,
                  const TreeVisitor& visitor) {
  TreeCursor tree(blocks, root, tree_size);
  return visit_below(tree, root, tree_height(tree_size), 0, visitor);
}

Result<std::vector<MissingBlock>> missing_blocks(BlockStore& blocks, const BlockName& root,
                                                 std::uint64_t tree_size, std::size_t limit,
                                                 Upload* upload, const Content* present) {
  Upload own = blocks.begin_upload();  // pins of a caller that wants none
  TreeCursor tree(blocks, root, tree_size);
  std::optional<TreeCursor> had;
  if (present != nullptr)
    had.emplace(blocks, present->root, present->tree_size());
  MissingFinder finder(blocks, upload != nullptr ? *upload : own, tree, had ? &*had : nullptr,
                       limit);
  TROTH_TRY_VOID(finder.find(root, tree_height(tree_size), 0));
  return finder.take();
}

}  // namespace fileserver::store
