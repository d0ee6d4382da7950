#pragma once

// What the bytes of a new content are to be, where they are not the old ones: pieces in order of
// place that do not overlap, made from edits that may. No blocks are touched here.

#include <map>

#include "fileserver/store/types.hpp"

namespace fileserver::store {

struct Extent {
  enum class Kind : std::uint8_t {
    Memory,  // `bytes`
    Zeros,
    Block,  // a stored data block, from `from` on
    Tree,   // of the plan's source, from `from` on
  };
  Kind kind = Kind::Zeros;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  const std::byte* bytes = nullptr;  // at `begin`
  BlockName block;
  std::uint64_t from = 0;  // of the block or the source, at `begin`

  // The part in [first, last), which must overlap it.
  [[nodiscard]] Extent part(std::uint64_t first, std::uint64_t last) const;
};

class EditPlan {
 public:
  // Later ones cover earlier ones. An empty extent changes nothing.
  void add(const Extent& extent);
  // All below `size`, in order.
  [[nodiscard]] std::vector<Extent> take(std::uint64_t size);

 private:
  std::map<std::uint64_t, Extent> extents_;  // by begin
};

}  // namespace fileserver::store
