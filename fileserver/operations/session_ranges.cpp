#include "fileserver/operations/session_ranges.hpp"

#include <algorithm>

#include "fileserver/operations/file_parts.hpp"

namespace fileserver {

using common::ErrorCode;
using common::fail;

Status add_node_range(FileCall& call, FileSession& session, VolumeId volume,
                      const NodeRange& range) {
  TROTH_TRY_VOID(call.parts().volumes.registry().add_node_range(session.mount, volume, range.first,
                                                                range.count, kMaxNodeRanges));
  auto held = session.held.lock();
  const auto known = held->ranges.find(volume);
  if (known == held->ranges.end())
    return {};  // read when it is asked for
  known->second.push_back(range);
  std::sort(known->second.begin(), known->second.end(),
            [](const NodeRange& a, const NodeRange& b) { return a.first < b.first; });
  if (known->second.size() > kMaxNodeRanges)
    known->second.erase(known->second.begin());
  return {};
}

Status check_own_node(FileCall& call, VolumeId volume, NodeId node) {
  if (!call.session())
    return fail(ErrorCode::InvalidArgument, "without a session the server chooses node ids");
  FileSession& session = *call.session();
  bool known = false;
  {
    auto held = session.held.lock();
    known = held->ranges.contains(volume);
  }
  if (!known) {
    TROTH_TRY(const auto stored,
              call.parts().volumes.registry().node_ranges(session.mount, volume));
    auto held = session.held.lock();
    auto& ranges = held->ranges[volume];
    ranges.clear();
    for (const auto& one : stored)
      ranges.push_back({one.first, one.count});
  }
  auto held = session.held.lock();
  const auto& ranges = held->ranges[volume];
  if (std::any_of(ranges.begin(), ranges.end(),
                  [&](const NodeRange& range) { return range.has(node); }))
    return {};
  return fail(ErrorCode::PermissionDenied, "node id {} is not one of this mount's", node.value);
}

}  // namespace fileserver
