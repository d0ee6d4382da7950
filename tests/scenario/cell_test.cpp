// A whole cell: up, asked, killed, restarted, stopped, and given new certificates.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include <chrono>
#include <vector>

#include "common/io/unique_fd.hpp"
#include "tests/scenario/cell_certificates.hpp"
#include "tests/support/live_cell.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/test.hpp"

using namespace std::chrono_literals;
using namespace test_support;

namespace {

std::unique_ptr<LiveCell> make_cell(const LiveCellOptions& options = {}) {
  auto cell = LiveCell::create(options);
  REQUIRE_OK(cell);
  return std::move(*cell);
}

std::string status_of(const LiveCell& cell, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments{"status", "--cell", cell.directory().string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const auto result = cell.troth(arguments);
  REQUIRE_OK(result);
  CAPTURE(result->error_output);
  CHECK(result->error_output == "");
  return result->output;
}

// The line of `troth status` about this server, with the reason below it if there is one.
std::string about(const std::string& status, std::string_view role) {
  const auto at = status.find(fmt::format("{}1", role));
  REQUIRE(at != std::string::npos);
  const auto begin = status.rfind('\n', at) + 1;
  auto end = status.find('\n', at);
  if (status.compare(end + 1, 9, "         ") == 0)
    end = status.find('\n', end + 1);
  return status.substr(begin, end - begin);
}

bool is_up(const std::string& line) {
  return line.find("down") == std::string::npos;
}

}  // namespace

TEST_CASE("a cell made by one command starts, answers for every server, and stops") {
  const auto cell = make_cell();
  const std::string before = status_of(*cell);
  for (const std::string_view role : kRoles) {
    CAPTURE(before);
    CHECK(!is_up(about(before, role)));
  }
  REQUIRE_OK(cell->start_all());
  const std::string after = status_of(*cell);
  CAPTURE(after);
  for (const std::string_view role : kRoles) {
    CHECK(is_up(about(after, role)));
    CHECK(about(after, role).find(cell->listen(role)) != std::string::npos);
    CHECK(about(after, role).find("certificate 2") != std::string::npos);  // 29 days left
  }
  for (const std::string_view role : kRoles) {
    // Exit code 0: a server that needs more than 2 s is cut off and says so by its exit code.
    CHECK_OK(cell->terminate(role));
    CHECK_OK(cell->notify(role).wait_for("STOPPING=1"));
  }
}

TEST_CASE("a killed server is down and named, the others go on, and it comes back as it was") {
  const auto cell = make_cell();
  REQUIRE_OK(cell->start_all());
  for (int round = 0; round < 3; ++round) {
    cell->process("lockserver").kill();
    const std::string status = status_of(*cell);
    CAPTURE(status);
    CHECK(is_up(about(status, "kdc")));
    CHECK(is_up(about(status, "fileserver")));
    CHECK(!is_up(about(status, "lockserver")));
    CHECK(about(status, "lockserver").find("why") != std::string::npos);
    REQUIRE_OK(cell->start("lockserver"));
    CHECK(is_up(about(status_of(*cell), "lockserver")));
  }
}

TEST_CASE("a server that stands still does not hold up the status of the others") {
  const auto cell = make_cell();
  REQUIRE_OK(cell->start_all());
  REQUIRE_OK(cell->process("kdc").stop());
  cell->process("fileserver").kill();
  const auto begin = std::chrono::steady_clock::now();
  const std::string status = status_of(*cell, {"--timeout", "1"});
  // Its own deadline is 1 s; the rest is starting the program on a busy machine.
  CHECK(std::chrono::steady_clock::now() - begin < test_support::kPatience);
  CAPTURE(status);
  CHECK(!is_up(about(status, "kdc")));
  CHECK(about(status, "kdc").find("why") != std::string::npos);
  CHECK(!is_up(about(status, "fileserver")));
  CHECK(is_up(about(status, "lockserver")));
  REQUIRE_OK(cell->process("kdc").resume());
  CHECK(is_up(about(status_of(*cell), "kdc")));
}

TEST_CASE("renewed certificates are taken up on SIGHUP, and bad ones are not") {
  const auto cell = make_cell();
  REQUIRE_OK(cell->start("kdc"));
  CHECK(about(status_of(*cell), "kdc").find("certificate 29 days") != std::string::npos);
  const auto file = cell->role_directory("kdc") / "server.crt";
  const auto good = read_file(file);
  REQUIRE_OK(good);

  REQUIRE_OK(write_file(file, "not a certificate\n"));
  REQUIRE_OK(cell->process("kdc").signal(SIGHUP));
  REQUIRE_OK(cell->process("kdc").wait_for_line("stays in use"));
  CHECK(is_up(about(status_of(*cell), "kdc")));
  REQUIRE_OK(write_file(file, *good));

  const auto renewed =
      cell->troth({"cell", "cert", "renew", "--all", "--cell", cell->directory().string()});
  REQUIRE_OK(renewed);
  CAPTURE(renewed->error_output);
  CHECK(renewed->status.ok());
  CHECK((read_file(file).value_or("") != *good));
  REQUIRE_OK(cell->process("kdc").signal(SIGHUP));
  REQUIRE_OK(cell->process("kdc").wait_for_line("reloaded"));
  CHECK(is_up(about(status_of(*cell), "kdc")));

  scenario::replace_certificate(*cell, "kdc", common::SystemClock().wall_now(),
                                [](auto& request) { request.validity = std::chrono::days(90); });
  REQUIRE_OK(cell->process("kdc").signal(SIGHUP));
  REQUIRE_OK(cell->notify("kdc").wait_for("RELOADING=1"));
  REQUIRE_OK(cell->process("kdc").wait_for_line("reloaded"));
  CHECK(about(status_of(*cell), "kdc").find("certificate 89 days") != std::string::npos);
}

TEST_CASE("F76: servers of another cell are not believed, and the reason is given") {
  const auto cell = make_cell();
  REQUIRE_OK(cell->start("kdc"));
  const auto file = cell->directory() / "cell.toml";
  const auto description = read_file(file);
  REQUIRE_OK(description);
  SUBCASE("signed by another authority") {
    const auto other = make_cell();
    std::filesystem::copy_file(other->directory() / "ca/ca.crt", cell->directory() / "ca/ca.crt",
                               std::filesystem::copy_options::overwrite_existing);
  }
  SUBCASE("of another cell id") {
    const auto at = description->find("\nid = \"") + 7;
    REQUIRE_OK(write_file(file, std::string(*description).replace(at, 4, "ffff")));
  }
  SUBCASE("another role at its address") {
    scenario::replace_certificate(*cell, "lockserver", common::SystemClock().wall_now(),
                                  [](auto&) {});
    REQUIRE_OK(cell->start("lockserver"));
    const auto at = description->find(cell->listen("kdc"));
    REQUIRE_OK(
        write_file(file, std::string(*description)
                             .replace(at, cell->listen("kdc").size(), cell->listen("lockserver"))));
  }
  const std::string status = status_of(*cell);
  CAPTURE(status);
  CHECK(!is_up(about(status, "kdc")));
  CHECK(about(status, "kdc").find("certificate") != std::string::npos);
}

TEST_CASE("the watchdog hears from a server as often as it asked to") {
  const auto cell = make_cell({.environment = {{"WATCHDOG_USEC", "1000000"}}});
  REQUIRE_OK(cell->start("fileserver"));
  for (int i = 0; i < 3; ++i)
    CHECK_OK(cell->notify("fileserver").wait_for("WATCHDOG=1", 5s));
}

TEST_CASE("F34: a server out of descriptors refuses connections, lives, and recovers") {
  const auto cell = make_cell();
  const auto program = find_program("troth-kdc");
  REQUIRE_OK(program);
  auto notify = NotifySocket::open(cell->directory() / "notify");
  REQUIRE_OK(notify);
  ProcessOptions options = cell->options_for("kdc");
  options.environment["NOTIFY_SOCKET"] = notify->path();
  options.environment["TROTH_LIMITS_CONNECTIONS_PER_ADDRESS"] = "1000";
  options.open_files = 64;
  auto server = Process::spawn(*program, {"--config", cell->config("kdc").string()}, options);
  REQUIRE_OK(server);
  const auto ready = notify->wait_for("READY=1", 10s);
  if (!ready) {
    // Refusing to start with so few is an answer, too, if it says so in one line.
    const auto ended = server->wait();
    REQUIRE_OK(ended);
    CHECK(ended->code.value_or(0) != 0);
    CHECK(server->error_output().find("descriptor") != std::string::npos);
    return;
  }
  {
    std::vector<common::UniqueFd> held;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(7480);
    REQUIRE(::inet_pton(AF_INET, cell->address().c_str(), &address.sin_addr) == 1);
    for (int i = 0; i < 100; ++i) {
      held.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      ::connect(held.back().get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    }
    CHECK(server->running());
  }
  // The connections are gone; whoever asks now is answered, at the latest when the server's own
  // pause after a failed accept is over.
  const auto until = std::chrono::steady_clock::now() + kPatience;
  bool up = false;
  while (!up && std::chrono::steady_clock::now() < until)
    up = is_up(about(status_of(*cell), "kdc"));
  CHECK(up);
  CHECK_OK(server->signal(SIGTERM));
  const auto ended = server->wait();
  REQUIRE_OK(ended);
  INFO(server->error_output());
  CHECK(ended->describe() == "exit code 0");
}
