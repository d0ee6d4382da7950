#pragma once

// Runs many seeds: looks for violations, proves determinism, and proves that planted bugs are
// found. Seeds run in parallel; each run is single-threaded and shares nothing with the others.

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/sim/experiment.hpp"

namespace common::sim {

struct ExploreOptions {
  std::uint64_t first_seed = 1;
  std::uint64_t seeds = 1000;  // at most this many
  // No new seed is begun after this; zero: no limit.
  std::chrono::nanoseconds time_limit{0};
  unsigned threads = 1;
  // Of so many seeds one runs twice, and the hashes are compared; 1: every one; 0: none.
  std::uint64_t twice_every = 1;
  std::uint64_t bugs = 0;
  // Seeds are given up after this many have failed.
  std::uint64_t max_failures = 1;
};

struct FailedSeed {
  std::uint64_t seed = 0;
  Failure failure = Failure::None;  // None: the two runs differed
  std::string violation;
};

struct ExploreReport {
  std::uint64_t seeds = 0;
  std::uint64_t determinism_checked = 0;  // seeds whose two runs were compared
  std::uint64_t events = 0;               // these five count both runs of a seed
  std::uint64_t messages = 0;
  std::uint64_t faults = 0;
  Duration simulated{};
  Duration thread_time{};          // real time of all threads together
  std::vector<FailedSeed> failed;  // in order of seed
  struct Point {
    std::uint64_t asked = 0;
    std::uint64_t fired = 0;
  };
  std::map<std::string, Point> buggify;
};

ExploreReport explore(const Experiment& experiment, const ExploreOptions& options);

struct PlantedBug {
  std::string name;
  bool found = false;
  std::uint64_t seeds = 0;  // tried, the finding one included
  std::uint64_t seed = 0;   // that found it
  std::string violation;
};

// Plants each bug alone and runs seeds until one fails, at most `max_seeds`. A bug that stays
// unfound is a hole in the scenario's invariants or faults.
std::vector<PlantedBug> find_planted(const Experiment& experiment, std::uint64_t first_seed,
                                     std::uint64_t max_seeds, unsigned threads);

// Shrinks the failure of `seed` and tells the story: plan, trace, violation. Empty if it passes.
std::string explain(const Experiment& experiment, std::uint64_t seed, std::uint64_t bugs);

}  // namespace common::sim
