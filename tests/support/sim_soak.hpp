#pragma once

// What every soak program of the simulator does: plants each bug until it is found, then runs seeds
// for as long as it is told to; or runs one seed and tells its story.
//
//   [--seconds N] [--seeds N] [--seed S] [--bug NAME] [--planted N] [--twice-every N] [--threads N]
//
// --seed: the first of them; without --seconds and --seeds only that one, and if it fails, its
// shrunk trace is printed. --planted: in how many seeds each planted bug must be found; 0: they are
// left out. --bug: that bug is planted all the time. --twice-every: of so many seeds one runs
// twice, and its traces are compared; 1 (if not said): every one; 0: none.

#include <cstdint>
#include <string>
#include <string_view>

#include "common/sim/experiment.hpp"

namespace test_support {

struct SimSoakResult {
  // One line without its end: {"suite":..,"first_seed":..,"seeds":..,...,"violations":..}; empty if
  // the arguments are no good.
  std::string json;
  int exit_code = 0;  // 1: a violation, or a planted bug that was missed; 2: the arguments
};

// Progress and stories on stderr.
SimSoakResult run_sim_soak(std::string_view suite, const common::sim::Experiment& experiment,
                           int argc, const char* const* argv);

// The same for main(): prints the line and gives the exit code.
int sim_soak_main(std::string_view suite, const common::sim::Experiment& experiment, int argc,
                  const char* const* argv);

}  // namespace test_support
