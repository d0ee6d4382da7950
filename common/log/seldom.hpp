#pragma once

// Holds back log lines that others can cause as often as they like.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "common/clock.hpp"
#include "common/sync/mutex.hpp"

namespace common::log {

// A bucket of lines: `burst` at once, one more for each `every` that passes. Safe from any thread.
class Seldom {
 public:
  explicit Seldom(Duration every, std::uint32_t burst = 1)
      : every_(every), burst_(burst), left_(burst) {}

  // Nothing: hold this one back. Else how many were held back since the last that was not.
  [[nodiscard]] std::optional<std::uint64_t> admit(Instant now) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    if (left_ < burst_ && now > since_) {
      const auto earned = static_cast<std::uint64_t>((now - since_) / every_);
      left_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(burst_, left_ + earned));
      since_ += every_ * static_cast<std::int64_t>(earned);
    }
    if (left_ == 0) {
      ++held_back_;
      return std::nullopt;
    }
    if (left_ == burst_)
      since_ = now;
    --left_;
    return std::exchange(held_back_, 0);
  }

 private:
  const Duration every_;
  const std::uint32_t burst_;
  Mutex mutex_;
  std::uint32_t left_ GUARDED_BY(mutex_);
  Instant since_ GUARDED_BY(mutex_){};  // from when on time earns the next
  std::uint64_t held_back_ GUARDED_BY(mutex_) = 0;
};

}  // namespace common::log
