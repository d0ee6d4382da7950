#include "common/sim/example/lease_scenario.hpp"
#include "common/sim/explore.hpp"
#include "common/sim/shrink.hpp"
#include "tests/support/test.hpp"

using namespace common::sim;

namespace {

constexpr unsigned kThreads = 2;

std::string story_of(const Experiment& experiment, const ExploreReport& report) {
  std::string text;
  for (const auto& failed : report.failed) {
    text += failed.violation + '\n' + explain(experiment, failed.seed, 0);
  }
  return text;
}

}  // namespace

TEST_CASE("the lease protocol holds under every fault it claims to survive") {
  const Experiment experiment = example::lease_experiment();
  const auto report = explore(experiment, {.seeds = 2'000, .threads = kThreads});
  CHECK_MESSAGE(report.failed.empty(), story_of(experiment, report));
  CHECK(report.seeds == 2'000);
  CHECK(report.determinism_checked == 2'000);
  for (const auto& entry : report.buggify)
    CHECK_MESSAGE(entry.second.fired > 0, entry.first);
}

TEST_CASE("every bug planted in the lease protocol is found") {
  for (const auto& bug : find_planted(example::lease_experiment(), 1, 5'000, kThreads)) {
    CHECK_MESSAGE(bug.found, bug.name);
  }
}

TEST_CASE("a found bug is shrunk to a few faults and replays") {
  const Experiment experiment = example::lease_experiment();
  const auto bugs = std::uint64_t{1} << 6;  // no-grace
  std::uint64_t seed = 1;
  while (experiment.run(experiment.plan(seed), {.bugs = bugs}).failure == Failure::None)
    ++seed;
  const Plan plan = experiment.plan(seed);
  const Shrunk shrunk = shrink(experiment, plan, bugs);
  CHECK(shrunk.report.failure == Failure::Safety);
  CHECK(shrunk.plan.faults.size() <= 4);
  CHECK(shrunk.plan.work.size() <= 8);
  CHECK(shrunk.plan.faults.size() + shrunk.plan.work.size() <
        (plan.faults.size() + plan.work.size()) / 4);
  const RunReport again = experiment.run(shrunk.plan, {.bugs = bugs});
  CHECK(again.hash == shrunk.report.hash);
  CHECK(again.violation == shrunk.report.violation);
}
