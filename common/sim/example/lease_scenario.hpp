#pragma once

// The lease protocol in a simulated cell: how its cores are bound to Env, which faults they claim
// to survive, and what is asked of them.

#include "common/sim/experiment.hpp"

namespace common::sim::example {

Experiment lease_experiment();

}  // namespace common::sim::example
