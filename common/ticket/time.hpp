#pragma once

// Times as tickets carry them: milliseconds since 1970 UTC.

#include <chrono>

#include "common/clock.hpp"

namespace common::ticket {

using Milliseconds = std::chrono::milliseconds;
using Time = std::chrono::sys_time<Milliseconds>;

// The end of the year 9999. No message holds a later time or a longer duration, so adding and
// subtracting any two of them stays far from the limits of 64 bits.
inline constexpr Time kLatestTime{Milliseconds{253'402'300'799'999}};

// How far a clock may be off before a ticket or a proof is refused.
inline constexpr std::chrono::minutes kMaxSkew{5};

inline Time to_time(WallTime time) {
  return std::chrono::floor<Milliseconds>(time);
}

}  // namespace common::ticket
