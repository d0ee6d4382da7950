#include "tests/support/network_namespace.hpp"

#include "tests/support/process.hpp"
#include "tests/support/test.hpp"

using namespace std::chrono_literals;
using namespace test_support;

namespace {

// Listens, says so, and prints the first bytes that come.
const char* const kListener =
    "import socket\n"
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    "s.bind(('', 9))\n"
    "print('bound', flush=True)\n"
    "while True: print('got', s.recv(99).decode(), flush=True)\n";

common::Status send(const TestNetwork& network, std::size_t from, std::size_t to,
                    const std::string& text) {
  const std::string script =
      "import socket\n"
      "try: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'" +
      text + "', ('" + TestNetwork::address_of(to) +
      "', 9))\n"
      "except OSError as e: print(e)\n";
  const auto sent =
      run_checked("python3", {"-c", script}, {.network_namespace = network.name_of(from)});
  if (!sent)
    return tl::unexpected(sent.error());
  return {};
}

}  // namespace

TEST_CASE("nodes reach one another, and a blocked direction is only that direction") {
  if (const auto reason = TestNetwork::unavailable(); !reason.empty())
    SKIP_TEST(reason);
  auto network = TestNetwork::create(2);
  REQUIRE_OK(network);
  auto zero =
      Process::spawn("python3", {"-c", kListener}, {.network_namespace = network->name_of(0)});
  auto one =
      Process::spawn("python3", {"-c", kListener}, {.network_namespace = network->name_of(1)});
  REQUIRE_OK(zero);
  REQUIRE_OK(one);
  REQUIRE_OK(zero->wait_for_line("bound"));
  REQUIRE_OK(one->wait_for_line("bound"));

  CHECK_OK(send(*network, 0, 1, "first"));
  CHECK_OK(one->wait_for_line("got first"));

  CHECK_OK(network->block(0, 1));
  CHECK_OK(send(*network, 0, 1, "lost"));
  CHECK_OK(send(*network, 1, 0, "answer"));
  CHECK_OK(zero->wait_for_line("got answer"));

  CHECK_OK(network->heal(0, 1));
  CHECK_OK(send(*network, 0, 1, "second"));
  CHECK_OK(one->wait_for_line("got second"));
  CHECK(one->output().find("lost") == std::string::npos);
}

TEST_CASE("a namespace is gone with its object") {
  if (const auto reason = TestNetwork::unavailable(); !reason.empty())
    SKIP_TEST(reason);
  std::string name;
  {
    const auto made = NetworkNamespace::create();
    REQUIRE_OK(made);
    name = made->name();
    CHECK(run_checked("ip", {"netns", "list"}).value_or("").find(name) != std::string::npos);
  }
  CHECK(run_checked("ip", {"netns", "list"}).value_or(name).find(name) == std::string::npos);
}
