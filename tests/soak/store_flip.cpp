// Flips every byte of a small volume, database and WAL included, one at a time; or as many as there
// is time for.
//   soak_store_flip --seconds 600 --seed 1
// Last line:
// {"bytes":..,"flips":..,"refused":..,"unreadable":..,"found":..,"unused":..,"wrong":..,"older":..,
//  "violations":..}
// Of a volume that was closed, and of one that was killed with commits in its WAL, every byte; of
// the latter after a power loss every byte but those of the database's own file, which are judged
// as before. `unused`: nothing that anybody reads; stderr says in which file how many.

#include "tests/support/store_flip.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "common/sync/locked.hpp"
#include "tests/support/soak_scratch.hpp"

namespace {

using test_support::FlipOutcome;
using test_support::FlipState;
using test_support::FlipVolume;
using Time = std::chrono::steady_clock::time_point;

struct Counts {
  std::uint64_t bytes = 0;
  std::uint64_t flips = 0;
  std::array<std::uint64_t, 6> outcomes{};
  std::map<std::string, std::uint64_t> unused;

  [[nodiscard]] unsigned long long of(FlipOutcome outcome) const {
    return outcomes[static_cast<std::size_t>(outcome)];
  }
};

void count(common::Locked<Counts>& all, const FlipVolume::Flip& flip, std::uint64_t seed) {
  auto counts = all.lock();
  ++counts->flips;
  ++counts->outcomes[static_cast<std::size_t>(flip.outcome)];
  if (flip.outcome == FlipOutcome::Unused)
    ++counts->unused[flip.file];
  if (flip.outcome == FlipOutcome::Wrong || flip.outcome == FlipOutcome::Older)
    std::fprintf(stderr, "violation: %s at %llu: %s (seed %llu)\n", flip.file.c_str(),
                 static_cast<unsigned long long>(flip.offset), flip.why.c_str(),
                 static_cast<unsigned long long>(seed));
  if (counts->flips % 10'000 == 0)
    std::fprintf(stderr, "%llu of %llu bytes\n", static_cast<unsigned long long>(counts->flips),
                 static_cast<unsigned long long>(counts->bytes));
}

void flip_all(const FlipVolume& volume, std::uint64_t first, std::uint64_t seed, Time until,
              common::Locked<Counts>& counts) {
  // In an order that visits every byte once, wherever it has to stop: the step is prime and no
  // volume has a multiple of it.
  constexpr std::uint64_t kStep = 1'000'003;
  const std::uint64_t bytes = volume.bytes() - first;
  std::atomic<std::uint64_t> next{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < std::max(std::thread::hardware_concurrency(), 1U); ++t) {
    threads.emplace_back([&, t] {
      while (std::chrono::steady_clock::now() < until) {
        const std::uint64_t i = next++;
        if (i >= bytes)
          return;
        const std::uint64_t byte = first + (seed + i * kStep) % bytes;
        count(counts, volume.flip(byte, static_cast<unsigned>((byte + seed) % 8), true, t), seed);
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
}

std::uint64_t number_after(int argc, char** argv, const char* word, std::uint64_t otherwise) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], word) == 0)
      return std::strtoull(argv[i + 1], nullptr, 10);
  }
  return otherwise;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t seconds = number_after(argc, argv, "--seconds", 60);
  const std::uint64_t seed = number_after(argc, argv, "--seed", 1);
  const test_support::SoakScratch scratch;
  common::Locked<Counts> all;
  const Time end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  const FlipVolume closed(scratch.path() + "/closed", FlipState::Closed);
  const FlipVolume killed(scratch.path() + "/killed", FlipState::Killed);
  const FlipVolume powerless(scratch.path() + "/powerless", FlipState::PowerLost);
  const std::uint64_t database = powerless.database_bytes();
  all.lock()->bytes = closed.bytes() + killed.bytes() + powerless.bytes() - database;
  // Each has its share of the time that is left.
  const auto share = [&](int parts) {
    const auto now = std::chrono::steady_clock::now();
    return now + (end - now) / parts;
  };
  flip_all(powerless, database, seed, share(3), all);
  flip_all(closed, 0, seed, share(2), all);
  flip_all(killed, 0, seed, share(1), all);
  auto counts = all.lock();
  for (const auto& [file, unused] : counts->unused)
    std::fprintf(stderr, "unused: %llu bytes of %s\n", static_cast<unsigned long long>(unused),
                 file.c_str());
  const auto violations = counts->of(FlipOutcome::Wrong) + counts->of(FlipOutcome::Older);
  std::printf(
      "{\"bytes\":%llu,\"flips\":%llu,\"refused\":%llu,\"unreadable\":%llu,\"found\":%llu,"
      "\"unused\":%llu,\"wrong\":%llu,\"older\":%llu,\"violations\":%llu}\n",
      static_cast<unsigned long long>(counts->bytes),
      static_cast<unsigned long long>(counts->flips), counts->of(FlipOutcome::Refused),
      counts->of(FlipOutcome::Unreadable), counts->of(FlipOutcome::Found),
      counts->of(FlipOutcome::Unused), counts->of(FlipOutcome::Wrong),
      counts->of(FlipOutcome::Older), violations);
  return violations == 0 ? 0 : 1;
}
