#pragma once

// State that lives inside the lock that guards it: forgetting to lock does not compile.

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "common/sync/mutex.hpp"

namespace common {

// Owns a T that is reachable only through lock().
//   Locked<State> state_;
//   auto state = state_.lock();
//   state->count++;
template <typename T>
class Locked {
 public:
  class Guard {
   public:
    T* operator->() { return value_; }
    T& operator*() { return *value_; }

    // Waits on `cv` until `done(state)` holds or `timeout` has passed; returns done(state).
    template <typename Rep, typename Period, typename Predicate>
    bool wait_for(std::condition_variable& cv, std::chrono::duration<Rep, Period> timeout,
                  Predicate done) {
      return cv.wait_for(lock_, timeout, [&] { return done(*value_); });
    }

    template <typename Rep, typename Period, typename Predicate>
    bool wait_for(CondVar& cv, std::chrono::duration<Rep, Period> timeout, Predicate done) {
      return wait_for(cv.cv_, timeout, std::move(done));
    }

    // Gives the lock up early; the guard must not be used again.
    void unlock() {
      value_ = nullptr;
      lock_.unlock();
    }

   private:
    friend class Locked;
    Guard(std::mutex& mutex, T* value) : lock_(mutex), value_(value) {}
    std::unique_lock<std::mutex> lock_;
    T* value_;
  };

  Locked() = default;
  explicit Locked(T value) : value_(std::move(value)) {}
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

  [[nodiscard]] Guard lock() { return Guard(mutex_, &value_); }

 private:
  std::mutex mutex_;
  T value_{};
};

}  // namespace common
