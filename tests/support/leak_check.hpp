#pragma once

#include <chrono>
#include <set>
#include <string>

namespace test_support {

// What this process itself keeps: descriptors, threads and children. Made at the beginning of a
// test case, asked at its end: `CHECK(leaks.found() == "")`. What is left on the machine is the
// runner's business (tests/runner/leaks.py). Only meaningful while no other thread opens anything.
class LeakCheck {
 public:
  LeakCheck();

  // Empty, or one line per leak. Joined threads and collected children may need a moment to vanish
  // from the kernel's lists, so a leak is looked at again until the time is over.
  [[nodiscard]] std::string found(std::chrono::nanoseconds within = std::chrono::seconds(2)) const;

 private:
  std::set<std::string> before_;
};

}  // namespace test_support
