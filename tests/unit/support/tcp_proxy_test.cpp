#include "tests/support/tcp_proxy.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "common/io/unique_fd.hpp"
#include "tests/support/leak_check.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/test.hpp"

using common::UniqueFd;
using namespace std::chrono_literals;
using namespace test_support;

namespace {

// A listener and, behind a proxy, one client: the test plays both ends, all calls with a deadline.
struct Line {
  UniqueFd listener;
  std::unique_ptr<TcpProxy> proxy;
  UniqueFd client;
  UniqueFd server;

  Line() {
    listener.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = loopback(0);
    socklen_t length = sizeof(address);
    REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    REQUIRE(::listen(listener.get(), 8) == 0);
    REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    auto started = TcpProxy::start("127.0.0.1", ntohs(address.sin_port));
    REQUIRE_OK(started);
    proxy = std::move(*started);
  }

  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  static void limit(int fd) {
    const timeval patience{kPatience.count(), 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }

  void connect() {
    client.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = loopback(proxy->port());
    REQUIRE(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) ==
            0);
    limit(client.get());
  }

  void connect_both() {
    connect();
    server.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(server.valid());
    limit(server.get());
  }
};

void say(const UniqueFd& fd, const std::string& text) {
  CHECK(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(text.size()));
}

// Reads until so many bytes are there, or the end, or an error (whose name is appended).
std::string hear(const UniqueFd& fd, std::size_t count) {
  std::string text;
  while (text.size() < count) {
    char buffer[4096];
    const ssize_t n = ::recv(fd.get(), buffer, std::min(sizeof(buffer), count - text.size()), 0);
    if (n == 0)
      return text + "<end>";
    if (n < 0)
      return text + (errno == ECONNRESET ? "<reset>" : "<error>");
    text.append(buffer, static_cast<std::size_t>(n));
  }
  return text;
}

}  // namespace

TEST_CASE("bytes and ends pass through a proxy that was told nothing") {
  const LeakCheck leaks;
  {
    Line line;
    line.connect_both();
    say(line.client, "question");
    CHECK(hear(line.server, 8) == "question");
    say(line.server, "answer");
    CHECK(hear(line.client, 6) == "answer");
    ::shutdown(line.client.get(), SHUT_WR);
    CHECK(hear(line.server, 1) == "<end>");
    say(line.server, "last words");
    CHECK(hear(line.client, 10) == "last words");
    line.server.reset();
    CHECK(hear(line.client, 1) == "<end>");
    CHECK(line.proxy->bytes(Direction::ToServer) == 8);
    CHECK(line.proxy->bytes(Direction::ToClient) == 16);
    CHECK(line.proxy->connections() == 1);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("much data arrives whole and in order") {
  Line line;
  line.connect_both();
  std::string sent(3'000'000, '\0');
  for (std::size_t i = 0; i < sent.size(); ++i)
    sent[i] = static_cast<char>(i * 31 % 251);
  std::thread sender([&] { say(line.client, sent); });
  const std::string heard = hear(line.server, sent.size());
  sender.join();
  CHECK((heard == sent));
}

TEST_CASE("a connection is reset after exactly the chosen byte") {
  Line line;
  line.proxy->set(Direction::ToClient, {.cut_after = 5});
  line.connect_both();
  say(line.server, "0123456789");
  CHECK(hear(line.client, 10) == "01234<reset>");
  CHECK(line.proxy->bytes(Direction::ToClient) == 5);
  CHECK(hear(line.server, 1) == "<reset>");
}

TEST_CASE("the request goes through and the reply is lost") {
  Line line;
  line.proxy->set(Direction::ToClient, {.cut_after = 0});
  line.connect();
  say(line.client, "request");
  CHECK(hear(line.client, 1) == "<reset>");
}

TEST_CASE("half a connection may be closed while the other half lives") {
  Line line;
  line.proxy->set(Direction::ToServer, {.cut_after = 3, .half_close = true});
  line.connect_both();
  say(line.client, "abcdef");
  CHECK(hear(line.server, 6) == "abc<end>");
  say(line.server, "still here");
  CHECK(hear(line.client, 10) == "still here");
}

TEST_CASE("one direction stalls, the other does not, and what was held goes on later") {
  Line line;
  line.proxy->set(Direction::ToClient, {.stalled = true});
  line.connect_both();
  say(line.server, "held");
  CHECK(line.proxy->wait_arrived(Direction::ToClient, 4, kPatience));
  say(line.client, "free");
  CHECK(hear(line.server, 4) == "free");
  CHECK(line.proxy->bytes(Direction::ToClient) == 0);
  line.proxy->clear();
  CHECK(hear(line.client, 4) == "held");
}

TEST_CASE("a swallowed reply never comes, though its end does") {
  Line line;
  line.proxy->set(Direction::ToClient, {.swallow = true});
  line.connect_both();
  say(line.server, "gone");
  line.server.reset();
  CHECK(hear(line.client, 1) == "<end>");
  CHECK(line.proxy->bytes(Direction::ToClient) == 0);
}

TEST_CASE("delay and rate take at least their time") {
  Line line;
  line.connect_both();
  auto begin = std::chrono::steady_clock::now();
  line.proxy->set(Direction::ToServer, {.delay = 50ms});
  say(line.client, "late");
  CHECK(hear(line.server, 4) == "late");
  CHECK(std::chrono::steady_clock::now() - begin >= 50ms);

  begin = std::chrono::steady_clock::now();
  line.proxy->set(Direction::ToServer, {.bytes_per_second = 1000});
  say(line.client, std::string(300, 'x'));
  CHECK(hear(line.server, 300).size() == 300);
  // Three pieces of a tenth of a second each; the last one's own time is not waited for.
  CHECK(std::chrono::steady_clock::now() - begin >= 200ms);
}

TEST_CASE("connections are reset or refused on command") {
  Line line;
  line.connect_both();
  say(line.client, "x");
  CHECK(hear(line.server, 1) == "x");
  line.proxy->reset_all();
  CHECK(hear(line.client, 1) == "<reset>");
  line.proxy->refuse(true);
  line.connect();
  CHECK(hear(line.client, 1) == "<reset>");
  line.proxy->refuse(false);
  line.connect_both();
  say(line.server, "back");
  CHECK(hear(line.client, 4) == "back");
}
