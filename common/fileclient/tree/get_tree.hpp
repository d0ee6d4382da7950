#pragma once

// A directory of a cell, with all below it, onto the local disk.

#include "common/fileclient/tree/put_tree.hpp"

namespace common::fileclient {

// The entries of `remote`, attached volumes entered, become entries of `local` (a directory's
// descriptor, borrowed); what is there under other names stays. Small files come many at a time.
// Kept are bytes, modes, times and symbolic links as they are. What fails is reported, and the rest
// goes on; a failure: nothing more can be done.
[[nodiscard]] Status get_tree(FileClient& client, const Found& remote, int local,
                              const std::string& local_path, TreeReport& report,
                              const TreeOptions& options);

}  // namespace common::fileclient
