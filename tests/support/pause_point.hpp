#pragma once

// The test's end of the failpoint action pause(socket).

#include <chrono>
#include <filesystem>
#include <string>

#include "common/io/unique_fd.hpp"
#include "common/result.hpp"
#include "tests/support/patience.hpp"

namespace test_support {

// Not safe from several threads. The destructor lets go whoever waits.
class PausePoint {
 public:
  [[nodiscard]] static common::Result<PausePoint> open(const std::filesystem::path& path);

  // For TROTH_FAILPOINTS or arm(): "pause(<path>)".
  [[nodiscard]] std::string action() const;
  // Waits until the process stands at the place; returns the place's name.
  [[nodiscard]] common::Result<std::string> wait_reached(
      std::chrono::nanoseconds timeout = kPatience);
  // Lets it go on.
  void release() { connection_.reset(); }

 private:
  PausePoint(common::UniqueFd listener, std::filesystem::path path)
      : listener_(std::move(listener)), path_(std::move(path)) {}

  common::UniqueFd listener_;
  common::UniqueFd connection_;
  std::filesystem::path path_;
};

}  // namespace test_support
