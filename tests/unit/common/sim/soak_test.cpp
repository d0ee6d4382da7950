#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/sim_soak.hpp"
#include "tests/support/test.hpp"

namespace {

using common::sim::Experiment;
using common::sim::Failure;
using common::sim::Plan;
using common::sim::RunOptions;
using common::sim::RunReport;
using test_support::SimSoakResult;

struct Dice {
  std::uint64_t fails_at = 0;  // 0: no seed
  bool bug_is_found = true;
  bool differs = false;  // from run to run
  std::shared_ptr<std::atomic<std::uint64_t>> runs =
      std::make_shared<std::atomic<std::uint64_t>>(0);

  [[nodiscard]] Experiment experiment() const {
    return {.name = "dice",
            .plan =
                [](std::uint64_t seed) {
                  Plan plan;
                  plan.seed = seed;
                  return plan;
                },
            .run =
                [dice = *this](const Plan& plan, const RunOptions& options) {
                  const std::uint64_t run = ++*dice.runs;
                  RunReport report;
                  report.ran = std::chrono::seconds(1);
                  report.events = 10;
                  report.messages = 3;
                  report.hash = dice.differs ? run : plan.seed;
                  const bool bug = options.bugs == 2 && dice.bug_is_found && plan.seed % 5 == 0;
                  if (bug || options.bugs == 1 || plan.seed == dice.fails_at) {
                    report.failure = Failure::Safety;
                    report.violation = "a six";
                  }
                  return report;
                },
            .bugs = {"loaded", "nicked"}};
  }
};

SimSoakResult soak(const Experiment& experiment, std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "soak");
  return test_support::run_sim_soak("dice", experiment, static_cast<int>(arguments.size()),
                                    arguments.data());
}

bool says(const SimSoakResult& result, const char* what) {
  return result.json.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("a soak of the simulator tells its seeds, its bugs and how fast it was") {
  const auto result = soak(Dice{}.experiment(), {"--seeds", "40", "--seed", "7", "--threads", "2"});
  CHECK(result.exit_code == 0);
  for (const char* what :
       {"\"suite\":\"dice\"", "\"first_seed\":7", "\"seeds\":40",
        "\"sim_ratio\":", "\"events_per_s\":", "\"messages_per_sim_s\":3.0", "\"planted\":2",
        "\"missed\":0", "\"violations\":0", "\"determinism_checked\":40"})
    CHECK_MESSAGE(says(result, what), what << " in " << result.json);
}

TEST_CASE("a soak of the simulator fails by a violation, a missed bug, and runs that differ") {
  const auto broken = soak(Dice{.fails_at = 20}.experiment(), {"--seeds", "40"});
  CHECK(broken.exit_code == 1);
  CHECK(says(broken, "\"violations\":1"));
  const auto blind =
      soak(Dice{.bug_is_found = false}.experiment(), {"--seeds", "40", "--planted", "30"});
  CHECK(blind.exit_code == 1);
  CHECK(says(blind, "\"missed\":1,\"violations\":0"));
  const auto random = soak(Dice{.differs = true}.experiment(), {"--seeds", "40", "--planted", "0"});
  CHECK(random.exit_code == 1);
  CHECK(says(random, "\"planted\":0"));
}

TEST_CASE("one seed in so many runs twice") {
  const Dice dice;
  const auto result =
      soak(dice.experiment(), {"--seeds", "40", "--planted", "0", "--twice-every", "8"});
  CHECK(says(result, "\"determinism_checked\":5"));
  CHECK(*dice.runs == 45);
  const auto never =
      soak(Dice{}.experiment(), {"--seeds", "9", "--planted", "0", "--twice-every", "0"});
  CHECK(says(never, "\"determinism_checked\":0"));
}

TEST_CASE("one seed alone, with and without a bug") {
  const auto good = soak(Dice{}.experiment(), {"--seed", "12"});
  CHECK(good.exit_code == 0);
  CHECK(good.json ==
        "{\"suite\":\"dice\",\"seed\":12,\"seeds\":1,\"violations\":0,\"determinism_checked\":1}");
  CHECK(soak(Dice{}.experiment(), {"--seed", "12", "--bug", "loaded"}).exit_code == 1);
  // Planted in a whole soak, too.
  CHECK(
      soak(Dice{}.experiment(), {"--seeds", "3", "--planted", "0", "--bug", "loaded"}).exit_code ==
      1);
}

TEST_CASE("a soak of the simulator refuses what it does not know") {
  for (const std::vector<const char*>& wrong :
       std::vector<std::vector<const char*>>{{"--seeds"},
                                             {"--seeds", "many"},
                                             {"--seeds", "-1"},
                                             {"--seeds", "1x"},
                                             {"--colour", "1"},
                                             {"--bug", "square"}}) {
    const Dice dice;
    const auto result = soak(dice.experiment(), wrong);
    CHECK(result.exit_code == 2);
    CHECK(result.json.empty());
    CHECK(*dice.runs == 0);
  }
}
