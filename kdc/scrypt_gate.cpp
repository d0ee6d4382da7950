#include "kdc/scrypt_gate.hpp"

#include <algorithm>
#include <thread>

namespace kdc {
namespace {

// How often a waiting call looks whether anybody still wants its answer.
constexpr std::chrono::milliseconds kLookEvery{200};
// Some scrypts take about this long.
constexpr std::chrono::milliseconds kRetryAfter{500};

}  // namespace

std::size_t scrypt_at_once() {
  return std::max<std::size_t>(1, std::thread::hardware_concurrency() / 2);
}

common::Result<ScryptGate::Place> ScryptGate::enter(common::Instant deadline,
                                                    const std::function<bool()>& cancelled) {
  using common::ErrorCode;
  common::MutexLock lock(mutex_);
  if (running_ >= at_once_ && waiting_ >= most_waiting_) {
    auto refusal = common::fail(ErrorCode::Overloaded,
                                "too many passwords are being set at once; try again in a moment");
    refusal.value().retry_after = kRetryAfter;
    return refusal;
  }
  ++waiting_;
  while (running_ >= at_once_) {
    const common::Duration left = deadline - clock_.now();
    if (left <= common::Duration::zero()) {
      --waiting_;
      return common::fail(ErrorCode::DeadlineExceeded,
                          "other passwords are still being set; nothing was changed");
    }
    left_.wait_for(mutex_, std::min<common::Duration>(left, kLookEvery));
    if (running_ >= at_once_ && cancelled()) {
      --waiting_;
      return common::fail(ErrorCode::Cancelled, "the caller has gone; nothing was changed");
    }
  }
  --waiting_;
  ++running_;
  return Place(*this);
}

void ScryptGate::leave() {
  {
    const common::MutexLock lock(mutex_);
    --running_;
  }
  left_.notify_one();
}

std::size_t ScryptGate::waiting() const {
  const common::MutexLock lock(mutex_);
  return waiting_;
}

std::size_t ScryptGate::running() const {
  const common::MutexLock lock(mutex_);
  return running_;
}

}  // namespace kdc
