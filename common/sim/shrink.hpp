#pragma once

// Makes a failing run small enough to read.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "common/sim/experiment.hpp"

namespace common::sim {

// Delta debugging: a sublist of `items` for which `fails` still holds and from which no single item
// can be left out. `fails(items)` must hold. Gives up early, with what it has, when `fails` says no
// to everything because a budget is spent.
template <typename T, typename Fails>
std::vector<T> minimise(std::vector<T> items, Fails fails) {
  std::size_t chunk = std::max<std::size_t>(items.size() / 2, 1);
  while (!items.empty()) {
    bool removed = false;
    for (std::size_t begin = 0; begin < items.size();) {
      const std::size_t end = std::min(begin + chunk, items.size());
      std::vector<T> fewer(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(begin));
      fewer.insert(fewer.end(), items.begin() + static_cast<std::ptrdiff_t>(end), items.end());
      if (fails(fewer)) {
        items = std::move(fewer);
        removed = true;
      } else {
        begin = end;
      }
    }
    if (chunk == 1 && !removed)
      break;
    chunk = std::max<std::size_t>(chunk / 2, 1);
  }
  return items;
}

struct Shrunk {
  Plan plan;
  RunReport report;  // of the shrunk plan, with its trace
  std::uint64_t runs = 0;
};

// The smallest plan found that fails in the same way (safety or liveness) as `plan` does: shorter,
// with fewer faults, less work, usual settings, and the background noise of the network turned into
// single messages that are lost, doubled or late. `plan` must fail. At most `max_runs` runs.
Shrunk shrink(const Experiment& experiment, const Plan& plan, std::uint64_t bugs,
              std::uint64_t max_runs = 4'000);

}  // namespace common::sim
