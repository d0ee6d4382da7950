#include "tests/support/notify_socket.hpp"

#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using namespace std::chrono_literals;
using namespace test_support;

TEST_CASE("a daemon's word is waited for, whatever else it says before") {
  const TempDir directory;
  auto notify = NotifySocket::open(directory / "notify");
  REQUIRE_OK(notify);
  const std::string script =
      "import os, socket\n"
      "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
      "for m in ('STATUS=starting', 'READY=1\\nSTATUS=serving listening=127.0.0.1:7480'):\n"
      "    s.sendto(m.encode(), os.environ['NOTIFY_SOCKET'])\n";
  auto daemon = Process::spawn("python3", {"-c", script},
                               {.environment = {{"NOTIFY_SOCKET", notify->path()}}});
  REQUIRE_OK(daemon);
  const auto ready = notify->wait_for("READY=1");
  REQUIRE_OK(ready);
  CHECK(status_field(*ready, "listening") == "127.0.0.1:7480");
  CHECK(notify->messages().size() == 2);
  const auto more = notify->wait_for("READY=1", 10ms);
  CHECK_FAILS(more, common::ErrorCode::DeadlineExceeded);
  CHECK(more.error().message.find("STATUS=starting") != std::string::npos);
}

TEST_CASE("fields of a status are found whole or not at all") {
  CHECK(status_field("STATUS=listening=1 health=2\n", "listening") == "1");
  CHECK(status_field("STATUS=listening=1 health=2\n", "health") == "2");
  CHECK(status_field("STATUS=unlistening=1", "listening") == std::nullopt);
  CHECK(status_field("READY=1", "listening") == std::nullopt);
}

TEST_CASE("a path too long for a socket is refused") {
  CHECK_FAILS(NotifySocket::open(std::string(200, 'x')), common::ErrorCode::TooLarge);
}
