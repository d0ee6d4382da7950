#pragma once

// What comes of many files at once: counts, and what went wrong with each.

#include <atomic>
#include <functional>
#include <string>

#include "common/result.hpp"
#include "common/sync/mutex.hpp"

namespace common::fileclient {

// Any thread.
class TreeReport {
 public:
  // `tell` hears of one failure at a time, from any thread.
  using Tell = std::function<void(const std::string& path, const Error& error)>;
  explicit TreeReport(Tell tell) : tell_(std::move(tell)) {}

  std::atomic<std::uint64_t> files{0};
  std::atomic<std::uint64_t> directories{0};
  std::atomic<std::uint64_t> links{0};
  std::atomic<std::uint64_t> unchanged{0};  // were there already, alike in size and time
  std::atomic<std::uint64_t> bytes{0};

  void problem(const std::string& path, const Error& error) EXCLUDES(mutex_) {
    ++problems_;
    const MutexLock lock(mutex_);
    if (tell_)
      tell_(path, error);
  }
  [[nodiscard]] std::uint64_t problems() const { return problems_; }

 private:
  std::atomic<std::uint64_t> problems_{0};
  Mutex mutex_;
  const Tell tell_;
};

// Failures after which going on with other files makes no sense.
[[nodiscard]] inline bool ends_everything(const Error& error) {
  return error.code == ErrorCode::Cancelled || error.code == ErrorCode::Unauthenticated ||
         error.code == ErrorCode::Unavailable || error.code == ErrorCode::DeadlineExceeded ||
         error.code == ErrorCode::Overloaded;
}

}  // namespace common::fileclient
