#include "common/sim/exhaustive.hpp"

#include <fmt/format.h>

#include <array>

#include "common/sim/random.hpp"
#include "tests/support/test.hpp"

using namespace common::sim;

namespace {

// Two processes take a lock by looking and then setting it, or both at once.
struct Locking {
  bool atomic = true;
  bool locked = false;
  std::array<int, 2> at{};  // 0 outside, 1 has seen it free, 2 inside

  [[nodiscard]] std::size_t choices() const { return 2; }
  void take(std::size_t who) {
    int& state = at[who];
    if (state == 0 && !locked) {
      state = atomic ? 2 : 1;
      locked = atomic;
    } else if (state == 1) {
      state = 2;
      locked = true;
    } else if (state == 2) {
      state = 0;
      locked = false;
    }
  }
  [[nodiscard]] std::string describe(std::size_t who) const {
    return fmt::format("p{} from {}", who, at[who]);
  }
  [[nodiscard]] std::uint64_t digest() const {
    return mix(static_cast<std::uint64_t>(at[0] * 3 + at[1]), locked ? 1 : 0);
  }
  [[nodiscard]] std::string violation() const {
    return at[0] == 2 && at[1] == 2 ? "both are inside" : "";
  }
};

// A counter per process, each up to nine.
struct Counting {
  std::array<int, 3> counts{};
  [[nodiscard]] std::size_t choices() const { return 3; }
  void take(std::size_t who) { counts[who] = (counts[who] + 1) % 10; }
  [[nodiscard]] std::string describe(std::size_t who) const { return std::to_string(who); }
  [[nodiscard]] std::uint64_t digest() const {
    return static_cast<std::uint64_t>(counts[0] * 100 + counts[1] * 10 + counts[2]);
  }
  [[nodiscard]] std::string violation() const { return {}; }
};

}  // namespace

TEST_CASE("a lock taken in one step is safe in every state") {
  const auto report = check_all(Locking{.atomic = true});
  CHECK(report.complete);
  CHECK(report.violation.empty());
  CHECK(report.states == 3);
}

TEST_CASE("a lock taken in two steps is broken, by the shortest story") {
  const auto report = check_all(Locking{.atomic = false});
  CHECK(report.violation == "both are inside");
  CHECK(report.story ==
        std::vector<std::string>{"p0 from 0", "p1 from 0", "p0 from 1", "p1 from 1"});
}

TEST_CASE("every state is visited once, and limits are kept") {
  const auto all = check_all(Counting{});
  CHECK(all.complete);
  CHECK(all.states == 1000);
  CHECK(all.steps == 3000);
  const auto some = check_all(Counting{}, {.max_states = 100});
  CHECK_FALSE(some.complete);
  CHECK(some.states == 100);
}
