#include "common/daemon/program.hpp"

#include <signal.h>

#include <algorithm>
#include <map>

#include "common/version.hpp"
#include "tests/support/notify_socket.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"
#include "tests/unit/common/daemon/example_path.hpp"

using namespace test_support;
namespace daemon_ns = common::daemon;

namespace {

struct Fixture {
  TempDir dir;
  NotifySocket manager = *NotifySocket::open(dir / "notify");
  ProcessOptions options;

  Fixture() {
    REQUIRE_OK(write_file(dir / "example.toml", "[example]\nanswer = 7\n"));
    options.environment["NOTIFY_SOCKET"] = manager.path();
    options.without = {"WATCHDOG_USEC", "WATCHDOG_PID"};
  }
  Process start(std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.begin(), {"--config", (dir / "example.toml").string()});
    auto process = Process::spawn(unit_daemon::example_path(), arguments, options);
    REQUIRE_OK(process);
    return *std::move(process);
  }
  CommandResult run(const std::vector<std::string>& arguments) {
    auto result = run_command(unit_daemon::example_path(), arguments, options);
    REQUIRE_OK(result);
    return *std::move(result);
  }
  // Runs a command line that must fail with this code and exactly one line.
  std::string refused(const std::vector<std::string>& arguments, int code) {
    const CommandResult result = run(arguments);
    CHECK(result.status.describe() == "exit code " + std::to_string(code));
    CHECK(result.output.empty());
    CHECK(result.error_output.starts_with("example: "));
    CHECK(std::count(result.error_output.begin(), result.error_output.end(), '\n') == 1);
    return result.error_output;
  }
};

}  // namespace

TEST_CASE("a daemon reports ready, stops on SIGTERM and says that it is stopping") {
  Fixture fixture;
  for (const int signal : {SIGTERM, SIGINT}) {
    Process process = fixture.start();
    REQUIRE_OK(fixture.manager.wait_for("READY=1"));
    REQUIRE_OK(process.signal(signal));
    CHECK_OK(fixture.manager.wait_for("STOPPING=1"));
    const auto status = process.wait();
    REQUIRE_OK(status);
    CHECK(status->describe() == "exit code 0");
  }
  const auto& messages = fixture.manager.messages();
  CHECK(std::count(messages.begin(), messages.end(), "STATUS=example") == 2);
  // Nobody asked for a watchdog.
  CHECK(std::count(messages.begin(), messages.end(), "WATCHDOG=1") == 0);
}

TEST_CASE("the watchdog is fed while the loops live, and no longer once one is silent") {
  Fixture fixture;
  fixture.options.environment["WATCHDOG_USEC"] = "100000";
  {
    Process process = fixture.start();
    for (int i = 0; i < 3; ++i)
      CHECK_OK(fixture.manager.wait_for("WATCHDOG=1"));
  }
  Process silent = fixture.start({"silent"});
  CHECK_OK(silent.wait_for_line("the watchdog is no longer told"));
  const auto& messages = fixture.manager.messages();
  const auto before = std::count(messages.begin(), messages.end(), "WATCHDOG=1");
  REQUIRE_OK(silent.signal(SIGTERM));
  CHECK_OK(fixture.manager.wait_for("STOPPING=1"));
  // It may have been fed before its first silent turn, not after.
  CHECK(std::count(messages.begin(), messages.end(), "WATCHDOG=1") <= before + 1);
}

TEST_CASE("SIGHUP reloads, and a reload that fails changes nothing") {
  Fixture fixture;
  for (const char* mode : {"", "bad-reload"}) {
    Process process = fixture.start({mode});
    REQUIRE_OK(fixture.manager.wait_for("READY=1"));
    REQUIRE_OK(process.signal(SIGHUP));
    CHECK_OK(fixture.manager.wait_for("RELOADING=1"));
    CHECK_OK(fixture.manager.wait_for("READY=1"));
    CHECK(process.running());
    if (*mode != '\0')
      CHECK_OK(process.wait_for_line("nothing newer"));
  }
}

TEST_CASE("a program that cannot stop is ended after its time") {
  Fixture fixture;
  Process process = fixture.start({"stuck"});
  REQUIRE_OK(fixture.manager.wait_for("READY=1"));
  const auto before = std::chrono::steady_clock::now();
  REQUIRE_OK(process.signal(SIGTERM));
  const auto status = process.wait();
  REQUIRE_OK(status);
  CHECK(status->describe() == "exit code 1");
  CHECK(process.error_output().find("stopping took too long") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - before >= std::chrono::milliseconds{1800});
}

TEST_CASE("a program that is told to stop while it starts stops, and is never ready") {
  Fixture fixture;
  for (const char* mode : {"slow-start", "stuck-start"}) {
    CAPTURE(mode);
    Process process = fixture.start({mode});
    REQUIRE_OK(process.wait_for_line("starting"));
    const auto before = std::chrono::steady_clock::now();
    REQUIRE_OK(process.signal(SIGTERM));
    const auto status = process.wait();
    REQUIRE_OK(status);
    CHECK(status->describe() == "exit code 0");
    // 2 s, and what a busy machine adds; never started is never ended without the guard.
    CHECK(std::chrono::steady_clock::now() - before < test_support::kPatience);
  }
  CHECK_FAILS(fixture.manager.wait_for("READY=1", std::chrono::milliseconds{1}),
              common::ErrorCode::DeadlineExceeded);
}

TEST_CASE("a program that is stuck reloading is ended when it shall stop") {
  Fixture fixture;
  Process process = fixture.start({"stuck-reload"});
  REQUIRE_OK(fixture.manager.wait_for("READY=1"));
  REQUIRE_OK(process.signal(SIGHUP));
  REQUIRE_OK(fixture.manager.wait_for("RELOADING=1"));
  REQUIRE_OK(process.signal(SIGTERM));
  const auto status = process.wait();
  REQUIRE_OK(status);
  CHECK(status->describe() == "exit code 1");
}

TEST_CASE("failures to start are one line, with the exit code that fits") {
  Fixture fixture;
  const std::string config = (fixture.dir / "example.toml").string();
  CHECK(fixture.refused({}, 2).find("--config FILE") != std::string::npos);
  CHECK(fixture.refused({"--confg"}, 2).find("--help") != std::string::npos);
  CHECK(fixture.refused({"--config", "/nonexistent"}, 2).find("/nonexistent") != std::string::npos);
  CHECK(fixture.refused({"--config", config, "bad-check"}, 2) ==
        "example: the example\\nhas expired\n");
  CHECK(fixture.refused({"--config", config, "bad-start"}, 1) == "example: the port is in use\n");
  REQUIRE_OK(write_file(config, "[example]\nanswer = 700\n"));
  CHECK(fixture.refused({"--config", config}, 2) ==
        "example: " + config +
            ":2:10: [example] answer is 700; expected a whole number from 1 to "
            "100\n");
  fixture.options.environment["NOTIFY_SOCKET"] = "nonsense";
  CHECK(fixture.refused({"--config", config}, 2).find("NOTIFY_SOCKET") != std::string::npos);
}

TEST_CASE("--check says that all is well and starts nothing") {
  Fixture fixture;
  const auto result = fixture.run({"--config", (fixture.dir / "example.toml").string(), "--check"});
  CHECK(result.status.ok());
  CHECK(result.output == "the example is good\n");
  CHECK(result.error_output.empty());
  CHECK(
      fixture
          .refused({"--config", (fixture.dir / "example.toml").string(), "--check", "bad-check"}, 2)
          .find("expired") != std::string::npos);
}

TEST_CASE("--help lists every setting, --version the version, and neither needs a configuration") {
  Fixture fixture;
  const auto help = fixture.run({"--help"});
  CHECK(help.status.ok());
  for (const char* word : {"--config FILE", "--check", "[MODE]", "answer = 42",
                           "TROTH_EXAMPLE_ANSWER", "TROTH_LOG_LEVEL", "level = \"info\""}) {
    CAPTURE(word);
    CHECK(help.output.find(word) != std::string::npos);
  }
  const auto version = fixture.run({"--version"});
  CHECK(version.status.ok());
  CHECK(version.output == "example " + std::string(common::version()) + "\n");
}

TEST_CASE("a daemon's memory stays out of core files and away from debuggers") {
  Fixture fixture;
  Process process = fixture.start();
  REQUIRE_OK(fixture.manager.wait_for("READY=1"));
  const auto limits = read_file("/proc/" + std::to_string(process.pid()) + "/limits");
  REQUIRE_OK(limits);
  const std::size_t at = limits->find("Max core file size");
  REQUIRE(at != std::string::npos);
  CHECK(limits->substr(at, 40).find(" 0 ") != std::string::npos);
}
