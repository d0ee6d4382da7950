// Runs the server's core of promises and the mounts' books in the simulator for a given time: no
// seed may violate anything, two runs of one seed have equal traces, and every planted bug must be
// found. Arguments: tests/support/sim_soak.hpp.

#include "tests/support/promises/sim_scenario.hpp"
#include "tests/support/sim_soak.hpp"

int main(int argc, char** argv) {
  return test_support::sim_soak_main("promises-sim", promise_sim::promises_experiment(), argc,
                                     argv);
}
