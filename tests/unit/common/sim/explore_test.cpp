#include "common/sim/explore.hpp"

#include <numeric>

#include "common/sim/shrink.hpp"
#include "tests/support/test.hpp"
#include "tests/unit/common/sim/chatter.hpp"

using namespace chatter;

namespace {

// Fails when n1's thirtieth message reaches n0, which it does unless n0 is cut off just then.
Experiment forbidden_number() {
  Experiment experiment;
  experiment.name = "forbidden number";
  experiment.plan = [](std::uint64_t seed) {
    Plan plan = quiet_plan(seed);
    FaultMix mix;
    mix.choices = {{FaultKind::Isolate, 1, 0, 0}, {FaultKind::Pause, 1}, {FaultKind::Lossy, 1}};
    mix.every = 1s;
    plan.faults = make_faults(Random(seed), mix, 3, plan.length);
    return plan;
  };
  experiment.run = [](const Plan& plan, const RunOptions& options) {
    return run(plan,
               Options{.forbidden =
                           options.bugs == 1 ? std::optional<std::uint64_t>(30) : std::nullopt},
               options)
        .report;
  };
  experiment.bugs = {"thirty"};
  return experiment;
}

}  // namespace

TEST_CASE("minimising leaves exactly what matters") {
  std::vector<int> items(200);
  std::iota(items.begin(), items.end(), 0);
  int runs = 0;
  const auto few = minimise(items, [&](const std::vector<int>& some) {
    ++runs;
    const auto has = [&](int i) { return std::find(some.begin(), some.end(), i) != some.end(); };
    return has(3) && has(77) && has(199);
  });
  CHECK(few == std::vector<int>{3, 77, 199});
  CHECK(runs < 400);
  CHECK(minimise(items, [](const auto&) { return true; }).empty());
}

TEST_CASE("a failure that needs no fault is shrunk to none") {
  const Experiment experiment = forbidden_number();
  std::uint64_t seed = 1;
  while (experiment.run(experiment.plan(seed), {.bugs = 1}).failure == Failure::None)
    ++seed;
  const Shrunk shrunk = shrink(experiment, experiment.plan(seed), 1);
  CHECK(shrunk.report.failure == Failure::Safety);
  CHECK(shrunk.plan.faults.empty());
  CHECK(shrunk.plan.length < 4s);
  CHECK(shrunk.report.trace.back().find("forbidden") != std::string::npos);
}

TEST_CASE("a failure that needs two faults is shrunk to those two") {
  // n0 must be paused while n1's message arrives, and n1 dead soon after.
  Experiment experiment;
  experiment.plan = [](std::uint64_t seed) {
    Plan plan = quiet_plan(seed);
    plan.nodes.resize(4);
    plan.noise.drop = kAlways / 50;
    FaultMix mix;
    mix.choices = {{FaultKind::SlowDisk, 1}, {FaultKind::WallJump, 1}, {FaultKind::Pause, 1, 3, 3}};
    mix.every = 300ms;
    plan.faults = make_faults(Random(seed), mix, 4, plan.length);
    plan.faults.push_back(Fault{.at = 4s, .kind = FaultKind::Pause, .node = 0, .length = 3s});
    plan.faults.push_back(Fault{.at = 6s, .kind = FaultKind::Kill, .node = 1, .length = 2s});
    return plan;
  };
  experiment.run = [](const Plan& plan, const RunOptions& options) {
    Outcome o = run(plan, {}, options);
    // Judged after the run: the pause shows as a burst, the kill as a second boot.
    const bool burst = o.count(Seen::What::Receive, 0, 2, 6990ms, 7100ms) > 20;
    const bool reboot = o.count(Seen::What::Boot, 1, 0) > 1;
    o.report.failure = burst && reboot ? Failure::Safety : Failure::None;
    o.report.violated_at = 9s;
    return o.report;
  };
  const Plan plan = experiment.plan(5);
  REQUIRE(plan.faults.size() > 20);
  const Shrunk shrunk = shrink(experiment, plan, 0);
  CHECK(shrunk.report.failure == Failure::Safety);
  REQUIRE(shrunk.plan.faults.size() == 2);
  CHECK(shrunk.plan.faults[0].kind == FaultKind::Pause);
  CHECK(shrunk.plan.faults[1].kind == FaultKind::Kill);
  CHECK(shrunk.plan.noise.drop == 0);
}

TEST_CASE("noise that matters becomes single messages") {
  // Fails when n1's thirtieth message does not reach n0 in time.
  Experiment experiment;
  experiment.plan = [](std::uint64_t seed) {
    Plan plan = quiet_plan(seed);
    plan.noise.drop = kAlways / 5;
    return plan;
  };
  experiment.run = [](const Plan& plan, const RunOptions& options) {
    Outcome o = run(plan, {}, options);
    bool arrived = plan.length < 4s;
    for (const Seen& s : o.seen)
      arrived |= s.what == Seen::What::Receive && s.node == 0 && s.from == 1 && s.number == 30;
    o.report.failure = arrived ? Failure::None : Failure::Safety;
    o.report.violated_at = 9s;
    return o.report;
  };
  std::uint64_t seed = 1;
  while (experiment.run(experiment.plan(seed), {}).failure == Failure::None)
    ++seed;
  const Shrunk shrunk = shrink(experiment, experiment.plan(seed), 0);
  CHECK(shrunk.plan.noise.drop == 0);
  REQUIRE(shrunk.plan.faults.size() == 1);
  CHECK(shrunk.plan.faults[0].kind == FaultKind::DropMessage);
  CHECK(shrunk.plan.faults[0].node == 1);
}

TEST_CASE("seeds run on several threads to the same result") {
  const Experiment experiment = forbidden_number();
  const auto one = explore(experiment, {.seeds = 40, .threads = 1});
  const auto two = explore(experiment, {.seeds = 40, .threads = 2});
  CHECK(one.failed.empty());
  CHECK(one.seeds == 40);
  CHECK(two.seeds == 40);
  CHECK(one.events == two.events);
  CHECK(one.determinism_checked == 40);
}

TEST_CASE("planted bugs are reported found or missed") {
  Experiment experiment = forbidden_number();
  experiment.bugs.push_back("harmless");
  const auto bugs = find_planted(experiment, 1, 20, 1);
  REQUIRE(bugs.size() == 2);
  CHECK(bugs[0].found);
  CHECK_FALSE(bugs[1].found);
  CHECK(bugs[1].seeds == 20);
}

TEST_CASE("a run that depends on anything but its plan is caught") {
  Experiment experiment = forbidden_number();
  std::uint64_t calls = 0;
  experiment.run = [&calls](const Plan& plan, const RunOptions&) {
    return run(plan, Options{.every = calls++ % 2 == 0 ? 100ms : 101ms}).report;
  };
  const auto report = explore(experiment, {.seeds = 1});
  REQUIRE(report.failed.size() == 1);
  CHECK(report.failed[0].violation == "two runs of one seed differ");
}

TEST_CASE("buggify points fire in some runs, by their own seed, and can be switched off") {
  std::uint64_t live = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Buggify points(seed, true, {"off"});
    std::uint64_t fired = 0;
    for (int i = 0; i < 400; ++i) {
      fired += points.fires("on") ? 1 : 0;
      CHECK_FALSE(points.fires("off"));
    }
    live += fired > 0 ? 1 : 0;
    CHECK(points.points()[0].asked == 400);
    CHECK(points.points()[0].fired == fired);
  }
  CHECK(live > 30);
  CHECK(live < 75);
}
