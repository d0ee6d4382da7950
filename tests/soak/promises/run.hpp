#pragma once

// A run: a cell, five clients, everything that befalls them, and what comes of it.

#include <cstdint>
#include <string>
#include <vector>

namespace promises_real {

struct RunOptions {
  int seconds = 60;
  std::uint64_t seed = 1;
  bool brief = false;  // short leases, and faults close together
  std::string plant;   // of a client or the server
};

// The names that `plant` may have.
[[nodiscard]] std::vector<std::string> all_plants();

// What was planted did what it should not, and was seen.
inline constexpr int kFound = 3;

// In namespaces of its own (isolated.hpp), with `scratch` for its files. Prints progress on stderr
// and, in the end, one line of JSON on stdout; 0: nothing was violated. With a plant: kFound, or 0;
// 1: the run failed.
int run(const RunOptions& options, const std::string& scratch);

}  // namespace promises_real
