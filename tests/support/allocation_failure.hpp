#pragma once

// Makes the n-th allocation of a thread fail. Replaces the global operator new of the program that
// links it, so only programs about running out of memory do (allocation_failure_dep).

#include <cstdint>
#include <new>

namespace test_support {

// From now on the calling thread's n-th operator new throws std::bad_alloc, once. One at a time per
// thread.
class FailAllocation {
 public:
  explicit FailAllocation(std::uint64_t nth);
  ~FailAllocation();
  FailAllocation(const FailAllocation&) = delete;
  FailAllocation& operator=(const FailAllocation&) = delete;

  // Whether it has failed already; false means that fewer allocations were made.
  [[nodiscard]] bool struck() const;
};

// Runs `action` with its first allocation failing, then its second, and so on until it makes fewer
// than that; returns how many failures there were. std::bad_alloc may leave the action. `check`
// runs after each failure, with memory to be had again.
template <typename Action, typename Check>
std::uint64_t fail_each_allocation(Action action, Check check) {
  for (std::uint64_t nth = 1;; ++nth) {
    bool struck = false;
    {
      const FailAllocation failure(nth);
      try {
        action();
      } catch (const std::bad_alloc&) {
      }
      struck = failure.struck();
    }
    if (!struck)
      return nth - 1;
    check();
  }
}

}  // namespace test_support
