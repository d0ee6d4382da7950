#pragma once

// A one-shot signal between two threads, on a futex: four bytes, no allocation.

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace common {

// Set once by one thread, waited for by one other. The waiter may destroy the event as soon as it
// has seen it set: set() touches its memory for the last time when it stores the value (the wake-up
// that follows names the address only, and a wake-up too many is harmless by the futex contract).
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void set() {
    std::atomic<std::uint32_t>* const word = &value_;
    value_.store(1, std::memory_order_release);
    ::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }

  [[nodiscard]] bool is_set() const { return value_.load(std::memory_order_acquire) != 0; }

  // Whether it is set, after waiting for that at most `timeout`. May return early.
  [[nodiscard]] bool wait_for(std::chrono::nanoseconds timeout) {
    if (is_set())
      return true;
    if (timeout.count() <= 0)
      return false;
    timespec relative{};
    relative.tv_sec = static_cast<time_t>(timeout.count() / 1'000'000'000);
    relative.tv_nsec = static_cast<long>(timeout.count() % 1'000'000'000);
    ::syscall(SYS_futex, &value_, FUTEX_WAIT_PRIVATE, 0, &relative, nullptr, 0);
    return is_set();
  }

 private:
  std::atomic<std::uint32_t> value_{0};
  static_assert(sizeof(std::atomic<std::uint32_t>) == 4);
};

}  // namespace common
