// Random commits on volumes and on a plain model in memory, everything compared: what each commit
// touched, the whole tree now and at earlier seqs, replays, versions that are held, a copy made by
// redoing the records, digests, rollbacks, upkeep, closing and opening.
//
//   soak_store_model [--seconds N] [--seed S] [--rounds N] [--threads N]
//
// A round is one volume with a seed, and 400 sequences of 4 to 12 steps. In one round of three,
// three threads share the volume; the others can be repeated by --seed and --rounds 1. Last line:
// {"sequences":..,"commits":..,...,"violations":..}

#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "common/sync/locked.hpp"
#include "tests/support/soak_scratch.hpp"
#include "tests/support/store_round.hpp"

namespace {

using common::Instant;
using test_support::RoundCounts;

const common::SystemClock kClock;
constexpr std::uint64_t kMostViolations = 10;

struct Shared {
  const test_support::SoakScratch scratch;
  Instant end;
  std::atomic<std::uint64_t> next_seed{1};
  std::uint64_t last_seed = 0;  // 0: no end but time
  std::atomic<std::uint64_t> rounds{0};
  std::atomic<std::uint64_t> violations{0};
  std::atomic<std::uint64_t> not_judged{0};  // rounds
  common::Locked<RoundCounts> counts;
};

void run_rounds(Shared& shared) {
  while (kClock.now() < shared.end && shared.violations < kMostViolations) {
    const std::uint64_t seed = shared.next_seed++;
    if (shared.last_seed != 0 && seed > shared.last_seed)
      return;
    const test_support::RemovedAtEnd directory(shared.scratch.make());
    RoundCounts counts;
    test_support::RoundOptions options;
    options.seed = seed;
    options.directory = directory.path();
    const common::Status status = test_support::run_store_round(options, counts);
    if (!status && status.error().code == common::ErrorCode::DeadlineExceeded) {
      // A machine that gave no time for as long as a call waits says nothing about the volume.
      ++shared.not_judged;
      std::fprintf(stderr, "not judged: seed %llu: %s\n", static_cast<unsigned long long>(seed),
                   status.error().message.c_str());
    } else if (!status) {
      ++shared.violations;
      std::fprintf(stderr, "violation: seed %llu, sequence %llu: %s\n",
                   static_cast<unsigned long long>(seed),
                   static_cast<unsigned long long>(counts.sequences),
                   status.error().message.c_str());
    }
    auto all = shared.counts.lock();
    all->add(counts);
    if (++shared.rounds % 20 == 0)
      std::fprintf(stderr, "%llu rounds, %llu sequences, %llu commits\n",
                   static_cast<unsigned long long>(shared.rounds.load()),
                   static_cast<unsigned long long>(all->sequences),
                   static_cast<unsigned long long>(all->commits));
  }
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
  Shared shared;
  const std::uint64_t rounds = argument(argc, argv, "--rounds", 0);
  shared.end = kClock.now() +
               std::chrono::seconds(argument(argc, argv, "--seconds", rounds == 0 ? 60 : 86'400));
  shared.next_seed = argument(argc, argv, "--seed", 1);
  if (rounds != 0)
    shared.last_seed = shared.next_seed + rounds - 1;
  const std::uint64_t threads =
      argument(argc, argv, "--threads", std::max(std::thread::hardware_concurrency(), 1U));
  std::vector<std::thread> workers;
  for (std::uint64_t i = 0; i < threads; ++i)
    workers.emplace_back([&] { run_rounds(shared); });
  for (std::thread& worker : workers)
    worker.join();
  auto all = shared.counts.lock();
  const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "{\"sequences\":%llu,\"commits\":%llu,\"refused\":%llu,\"replays\":%llu,\"compared\":%llu,"
      "\"compared_past\":%llu,\"rounds\":%llu,\"digests\":%llu,\"rollbacks\":%llu,"
      "\"reopened\":%llu,\"not_judged\":%llu,\"violations\":%llu}\n",
      number(all->sequences), number(all->commits), number(all->refused), number(all->replays),
      number(all->compared), number(all->compared_past), number(shared.rounds),
      number(all->digests), number(all->rollbacks), number(all->reopened),
      number(shared.not_judged), number(shared.violations));
  return shared.violations == 0 ? 0 : 1;
}
