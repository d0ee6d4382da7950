#include "common/sim/explore.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <thread>

#include "common/sim/shrink.hpp"
#include "common/sync/locked.hpp"

namespace common::sim {
namespace {

Duration real_now() {
  return SystemClock().now().time_since_epoch();
}

void add_run(ExploreReport& total, const RunReport& run) {
  total.events += run.events;
  total.messages += run.messages;
  total.faults += run.faults;
  total.simulated += run.ran;
  for (const auto& point : run.buggify) {
    auto& sum = total.buggify[point.name];
    sum.asked += point.asked;
    sum.fired += point.fired;
  }
}

void add_report(ExploreReport& total, ExploreReport part) {
  total.seeds += part.seeds;
  total.determinism_checked += part.determinism_checked;
  total.events += part.events;
  total.messages += part.messages;
  total.faults += part.faults;
  total.simulated += part.simulated;
  total.thread_time += part.thread_time;
  std::move(part.failed.begin(), part.failed.end(), std::back_inserter(total.failed));
  for (const auto& [name, point] : part.buggify) {
    total.buggify[name].asked += point.asked;
    total.buggify[name].fired += point.fired;
  }
}

void explore_seed(const Experiment& experiment, const ExploreOptions& options, std::uint64_t seed,
                  ExploreReport& report) {
  const RunOptions run_options{.bugs = options.bugs};
  const RunReport first = experiment.run(experiment.plan(seed), run_options);
  ++report.seeds;
  add_run(report, first);
  if (options.twice_every > 0 && seed % options.twice_every == 0) {
    // The plan too is made again: it must follow from the seed alone.
    const RunReport second = experiment.run(experiment.plan(seed), run_options);
    add_run(report, second);
    ++report.determinism_checked;
    if (first.hash != second.hash || first.violation != second.violation) {
      report.failed.push_back({seed, Failure::None, "two runs of one seed differ"});
      return;
    }
  }
  if (first.failure != Failure::None) {
    report.failed.push_back(
        {seed, first.failure,
         fmt::format("{:.6f}s: {}", static_cast<double>(first.violated_at.count()) / 1e9,
                     first.violation)});
  }
}

}  // namespace

ExploreReport explore(const Experiment& experiment, const ExploreOptions& options) {
  std::atomic<std::uint64_t> next{0};
  std::atomic<std::uint64_t> failures{0};
  Locked<ExploreReport> total;
  const Duration begun = real_now();
  const auto worker_main = [&] {
    ExploreReport mine;
    const Duration start = real_now();
    for (;;) {
      const std::uint64_t index = next.fetch_add(1);
      if (index >= options.seeds || failures >= options.max_failures)
        break;
      if (options.time_limit.count() > 0 && real_now() - begun >= options.time_limit)
        break;
      const std::size_t failed_before = mine.failed.size();
      explore_seed(experiment, options, options.first_seed + index, mine);
      failures += mine.failed.size() - failed_before;
    }
    mine.thread_time = real_now() - start;
    auto sum = total.lock();
    add_report(*sum, std::move(mine));
  };
  std::vector<std::thread> workers;
  for (unsigned i = 1; i < std::max(options.threads, 1U); ++i)
    workers.emplace_back(worker_main);
  worker_main();
  for (auto& worker : workers)
    worker.join();
  auto sum = total.lock();
  std::sort(sum->failed.begin(), sum->failed.end(),
            [](const FailedSeed& a, const FailedSeed& b) { return a.seed < b.seed; });
  return std::move(*sum);
}

std::vector<PlantedBug> find_planted(const Experiment& experiment, std::uint64_t first_seed,
                                     std::uint64_t max_seeds, unsigned threads) {
  std::vector<PlantedBug> bugs;
  for (std::size_t i = 0; i < experiment.bugs.size(); ++i) {
    const ExploreReport report = explore(experiment, {.first_seed = first_seed,
                                                      .seeds = max_seeds,
                                                      .threads = threads,
                                                      .twice_every = 0,
                                                      .bugs = std::uint64_t{1} << i});
    PlantedBug bug;
    bug.name = experiment.bugs[i];
    bug.seeds = report.seeds;
    if (!report.failed.empty()) {
      bug.found = true;
      bug.seed = report.failed.front().seed;
      bug.violation = report.failed.front().violation;
    }
    bugs.push_back(std::move(bug));
  }
  return bugs;
}

std::string explain(const Experiment& experiment, std::uint64_t seed, std::uint64_t bugs) {
  const Plan plan = experiment.plan(seed);
  const RunReport first = experiment.run(plan, {.bugs = bugs});
  if (first.failure == Failure::None)
    return {};
  const Shrunk shrunk = shrink(experiment, plan, bugs);
  std::string text = fmt::format(
      "{}: seed {} fails: {}\nshrunk in {} runs from {} faults and {} work items to {} and {}\n",
      experiment.name, seed, first.violation, shrunk.runs, plan.faults.size(), plan.work.size(),
      shrunk.plan.faults.size(), shrunk.plan.work.size());
  text += describe(shrunk.plan);
  for (const auto& line : shrunk.report.trace)
    text += line + '\n';
  return text;
}

}  // namespace common::sim
