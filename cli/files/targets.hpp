#pragma once

// "SOURCE... TARGET", as mv and cp have it.

#include <functional>
#include <string>
#include <vector>

#include "cli/files/files.hpp"

namespace cli {

struct TargetWords {
  std::vector<std::string> paths;  // sources, and where to
  bool no_replace = false;
  bool not_into = false;  // the last is the new name, even of a directory
  bool verbose = false;
};

using OneSource = std::function<common::Status(const std::string& typed, const fileclient::Spot& to,
                                               const fileclient::Found& source)>;

// Calls `run` for each source with the name it gets; prints what fails. The exit code.
int with_target(Files& files, const TargetWords& words, fileclient::Follow follow,
                const OneSource& run);
void add_target_options(Command command, TargetWords& words, const char* verbose);

}  // namespace cli
