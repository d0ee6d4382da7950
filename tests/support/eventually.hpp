#pragma once

#include <chrono>
#include <thread>

#include "tests/support/patience.hpp"

namespace test_support {

// Waits until the condition holds; false: it did not come to hold. For what no thread can be waited
// for, such as the counters of a server.
template <typename Condition>
bool eventually(const Condition& condition) {
  const auto limit = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > limit)
      return condition();
    std::this_thread::yield();
  }
  return true;
}

}  // namespace test_support
