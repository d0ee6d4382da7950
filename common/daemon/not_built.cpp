#include "common/daemon/not_built.hpp"

#include <fmt/format.h>

#include <cstdio>

#include "common/daemon/exit_codes.hpp"
#include "common/version.hpp"

namespace common::daemon {

int run_not_built(int argc, char** argv, const NotBuiltTool& tool) {
  const std::string_view word = argc > 1 ? argv[1] : "";
  if (word == "--version") {
    fmt::print("{} {}\n", tool.name, version());
    return kExitOk;
  }
  if (word == "--help" || word == "-h") {
    fmt::print(
        "{0} - {1}\n\nUsage: {0} [--help | --version]\n\nNot built yet: {2}\nExit code 3: asked "
        "for "
        "what is not built yet.\n",
        tool.name, tool.about, tool.missing);
    return kExitOk;
  }
  fmt::print(stderr, "{}: not built yet: {}\n", tool.name, tool.missing);
  return kExitNotBuilt;
}

}  // namespace common::daemon
