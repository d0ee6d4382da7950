#pragma once

// An experiment is a scenario with everything that makes it runnable by number: seed to plan, plan
// to report. The runner works on this alone.

#include <functional>
#include <string>
#include <vector>

#include "common/sim/kernel.hpp"
#include "common/sim/plan.hpp"

namespace common::sim {

struct Experiment {
  std::string name;
  // Both must be pure and callable from several threads at once.
  std::function<Plan(std::uint64_t seed)> plan;
  std::function<RunReport(const Plan&, const RunOptions&)> run;
  // Names of the planted bugs; bit i of RunOptions::bugs plants bugs[i].
  std::vector<std::string> bugs;
};

}  // namespace common::sim
