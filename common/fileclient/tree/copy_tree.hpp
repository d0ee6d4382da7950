#pragma once

// Copies within a cell: within a volume no byte moves, between volumes they pass through here.

#include <optional>
#include <string>

#include "common/fileclient/tree/put_tree.hpp"

namespace common::fileclient {

struct CopyOptions {
  TreeOptions tree;
  bool keep_times = false;  // and modes as they are
};

// One file to a name in a directory. `existing`: what has the name now, a file that is overwritten.
[[nodiscard]] Status copy_file(FileClient& client, const Found& from, Fid dir,
                               const std::string& name,
                               const std::optional<fileproto::Attributes>& existing,
                               const CopyOptions& options);

// The entries below `from` become entries of the directory `to`. As put_tree reports.
[[nodiscard]] Status copy_tree(FileClient& client, const Found& from, const Found& to,
                               TreeReport& report, const CopyOptions& options);

}  // namespace common::fileclient
