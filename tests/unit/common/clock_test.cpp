#include "common/clock.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>

#include "tests/support/test.hpp"

using namespace std::chrono_literals;

TEST_CASE("a manual clock moves only when told to, and a wall jump leaves boot time alone") {
  common::ManualClock clock;
  const auto start = clock.now();
  const auto wall = clock.wall_now();
  CHECK(clock.now() == start);
  clock.advance(5s);
  CHECK(clock.now() - start == 5s);
  CHECK(clock.wall_now() - wall == 5s);
  clock.jump_wall(-1h);
  CHECK(clock.now() - start == 5s);
  CHECK(clock.wall_now() - wall == 5s - 1h);
}

TEST_CASE("the system clock never goes back") {
  common::SystemClock clock;
  auto last = clock.now();
  for (int i = 0; i < 10'000; ++i) {
    const auto next = clock.now();
    REQUIRE(next >= last);
    last = next;
  }
}

namespace {

// In a time namespace whose boot clock is `ahead` while the monotonic one is not, as after so much
// sleep: what the system clock says there. nullopt: no such namespace can be made.
std::optional<common::Instant> now_after_sleep(std::chrono::seconds ahead) {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const std::string offset = "boottime " + std::to_string(ahead.count()) + " 0\n";
    if (::unshare(CLONE_NEWTIME) != 0)
      ::_exit(1);
    const int offsets = ::open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    if (::write(offsets, offset.data(), offset.size()) != static_cast<ssize_t>(offset.size()))
      ::_exit(1);
    const pid_t inside = ::fork();  // the namespace begins with the next child
    if (inside == 0) {
      const auto now = common::SystemClock().now().time_since_epoch().count();
      ::_exit(::write(ends[1], &now, sizeof now) == sizeof now ? 0 : 1);
    }
    int status = 0;
    ::_exit(::waitpid(inside, &status, 0) == inside && status == 0 ? 0 : 1);
  }
  ::close(ends[1]);
  common::Duration::rep now = 0;
  const bool told = ::read(ends[0], &now, sizeof now) == sizeof now;
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return told && status == 0 ? std::optional(common::Instant(common::Duration(now))) : std::nullopt;
}

}  // namespace

TEST_CASE("F28: a lease goes on while the machine sleeps") {
  const common::SystemClock clock;
  const auto before = clock.now();
  const auto then = now_after_sleep(std::chrono::hours(3));
  if (!then)
    SKIP_TEST("no time namespace can be made here");
  CHECK(*then - before >= std::chrono::hours(3));
  CHECK(*then - clock.now() <= std::chrono::hours(3));
}
