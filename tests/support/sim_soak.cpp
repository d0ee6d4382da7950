#include "tests/support/sim_soak.hpp"

#include <fmt/format.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "common/sim/explore.hpp"

namespace test_support {
namespace {

using namespace common;

// Seeds in which a planted bug must be found. The rarest needs some hundreds on average, so a miss
// by bad luck is out of the question.
constexpr std::uint64_t kSeedsPerBug = 20'000;
constexpr std::chrono::seconds kUsualTime(30);

struct Arguments {
  std::optional<std::uint64_t> seconds;
  std::optional<std::uint64_t> seeds;
  std::optional<std::uint64_t> seed;
  std::optional<std::uint64_t> planted;
  std::optional<std::uint64_t> twice_every;
  std::optional<std::uint64_t> threads;
  std::uint64_t bugs = 0;
};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end)
    return std::nullopt;
  return value;
}

std::optional<std::uint64_t> bug_mask(const sim::Experiment& experiment, std::string_view name) {
  const auto found = std::find(experiment.bugs.begin(), experiment.bugs.end(), name);
  if (found == experiment.bugs.end())
    return std::nullopt;
  return std::uint64_t{1} << (found - experiment.bugs.begin());
}

std::optional<std::uint64_t>* option(Arguments& arguments, std::string_view name) {
  if (name == "--seconds")
    return &arguments.seconds;
  if (name == "--seeds")
    return &arguments.seeds;
  if (name == "--seed")
    return &arguments.seed;
  if (name == "--planted")
    return &arguments.planted;
  if (name == "--twice-every")
    return &arguments.twice_every;
  return name == "--threads" ? &arguments.threads : nullptr;
}

std::optional<Arguments> parse(const sim::Experiment& experiment, int argc,
                               const char* const* argv) {
  Arguments arguments;
  if (argc % 2 == 0)
    return std::nullopt;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--bug") {
      const auto bugs = bug_mask(experiment, argv[i + 1]);
      if (!bugs)
        return std::nullopt;
      arguments.bugs = *bugs;
      continue;
    }
    auto* const place = option(arguments, name);
    const auto value = number(argv[i + 1]);
    if (place == nullptr || !value)
      return std::nullopt;
    *place = value;
  }
  return arguments;
}

void usage(std::string_view suite, const sim::Experiment& experiment) {
  fmt::print(stderr,
             "usage: {} [--seconds N] [--seeds N] [--seed S] [--bug NAME] [--planted N] "
             "[--twice-every N] [--threads N]\nbugs: {}\n",
             suite, fmt::join(experiment.bugs, " "));
}

double in_seconds(Duration d) {
  return static_cast<double>(d.count()) / 1e9;
}

// One seed alone: pass, or the whole story.
SimSoakResult replay(std::string_view suite, const sim::Experiment& experiment, std::uint64_t seed,
                     std::uint64_t bugs) {
  const auto report = sim::explore(experiment, {.first_seed = seed, .seeds = 1, .bugs = bugs});
  std::fputs(sim::explain(experiment, seed, bugs).c_str(), stderr);
  return {.json = fmt::format("{{\"suite\":\"{}\",\"seed\":{},\"seeds\":1,\"violations\":{},"
                              "\"determinism_checked\":{}}}",
                              suite, seed, report.failed.size(), report.determinism_checked),
          .exit_code = report.failed.empty() ? 0 : 1};
}

std::size_t report_planted(const std::vector<sim::PlantedBug>& planted) {
  std::size_t missed = 0;
  for (const auto& bug : planted) {
    missed += bug.found ? 0 : 1;
    fmt::print(stderr, "  {:<28} {:>5} seeds  {}\n", bug.name, bug.seeds,
               bug.found ? bug.violation : "MISSED");
  }
  return missed;
}

void tell(const sim::Experiment& experiment, const sim::ExploreReport& report, std::uint64_t bugs) {
  for (const auto& failed : report.failed) {
    fmt::print(stderr, "seed {}: {}\n", failed.seed, failed.violation);
    std::fputs(sim::explain(experiment, failed.seed, bugs).c_str(), stderr);
  }
  for (const auto& [name, point] : report.buggify)
    fmt::print(stderr, "  buggify {:<24} fired {} of {}\n", name, point.fired, point.asked);
}

SimSoakResult soak(std::string_view suite, const sim::Experiment& experiment,
                   const Arguments& arguments) {
  const std::uint64_t first = arguments.seed.value_or(1);
  const auto threads = static_cast<unsigned>(
      arguments.threads.value_or(std::max(std::thread::hardware_concurrency(), 1U)));
  std::vector<sim::PlantedBug> planted;
  if (const std::uint64_t seeds = arguments.planted.value_or(kSeedsPerBug); seeds > 0) {
    fmt::print(stderr, "planted bugs, each until it is found:\n");
    planted = sim::find_planted(experiment, first, seeds, threads);
  }
  const std::size_t missed = report_planted(planted);
  fmt::print(stderr, "seeds from {}:\n", first);
  const auto usual = arguments.seeds ? std::chrono::seconds(0) : kUsualTime;
  const auto report = sim::explore(
      experiment,
      {.first_seed = first,
       .seeds = arguments.seeds.value_or(~std::uint64_t{0}),
       .time_limit = arguments.seconds ? std::chrono::seconds(*arguments.seconds) : usual,
       .threads = threads,
       .twice_every = arguments.twice_every.value_or(1),
       .bugs = arguments.bugs});
  tell(experiment, report, arguments.bugs);
  const double simulated = in_seconds(report.simulated);
  const double real = in_seconds(report.thread_time);
  const auto faults = static_cast<double>(std::max<std::uint64_t>(report.faults, 1));
  return {
      .json = fmt::format(
          "{{\"suite\":\"{}\",\"first_seed\":{},\"seeds\":{},\"sim_ratio\":{:.0f},"
          "\"events_per_s\":{:.0f},\"messages_per_sim_s\":{:.1f},\"sim_s_per_fault\":{:.2f},"
          "\"threads\":{},\"planted\":{},\"missed\":{},\"violations\":{},"
          "\"determinism_checked\":{}}}",
          suite, first, report.seeds, simulated / real, static_cast<double>(report.events) / real,
          static_cast<double>(report.messages) / simulated, simulated / faults, threads,
          planted.size(), missed, report.failed.size(), report.determinism_checked),
      .exit_code = report.failed.empty() && missed == 0 ? 0 : 1};
}

}  // namespace

SimSoakResult run_sim_soak(std::string_view suite, const sim::Experiment& experiment, int argc,
                           const char* const* argv) {
  const auto arguments = parse(experiment, argc, argv);
  if (!arguments) {
    usage(suite, experiment);
    return {.json = {}, .exit_code = 2};
  }
  if (arguments->seed && !arguments->seconds && !arguments->seeds)
    return replay(suite, experiment, *arguments->seed, arguments->bugs);
  return soak(suite, experiment, *arguments);
}

int sim_soak_main(std::string_view suite, const sim::Experiment& experiment, int argc,
                  const char* const* argv) {
#ifdef __GLIBC__
  // Each run frees what it has taken, and the next takes as much: it need not be the kernel's
  // meanwhile.
  constexpr int kKept = 64 << 20;
  ::mallopt(M_TRIM_THRESHOLD, kKept);
  ::mallopt(M_MMAP_THRESHOLD, kKept);
#endif
  const SimSoakResult result = run_sim_soak(suite, experiment, argc, argv);
  if (!result.json.empty())
    fmt::print("{}\n", result.json);
  return result.exit_code;
}

}  // namespace test_support
