#pragma once

// Parked calls that are to be run again, and how many may be at once. Internal to the server.
//
// They wait in a queue and not for a refusal: what they have begun must come to its end. A call
// counts in its class while it runs, like any other. So that new calls which fill the class cannot
// hold it up, a few run beyond the class's cap; there are threads left for them, and some more.

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "common/rpc/parked.hpp"
#include "common/rpc/server_connection.hpp"
#include "common/sync/mutex.hpp"

namespace common::rpc {

class WokenCalls {
 public:
  explicit WokenCalls(ServerShared& shared) : shared_(shared) {}
  ~WokenCalls();
  WokenCalls(const WokenCalls&) = delete;
  WokenCalls& operator=(const WokenCalls&) = delete;

  // A call to run now, with the room it takes until it is run and answered, or parked again.
  class Turn {
   public:
    Turn(WokenCalls& calls, std::shared_ptr<Parked> state, bool beyond)
        : calls_(&calls), state_(std::move(state)), beyond_(beyond) {}
    Turn(Turn&& other) noexcept
        : calls_(std::exchange(other.calls_, nullptr)),
          state_(std::move(other.state_)),
          beyond_(other.beyond_) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn() {
      if (calls_ != nullptr)
        calls_->finish(state_->kind(), beyond_);
    }

    [[nodiscard]] Parked& state() const { return *state_; }

   private:
    WokenCalls* calls_;
    std::shared_ptr<Parked> state_;
    bool beyond_;
  };

  // Nothing: none is woken, or those that run now must end first, and will signal. Any thread.
  [[nodiscard]] std::optional<Turn> next() EXCLUDES(mutex_);
  // Whether some wait for their turn, as far as can be seen without the lock.
  [[nodiscard]] bool any() const { return queued_.load() || !shared_.woken->empty(); }

 private:
  void finish(OperationClass kind, bool beyond) EXCLUDES(mutex_);

  ServerShared& shared_;
  Mutex mutex_;
  std::shared_ptr<Parked> first_ GUARDED_BY(mutex_);
  std::size_t beyond_ GUARDED_BY(mutex_) = 0;  // running beyond the cap of their class
  std::atomic<bool> queued_{false};            // whether there is a first: a hint without the lock
};

}  // namespace common::rpc
