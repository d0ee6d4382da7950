#pragma once

// Bounds the scrypt that the KDC computes when passwords are set: logins, whose scrypt the client
// computes, do not come by here.

#include <cstddef>
#include <functional>
#include <memory>

#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/sync/mutex.hpp"

namespace kdc {

// Enough for a burst of administrators' work; more would only time out.
inline constexpr std::size_t kMostScryptWaiting = 16;
// Half of the cores, at least one.
std::size_t scrypt_at_once();

// Safe from any thread.
class ScryptGate {
 public:
  ScryptGate(std::size_t at_once, std::size_t waiting, const common::Clock& clock)
      : at_once_(at_once), most_waiting_(waiting), clock_(clock) {}

  // Held while scrypt is computed, however often.
  class Place {
   public:
    explicit Place(ScryptGate& gate) : gate_(&gate) {}
    Place(Place&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (gate_ != nullptr)
        gate_->leave();
    }

   private:
    ScryptGate* gate_;
  };

  // Blocks until there is room. Overloaded at once if too many wait; DeadlineExceeded; Cancelled
  // once `cancelled` says so, which is asked now and then.
  [[nodiscard]] common::Result<Place> enter(common::Instant deadline,
                                            const std::function<bool()>& cancelled)
      EXCLUDES(mutex_);

  [[nodiscard]] std::size_t waiting() const EXCLUDES(mutex_);
  [[nodiscard]] std::size_t running() const EXCLUDES(mutex_);

 private:
  void leave() EXCLUDES(mutex_);

  const std::size_t at_once_;
  const std::size_t most_waiting_;
  const common::Clock& clock_;
  mutable common::Mutex mutex_;
  common::CondVar left_;
  std::size_t running_ GUARDED_BY(mutex_) = 0;
  std::size_t waiting_ GUARDED_BY(mutex_) = 0;
};

}  // namespace kdc
