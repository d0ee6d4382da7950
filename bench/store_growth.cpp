// How much slower a volume of ten million nodes creates files than one of ten thousand.
//   bench_store_growth [--json] [--nodes N]
// Both volumes are measured by turns, so that whatever else the machine does hits both. "own": each
// of 16 callers in a directory of its own; "random": each file in a random one of 900 directories.

#include <cstring>

#include "bench/store_tools.hpp"

namespace {

using namespace bench;
using store::NodeId;
using store::Volume;

const common::SystemClock kClock;
constexpr int kRuns = 5;
constexpr int kCallers = 16;
constexpr double kSeconds = 4;
constexpr std::size_t kDirectories = 900;

struct Filled {
  std::unique_ptr<Volume> volume;
  std::vector<NodeId> directories;
  std::uint64_t names = 0;  // given so far
  int rounds = 0;
};

Filled fill(const Scratch& scratch, const char* name, std::uint64_t nodes) {
  Filled filled;
  filled.volume =
      must(Volume::create(scratch.make(name), common::VolumeId{1}, {}, kClock), "a volume");
  for (std::size_t i = 0; i < kDirectories; ++i)
    filled.directories.push_back(make_directory(*filled.volume, "dir" + std::to_string(i)));
  const double begun = seconds_now();
  // Directory after directory, as copying a tree does.
  const std::uint64_t each = nodes / kDirectories + 1;
  populate(*filled.volume, nodes, [&](std::uint64_t i) {
    return create_file(filled.directories[i / each], random_name(i));
  });
  filled.names = nodes;
  std::fprintf(stderr, "%s: %llu nodes in %.1f s\n", name, static_cast<unsigned long long>(nodes),
               seconds_now() - begun);
  return filled;
}

double own(Filled& filled) {
  std::vector<NodeId> mine;
  for (int i = 0; i < kCallers; ++i)
    mine.push_back(make_directory(*filled.volume,
                                  "own" + std::to_string(filled.rounds) + "-" + std::to_string(i)));
  ++filled.rounds;
  return run_callers(kCallers, kSeconds, false,
                     [&](int caller, std::uint64_t i) {
                       store::CommitRequest request;
                       request.operations = {
                           create_file(mine[static_cast<std::size_t>(caller)], random_name(i))};
                       must(filled.volume->commit(request), "a create");
                     })
      .per_s;
}

double random_places(Filled& filled) {
  std::vector<common::sim::Random> random;
  for (int i = 0; i < kCallers; ++i)
    random.emplace_back(filled.names + static_cast<std::uint64_t>(i));
  constexpr std::uint64_t kEach = 10'000'000;  // more names than a caller gives in a run
  const Rate rate = run_callers(kCallers, kSeconds, false, [&](int caller, std::uint64_t i) {
    auto& mine = random[static_cast<std::size_t>(caller)];
    store::CommitRequest request;
    request.operations = {
        create_file(filled.directories[mine.below(kDirectories)],
                    random_name(filled.names + static_cast<std::uint64_t>(caller) * kEach + i))};
    must(filled.volume->commit(request), "a create");
  });
  filled.names += kEach * kCallers;
  return rate.per_s;
}

std::uint64_t argument(int count, char** values, const char* name, std::uint64_t fallback) {
  for (int i = 1; i + 1 < count; ++i) {
    if (std::strcmp(values[i], name) == 0)
      return std::strtoull(values[i + 1], nullptr, 10);
  }
  return fallback;
}

}  // namespace

int main(int argc, char** argv) {
  const Scratch scratch;
  const std::uint64_t nodes = argument(argc, argv, "--nodes", 10'000'000);
  Filled small = fill(scratch, "small", 10'000);
  Filled large = fill(scratch, "large", nodes);
  std::vector<double> values[4];
  for (int run = 0; run < kRuns; ++run) {
    // The small one would not stay small: it is made anew.
    if (run != 0) {
      must(small.volume->close(), "closing");
      small = fill(scratch, ("small" + std::to_string(run)).c_str(), 10'000);
    }
    values[0].push_back(own(small));
    values[1].push_back(own(large));
    values[2].push_back(random_places(small));
    values[3].push_back(random_places(large));
    std::fprintf(stderr, "own %.0f/s, %.0f/s; random %.0f/s, %.0f/s\n", values[0].back(),
                 values[1].back(), values[2].back(), values[3].back());
  }
  Report report;
  report.value("nodes", static_cast<double>(nodes));
  report.value("create_per_s_own_10k", median(values[0]));
  report.value("create_per_s_own", median(values[1]));
  report.value("create_per_s_random_10k", median(values[2]));
  report.value("create_per_s_random", median(values[3]));
  report.at_least("growth_own", median(values[1]) / median(values[0]), 0.7);
  report.at_least("growth_random", median(values[3]) / median(values[2]), 0.6);
  report.value("rss_MiB", peak_rss_mib());
  report.print();
  must(small.volume->close(), "closing");
  must(large.volume->close(), "closing");
  return 0;
}
