#pragma once

// What this build stands on: shown by `troth version --all`, and the first question in any report
// of a fault. Safe from any thread; nothing blocks, nothing fails.

#include <string>
#include <vector>

namespace common {

struct LibraryInfo {
  std::string name;
  // The version whose headers this was compiled against.
  std::string built_with;
  // The version loaded now, where the library can say so and this program links it; else empty.
  std::string running;
  // "system package", or "subproject: " and where its sources came from.
  std::string origin;
};

// Every library that product programs use, by name. The same list in every program; `running` is
// filled for those the calling program links.
std::vector<LibraryInfo> libraries();

// Compiler and its version, as meson saw them: "gcc 12.2.0".
std::string compiler();

// Build type and sanitizers: "release", "debugoptimized, address,undefined".
std::string build_kind();

}  // namespace common
