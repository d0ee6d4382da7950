#pragma once

// One life of a volume beside its model: some hundred random sequences of commits, everything
// compared. Shared by the test and by the soak program.

#include "common/crypto/secret.hpp"
#include "tests/support/store_driver.hpp"

namespace test_support {

struct RoundCounts {
  std::uint64_t sequences = 0;
  std::uint64_t commits = 0;
  std::uint64_t refused = 0;
  std::uint64_t replays = 0;
  std::uint64_t compared = 0;
  std::uint64_t compared_past = 0;
  std::uint64_t digests = 0;
  std::uint64_t rollbacks = 0;
  std::uint64_t reopened = 0;

  void add(const RoundCounts& other);
  void add(const DriverCounts& other);
};

struct RoundOptions {
  std::uint64_t seed = 1;
  int sequences = 400;        // of 4 to 12 steps
  std::string directory;      // an empty one for this round
  std::optional<bool> crowd;  // three threads at once, each below a directory of its own
};

// A failure says what differed.
[[nodiscard]] common::Status run_store_round(const RoundOptions& options, RoundCounts& counts);

}  // namespace test_support
