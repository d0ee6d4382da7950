#pragma once

// Times of files: the system's, and the protocol's nanoseconds since 1970, which may be before it.

#include <ctime>

#include "common/fileproto/node.hpp"

namespace common::fileclient {

inline constexpr std::int64_t kNsPerS = 1'000'000'000;

[[nodiscard]] constexpr timespec time_of(fileproto::FileTime ns) {
  timespec time{};
  time.tv_sec = ns / kNsPerS - (ns % kNsPerS < 0 ? 1 : 0);
  time.tv_nsec = (ns % kNsPerS + kNsPerS) % kNsPerS;
  return time;
}
static_assert(time_of(-1).tv_sec == -1 && time_of(-1).tv_nsec == kNsPerS - 1);

[[nodiscard]] constexpr fileproto::FileTime ns_of(const timespec& time) {
  return time.tv_sec * kNsPerS + time.tv_nsec;
}
static_assert(ns_of(time_of(-kNsPerS - 1)) == -kNsPerS - 1);

}  // namespace common::fileclient
