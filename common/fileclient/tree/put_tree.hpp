#pragma once

// A local directory, with all below it, into a cell.

#include "common/fileclient/transfer/upload.hpp"
#include "common/fileclient/tree/tree_report.hpp"
#include "common/fileclient/walker.hpp"

namespace common::fileclient {

struct TreeOptions {
  TransferOptions transfer;
  // Files that are there with the same size and time are left alone, so that an interrupted copy is
  // gone on with by doing it again; false: all are written anew.
  bool skip_unchanged = true;
};

// The entries of `local` (a directory's descriptor, borrowed) become entries of `remote`; what is
// there under other names stays. Kept are bytes, holes of large files, modes, times, and symbolic
// links as they are; sockets, fifos and devices are reported. `local_path` is for reports. What
// fails is reported, and the rest goes on; a failure: nothing more can be done.
[[nodiscard]] Status put_tree(FileClient& client, int local, const std::string& local_path,
                              const Found& remote, TreeReport& report, const TreeOptions& options);

}  // namespace common::fileclient
