#include "common/daemon/notifier.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "tests/support/notify_socket.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using common::daemon::Notifier;
using namespace std::chrono_literals;

TEST_CASE("messages arrive as the service manager reads them") {
  const test_support::TempDir dir;
  auto manager = test_support::NotifySocket::open(dir / "notify");
  REQUIRE_OK(manager);
  auto notifier = Notifier::make(manager->path(), "", "");
  REQUIRE_OK(notifier);
  CHECK(notifier->connected());
  notifier->ready();
  notifier->status("two\nlines");
  notifier->status("two\nlines");  // unchanged: not sent again
  notifier->watchdog();
  notifier->reloading();
  notifier->stopping();
  CHECK_OK(manager->wait_for("STOPPING=1"));
  const auto& messages = manager->messages();
  REQUIRE(messages.size() == 5);
  CHECK(messages[0] == "READY=1");
  CHECK(messages[1] == "STATUS=two lines");
  CHECK(messages[2] == "WATCHDOG=1");
  CHECK(messages[3].starts_with("RELOADING=1\nMONOTONIC_USEC="));
  CHECK(messages[4] == "STOPPING=1");
}

TEST_CASE("an abstract name works like a path") {
  const std::string name = "@troth_notifier_test_" + std::to_string(::getpid());
  const common::UniqueFd manager(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data() + 1, name.size() - 1);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  REQUIRE(::bind(manager.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0);
  auto notifier = Notifier::make(name, "", "");
  REQUIRE_OK(notifier);
  notifier->ready();
  char buffer[16] = {};
  CHECK(::recv(manager.get(), buffer, sizeof(buffer), MSG_DONTWAIT) == 7);
  CHECK(std::string(buffer) == "READY=1");
}

TEST_CASE("without a manager, or with one that is gone, nothing happens") {
  auto none = Notifier::make("", "", "");
  REQUIRE_OK(none);
  CHECK_FALSE(none->connected());
  none->ready();
  auto gone = Notifier::make("/nonexistent/notify", "", "");
  REQUIRE_OK(gone);
  gone->ready();
}

TEST_CASE("the watchdog is served at half its time, and only if it is ours") {
  const std::string self = std::to_string(::getpid());
  const auto interval = [](std::string_view usec, std::string_view pid) {
    return Notifier::make("@troth_nobody", usec, pid)->watchdog_interval();
  };
  CHECK(interval("30000000", self) == 15s);
  CHECK(interval("30000000", "") == 15s);
  CHECK(interval("1000", self) == 1ms);
  CHECK_FALSE(interval("30000000", "1"));
  CHECK_FALSE(interval("30000000", "x"));
  CHECK_FALSE(interval("0", self));
  CHECK_FALSE(interval("", self));
  CHECK_FALSE(interval("-5", self));
  CHECK(interval("18446744073709551615", self) == 1h);
}

TEST_CASE("a socket name that is neither path nor abstract is refused") {
  for (const std::string& name :
       {std::string("relative"), std::string("/"), std::string("@"), "/" + std::string(200, 'x')}) {
    CHECK_FAILS(Notifier::make(name, "", ""), common::ErrorCode::InvalidArgument);
  }
}
