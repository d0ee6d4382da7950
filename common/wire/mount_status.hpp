#pragma once

// What a mount says about itself over its local socket: one JSON object on one line.

#include <cstdint>
#include <string>
#include <string_view>

#include "common/result.hpp"

namespace common::wire {

struct MountStatus {
  std::string version;      // of the program
  std::string mount_point;  // absolute path; any bytes but NUL
  std::string message;      // one sentence for people
  std::uint64_t uptime_s = 0;
  std::uint64_t pid = 0;
  bool ready = false;  // files can be used
};

// Longest line that is written or read.
inline constexpr std::size_t kMaxMountStatus = 16 * 1024;

// One line with its newline. Fails only if it would be too long.
Result<std::string> encode_mount_status(const MountStatus& status);
// The line, with or without its newline. Fields it does not know are ignored: a newer mount may say
// more.
Result<MountStatus> decode_mount_status(std::string_view line);

}  // namespace common::wire
