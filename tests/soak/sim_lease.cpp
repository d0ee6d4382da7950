// Runs the lease protocol of common/sim/example in the simulator for a given time: no seed may
// violate anything, two runs of one seed have equal traces, and every planted bug must be found.
// Arguments: tests/support/sim_soak.hpp.

#include "common/sim/example/lease_scenario.hpp"
#include "tests/support/sim_soak.hpp"

int main(int argc, char** argv) {
  return test_support::sim_soak_main("sim-lease", common::sim::example::lease_experiment(), argc,
                                     argv);
}
