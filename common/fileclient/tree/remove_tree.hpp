#pragma once

// rm -r.

#include "common/fileclient/tree/tree_report.hpp"
#include "common/fileclient/tree/tree_walk.hpp"

namespace common::fileclient {

// Removes `top` and all below it; attached volumes are not touched, and what holds them stays.
// What cannot be removed is reported, and the rest goes on. A failure: nothing more can be done.
[[nodiscard]] Status remove_tree(FileClient& client, const Found& top, TreeReport& report,
                                 const CallOptions& calls);

}  // namespace common::fileclient
