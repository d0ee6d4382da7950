// Flips every byte of a small volume, database and WAL included, one at a time, for as long as
// asked.
//   soak_store_flip --seconds 600 --seed 1
// Last line:
// {"flips":..,"refused":..,"unreadable":..,"found":..,"unused":..,"wrong":..,"older":..,"violations":..}

#include "tests/support/store_flip.hpp"

#include <stdlib.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>

#include "tests/support/db_crash_check.hpp"

namespace {

using test_support::FlipOutcome;
using test_support::FlipState;
using test_support::FlipVolume;

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
  std::string scratch = test_support::scratch_directory() + "/troth-soak-flip-XXXXXX";
  if (::mkdtemp(scratch.data()) == nullptr)
    return 1;
  std::array<std::uint64_t, 6> outcomes{};
  std::uint64_t flips = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  for (const FlipState state : {FlipState::Closed, FlipState::Killed}) {
    const auto until = state == FlipState::Closed ? end - std::chrono::seconds(seconds) / 2 : end;
    const FlipVolume volume(scratch + (state == FlipState::Closed ? "/closed" : "/killed"), state);
    // In an order that visits every byte once, wherever it has to stop: the step is prime and no
    // volume has a multiple of it.
    constexpr std::uint64_t kStep = 1'000'003;
    std::uint64_t byte = seed % volume.bytes();
    for (std::uint64_t i = 0; i < volume.bytes() && std::chrono::steady_clock::now() < until; ++i) {
      const auto flip = volume.flip(byte, static_cast<unsigned>((byte + seed) % 8), true);
      ++flips;
      ++outcomes[static_cast<std::size_t>(flip.outcome)];
      if (flip.outcome == FlipOutcome::Wrong || flip.outcome == FlipOutcome::Older)
        std::fprintf(stderr, "violation: %s at %llu: %s (seed %llu)\n", flip.file.c_str(),
                     static_cast<unsigned long long>(flip.offset), flip.why.c_str(),
                     static_cast<unsigned long long>(seed));
      byte = (byte + kStep) % volume.bytes();
    }
    std::fprintf(
        stderr, "%s: %llu flips of %llu bytes\n", state == FlipState::Closed ? "closed" : "killed",
        static_cast<unsigned long long>(flips), static_cast<unsigned long long>(volume.bytes()));
  }
  std::filesystem::remove_all(scratch);
  const auto count = [&](FlipOutcome outcome) {
    return static_cast<unsigned long long>(outcomes[static_cast<std::size_t>(outcome)]);
  };
  const auto violations = count(FlipOutcome::Wrong) + count(FlipOutcome::Older);
  std::printf(
      "{\"flips\":%llu,\"refused\":%llu,\"unreadable\":%llu,\"found\":%llu,\"unused\":%llu,"
      "\"wrong\":%llu,\"older\":%llu,\"violations\":%llu}\n",
      static_cast<unsigned long long>(flips), count(FlipOutcome::Refused),
      count(FlipOutcome::Unreadable), count(FlipOutcome::Found), count(FlipOutcome::Unused),
      count(FlipOutcome::Wrong), count(FlipOutcome::Older), violations);
  return violations == 0 ? 0 : 1;
}
