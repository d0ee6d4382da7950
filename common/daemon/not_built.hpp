#pragma once

#include <string_view>

namespace common::daemon {

// A tool for people whose work is not built yet.
struct NotBuiltTool {
  std::string_view name;     // "lockctl"
  std::string_view about;    // what it will be for, one sentence
  std::string_view missing;  // why it cannot do that yet, one sentence
};

// Answers --help and --version; anything else says plainly that there is nothing behind it yet and
// is kExitNotBuilt, so that no script takes it for done.
int run_not_built(int argc, char** argv, const NotBuiltTool& tool);

}  // namespace common::daemon
