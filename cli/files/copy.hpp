#pragma once

// Copying within a cell, for cp and for mv between volumes.

#include "cli/files/targets.hpp"
#include "common/fileclient/transfer/progress.hpp"
#include "common/fileclient/tree/tree_report.hpp"

namespace cli {

struct CopyHow {
  bool recursive = false;
  bool keeps_times = false;
};

// One file, link or, with all that is in it, directory. What fails inside of a directory is in
// `report`.
[[nodiscard]] common::Status copy_one(Files& files, CopyHow how, fileclient::Progress& progress,
                                      fileclient::TreeReport& report,
                                      const fileclient::Found& source, const fileclient::Spot& to);

}  // namespace cli
