// Runs the server's core of promises and the mounts' books in the simulator for a given time: no
// seed may violate anything, each seed runs twice with equal traces, and every planted bug must be
// found.
//
//   soak_promises_sim [--seconds N] [--seeds N] [--seed S] [--bug NAME] [--planted N]
//                     [--threads N]
//
// --planted: in how many seeds each planted bug must be found; 0: they are left out. With --seed
// and no --seconds: only that seed; if it fails, its shrunk trace is printed. With
// --bug that bug is planted.

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <thread>

#include "common/sim/explore.hpp"
#include "tests/support/promises/sim_scenario.hpp"

namespace {

using namespace common;

// Seeds in which a planted bug must be found; the rarest needs some dozens on average.
constexpr std::uint64_t kSeedsPerBug = 20'000;

struct Arguments {
  std::optional<std::uint64_t> seconds;
  std::optional<std::uint64_t> seeds;
  std::optional<std::uint64_t> seed;
  std::uint64_t planted = kSeedsPerBug;
  unsigned threads = std::max(std::thread::hardware_concurrency(), 1U);
  std::string bug;
};

std::optional<std::uint64_t> number(const char* text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), value);
  if (error != std::errc{} || *end != '\0')
    return std::nullopt;
  return value;
}

std::optional<Arguments> parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const auto value = number(argv[i + 1]);
    if (name == "--bug") {
      arguments.bug = argv[i + 1];
    } else if (!value) {
      return std::nullopt;
    } else if (name == "--seconds") {
      arguments.seconds = value;
    } else if (name == "--planted") {
      arguments.planted = *value;
    } else if (name == "--seeds") {
      arguments.seeds = value;
    } else if (name == "--seed") {
      arguments.seed = value;
    } else if (name == "--threads") {
      arguments.threads = static_cast<unsigned>(*value);
    } else {
      return std::nullopt;
    }
  }
  if (argc % 2 == 0)
    return std::nullopt;
  return arguments;
}

std::optional<std::uint64_t> bug_mask(const sim::Experiment& experiment, const std::string& name) {
  if (name.empty())
    return 0;
  for (std::size_t i = 0; i < experiment.bugs.size(); ++i) {
    if (experiment.bugs[i] == name)
      return std::uint64_t{1} << i;
  }
  return std::nullopt;
}

double seconds(Duration d) {
  return static_cast<double>(d.count()) / 1e9;
}

// One seed alone: pass, or the whole story.
int replay(const sim::Experiment& experiment, std::uint64_t seed, std::uint64_t bugs) {
  const auto report = sim::explore(experiment, {.first_seed = seed, .seeds = 1, .bugs = bugs});
  const std::string story = sim::explain(experiment, seed, bugs);
  std::fputs(story.c_str(), stderr);
  fmt::print(
      "{{\"suite\":\"promises-sim\",\"seed\":{},\"seeds\":1,\"violations\":{},\"determinism_"
      "checked\":"
      "{}}}\n",
      seed, report.failed.size(), report.determinism_checked);
  return report.failed.empty() ? 0 : 1;
}

std::size_t report_planted(const std::vector<sim::PlantedBug>& planted) {
  std::size_t missed = 0;
  for (const auto& bug : planted) {
    missed += bug.found ? 0 : 1;
    fmt::print(stderr, "  {:<24} {:>5} seeds  {}\n", bug.name, bug.seeds,
               bug.found ? bug.violation : "MISSED");
  }
  return missed;
}

int soak(const sim::Experiment& experiment, const Arguments& arguments) {
  const std::uint64_t first = arguments.seed.value_or(1);
  fmt::print(stderr, "planted bugs, each until it is found:\n");
  std::vector<sim::PlantedBug> planted;
  if (arguments.planted > 0)
    planted = sim::find_planted(experiment, first, arguments.planted, arguments.threads);
  const std::size_t missed = report_planted(planted);
  fmt::print(stderr, "seeds from {}:\n", first);
  const auto report = sim::explore(
      experiment,
      {.first_seed = first,
       .seeds = arguments.seeds.value_or(~std::uint64_t{0}),
       .time_limit = std::chrono::seconds(arguments.seconds.value_or(arguments.seeds ? 0 : 30)),
       .threads = arguments.threads});
  for (const auto& failed : report.failed) {
    fmt::print(stderr, "seed {}: {}\n", failed.seed, failed.violation);
    std::fputs(sim::explain(experiment, failed.seed, 0).c_str(), stderr);
  }
  for (const auto& [name, point] : report.buggify) {
    fmt::print(stderr, "  buggify {:<24} fired {} of {}\n", name, point.fired, point.asked);
  }
  const double simulated = seconds(report.simulated);
  const double real = seconds(report.thread_time);
  fmt::print(
      "{{\"suite\":\"promises-sim\",\"seeds\":{},\"sim_ratio\":{:.0f},\"events_per_s\":{:.0f},"
      "\"messages_per_sim_s\":{:.1f},\"sim_s_per_fault\":{:.2f},\"threads\":{},\"planted\":{},"
      "\"missed\":{},\"violations\":{},\"determinism_checked\":{}}}\n",
      report.seeds, simulated / real, static_cast<double>(report.events) / real,
      static_cast<double>(report.messages) / simulated,
      simulated / static_cast<double>(std::max<std::uint64_t>(report.faults, 1)), arguments.threads,
      planted.size(), missed, report.failed.size(), report.determinism_checked);
  return report.failed.empty() && missed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = parse(argc, argv);
  const auto experiment = promise_sim::promises_experiment();
  const auto bugs = arguments ? bug_mask(experiment, arguments->bug) : std::nullopt;
  if (!bugs) {
    fmt::print(stderr,
               "usage: soak_promises_sim [--seconds N] [--seeds N] [--seed S] [--bug NAME] "
               "[--planted N] [--threads N]\n");
    return 2;
  }
  if (arguments->seed && !arguments->seconds && !arguments->seeds)
    return replay(experiment, *arguments->seed, *bugs);
  return soak(experiment, *arguments);
}
