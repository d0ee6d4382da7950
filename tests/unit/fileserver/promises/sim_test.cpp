#include "common/sim/explore.hpp"
#include "tests/support/promises/sim_scenario.hpp"
#include "tests/support/test.hpp"

using namespace common::sim;

namespace {

std::string story_of(const Experiment& experiment, const ExploreReport& report) {
  std::string text;
  for (const auto& failed : report.failed)
    text += failed.violation + '\n' + explain(experiment, failed.seed, 0);
  return text;
}

}  // namespace

TEST_CASE("R6 R10 R11 R17 R18 R29 F17 F18 F21 F22 F28 F37: promises hold under every fault") {
  const Experiment experiment = promise_sim::promises_experiment();
  const auto report = explore(experiment, {.seeds = 10});
  CHECK_MESSAGE(report.failed.empty(), story_of(experiment, report));
  CHECK(report.determinism_checked == 10);
}
