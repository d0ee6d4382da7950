#include "fileserver/dump/tree_diff.hpp"

namespace fileserver::dump {

using common::Result;

TreeDiff::TreeDiff(store::BlockStore& blocks, const store::Content& old, const store::Content& now)
    : blocks_(blocks), old_(blocks, old.root, old.tree_size()), old_size_(old.tree_size()) {
  if (!now.root.is_hole())
    open_.push_back({now.root, store::tree_height(now.tree_size()), 0});
}

Result<bool> TreeDiff::was_there(const Place& place) {
  if (old_size_ == 0 || place.level > store::tree_height(old_size_) ||
      place.index * store::span_of(place.level) >= old_.block_count())
    return false;
  TROTH_TRY(const auto subtree, old_.subtree(place.level, place.index));
  return subtree.level == place.level && subtree.name == place.name;
}

Result<std::optional<store::MissingBlock>> TreeDiff::next() {
  while (!open_.empty()) {
    const Place place = open_.back();
    open_.pop_back();
    TROTH_TRY(const bool there, was_there(place));
    if (there)
      continue;
    if (place.level > 0) {
      TROTH_TRY(const auto names, blocks_.read_list(place.name));
      for (std::size_t i = names->size(); i > 0; --i)
        if (!(*names)[i - 1].is_hole())
          open_.push_back({(*names)[i - 1], place.level - 1, place.index * store::kFanOut + i - 1});
    }
    return std::optional(store::MissingBlock{
        place.name, place.level > 0 ? store::BlockKind::List : store::BlockKind::Data});
  }
  return std::optional<store::MissingBlock>();
}

}  // namespace fileserver::dump
