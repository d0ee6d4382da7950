#pragma once

// Promises in a simulated cell: the server's core and the mounts' books, bound to Env; which faults
// they claim to survive, and what is asked of them.

#include "common/sim/experiment.hpp"

namespace promise_sim {

// Its planted bugs are those of PromiseBug, then those of BookBug.
common::sim::Experiment promises_experiment();

}  // namespace promise_sim
