#pragma once

// When a mount dials again. Ten thousand mounts lose their streams in the same millisecond when a
// server restarts, and each handshake costs that server a third of a millisecond of CPU: the first
// attempt is spread over `spread`, later ones back off. Pure: randomness is handed in.

#include <chrono>
#include <cstdint>

#include "common/clock.hpp"

namespace common::stream {

struct RedialOptions {
  std::chrono::milliseconds spread{10'000};
  // Ceiling of the growing pause: a server that comes back is found within about a minute.
  std::chrono::milliseconds longest{60'000};
  // Never spin, whatever the dice say.
  std::chrono::milliseconds shortest{50};
};

class Redial {
 public:
  explicit Redial(RedialOptions options) : options_(options) {}

  // The stream was opened: the next failure is the first one again.
  void succeeded() { failures_ = 0; }

  // How long to wait before the next attempt after a failure. `random` is uniform over 64 bits;
  // `at_least` is what the server asked for.
  Duration failed(std::uint64_t random, std::chrono::milliseconds at_least);

 private:
  RedialOptions options_;
  unsigned failures_ = 0;
};

}  // namespace common::stream
