#pragma once

// The blocks of one content that another has not at the same place.

#include <optional>
#include <vector>

#include "fileserver/store/blocks/content_tree.hpp"
#include "fileserver/store/blocks/tree_cursor.hpp"

namespace fileserver::dump {

// Gives one block after the other, lists before what they list. `blocks` must outlive it. Keeps a
// list of each level. One thread.
class TreeDiff {
 public:
  TreeDiff(store::BlockStore& blocks, const store::Content& old, const store::Content& now);

  // nullopt: that was all.
  [[nodiscard]] common::Result<std::optional<store::MissingBlock>> next();

 private:
  struct Place {
    store::BlockName name;
    unsigned level = 0;
    std::uint64_t index = 0;
  };
  [[nodiscard]] common::Result<bool> was_there(const Place& place);

  store::BlockStore& blocks_;
  store::TreeCursor old_;
  const std::uint64_t old_size_;
  std::vector<Place> open_;  // to be looked at, the next one last
};

}  // namespace fileserver::dump
