#pragma once

// Node ids that are a mount's to give (R29).

#include "fileserver/operations/file_call.hpp"

namespace fileserver {

// The mount's from now on, stably; its oldest range is forgotten.
[[nodiscard]] Status add_node_range(FileCall& call, FileSession& session, VolumeId volume,
                                    const NodeRange& range);
// PermissionDenied unless the id is in a range of the session's mount. Whether it has been used is
// the store's to know.
[[nodiscard]] Status check_own_node(FileCall& call, VolumeId volume, NodeId node);

}  // namespace fileserver
