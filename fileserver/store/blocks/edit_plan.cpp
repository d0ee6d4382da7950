#include "fileserver/store/blocks/edit_plan.hpp"

#include <algorithm>

namespace fileserver::store {

Extent Extent::part(std::uint64_t first, std::uint64_t last) const {
  Extent piece = *this;
  piece.begin = std::max(begin, first);
  piece.end = std::min(end, last);
  const std::uint64_t skipped = piece.begin - begin;
  if (kind == Kind::Memory)
    piece.bytes += skipped;
  else if (kind != Kind::Zeros)
    piece.from += skipped;
  return piece;
}

void EditPlan::add(const Extent& extent) {
  if (extent.begin >= extent.end)
    return;
  // The first that may reach into it: the last that begins at or before it.
  auto at = extents_.upper_bound(extent.begin);
  if (at != extents_.begin())
    --at;
  while (at != extents_.end() && at->second.begin < extent.end) {
    const Extent covered = at->second;
    if (covered.end <= extent.begin) {
      ++at;
      continue;
    }
    at = extents_.erase(at);
    if (covered.begin < extent.begin)
      extents_.emplace(covered.begin, covered.part(covered.begin, extent.begin));
    if (covered.end > extent.end)
      at = extents_.emplace(extent.end, covered.part(extent.end, covered.end)).first;
  }
  extents_.emplace(extent.begin, extent);
}

std::vector<Extent> EditPlan::take(std::uint64_t size) {
  std::vector<Extent> result;
  result.reserve(extents_.size());
  for (const auto& [begin, extent] : extents_) {
    if (begin >= size)
      break;
    result.push_back(extent.part(begin, size));
  }
  extents_.clear();
  return result;
}

}  // namespace fileserver::store
