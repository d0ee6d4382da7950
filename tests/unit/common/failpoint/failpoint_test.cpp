#include "common/failpoint/failpoint.hpp"

#include <signal.h>

#include <atomic>
#include <thread>

#include "tests/support/pause_point.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using common::ErrorCode;
using common::Status;
using namespace common::failpoint;

namespace {

Status reach() {
  TROTH_FAILPOINT_TRY("test.place");
  return {};
}

// This very program, running only the case below that dies on request.
common::Result<test_support::CommandResult> run_victim(const std::string& failpoints) {
  return test_support::run_command(
      "/proc/self/exe", {"--test-case=a place reached five times"},
      {.environment = {{"TROTH_FAILPOINTS", failpoints}}, .without = {"TROTH_TEST_REPORT"}});
}

}  // namespace

// Not a test by itself: run_victim() runs it in another process.
TEST_CASE("a place reached five times") {
  for (int i = 0; i < 5; ++i)
    static_cast<void>(hit("test.victim"));
}

TEST_CASE("a place for which nothing is planned does nothing") {
  CHECK_OK(reach());
  CHECK(hits("test.place") == 0);
}

TEST_CASE("a planned error comes at the planned hits only") {
  if (!kCompiledIn)
    SKIP_TEST("built without failpoints");
  SUBCASE("at one hit") {
    const Armed armed("test.place=error(no_space)@2");
    REQUIRE_OK(armed.status());
    CHECK_OK(reach());
    CHECK_FAILS(reach(), ErrorCode::NoSpace);
    CHECK_OK(reach());
    CHECK(hits("test.place") == 3);
  }
  SUBCASE("from one hit on") {
    const Armed armed("test.place=error(io_error)@2+");
    CHECK_OK(reach());
    CHECK_FAILS(reach(), ErrorCode::IoError);
    CHECK_FAILS(reach(), ErrorCode::IoError);
  }
  SUBCASE("at every so manieth hit from one on") {
    const Armed armed("test.place=error(io_error)@2*3");
    REQUIRE_OK(armed.status());
    std::string failed;
    for (int i = 1; i <= 9; ++i)
      failed += reach() ? '.' : 'x';
    CHECK(failed == ".x..x..x.");
    CHECK_FAILS(arm("test.place=count@2*"), ErrorCode::InvalidArgument);
    CHECK_FAILS(arm("test.place=count@*2"), ErrorCode::InvalidArgument);
  }
  SUBCASE("at every hit") {
    const Armed armed("other=count;test.place=error(io_error)");
    CHECK_FAILS(reach(), ErrorCode::IoError);
  }
  CHECK_OK(reach());
}

TEST_CASE("a macro without a way back ignores a planned error and still counts") {
  const Armed armed("test.place=error(io_error)");
  TROTH_FAILPOINT("test.place");
  CHECK(hits("test.place") == (kCompiledIn ? 1 : 0));
}

TEST_CASE("an action of the test's own decides in the hitting thread") {
  std::atomic<int> calls{0};
  arm_call("test.place", [&]() -> Status {
    if (++calls == 1)
      return {};
    return common::fail(ErrorCode::Busy, "second");
  });
  CHECK_OK(hit("test.place"));
  CHECK_FAILS(hit("test.place"), ErrorCode::Busy);
  disarm_all();
}

TEST_CASE("what cannot be read is refused whole") {
  for (const char* text :
       {"name", "=kill", "name=", "name=die", "name=kill@", "name=kill@0", "name=kill@x",
        "name=kill@1-", "name=error", "name=error()", "name=error(nonsense)", "name=error(io_error",
        "name=pause", "name=pause()", "name=kill(1)", "good=count;name=die"}) {
    CAPTURE(text);
    CHECK_FAILS(arm(text), ErrorCode::InvalidArgument);
    CHECK_OK(hit("good"));
    CHECK(hits("good") == 0);
  }
}

TEST_CASE("kill is SIGKILL at the chosen hit") {
  const auto killed = run_victim("test.victim=kill@5");
  REQUIRE_OK(killed);
  CHECK(killed->status.signal == SIGKILL);
  const auto lived = run_victim("test.victim=kill@6");
  REQUIRE_OK(lived);
  CHECK(lived->status.ok());
}

TEST_CASE("an environment that cannot be read ends the process with a sentence") {
  const auto refused = run_victim("test.victim=explode");
  REQUIRE_OK(refused);
  CHECK(refused->status.code == 2);
  CHECK(refused->error_output.find("explode") != std::string::npos);
}

TEST_CASE("a paused thread waits until it is released") {
  const test_support::TempDir directory;
  auto pause = test_support::PausePoint::open(directory / "pause");
  REQUIRE_OK(pause);
  const Armed armed("test.place=" + pause->action());
  std::atomic<bool> passed{false};
  std::thread walker([&] {
    static_cast<void>(hit("test.place"));
    passed = true;
  });
  const auto reached = pause->wait_reached();
  CHECK_OK(reached);
  CHECK(reached.value_or("") == "test.place");
  CHECK(!passed);
  pause->release();
  walker.join();
  CHECK(passed);
}
