// Who dials costs those who call as little as can be: turns are fair by address, and handshakes are
// nobody's business who answers calls.

#include <sys/epoll.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "common/rpc/connection_table.hpp"
#include "common/rpc/handshake_queue.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/raw_peer.hpp"
#include "tests/support/rpc_fixture.hpp"

using common::Result;
using namespace common::rpc;
using namespace std::chrono_literals;
using test_support::RawPeer;
using test_support::RpcCell;

TEST_CASE("an address that dials a thousand times delays another by one turn") {
  HandshakeQueue queue;
  CHECK(queue.empty());
  CHECK_FALSE(queue.pop());
  for (std::uint64_t id = 100; id < 1100; ++id)
    queue.push("flood", false, id);
  queue.push("honest", false, 1);
  queue.push("honest", false, 2);
  CHECK(queue.pop() == 100);
  CHECK(queue.pop() == 1);
  CHECK(queue.pop() == 101);
  CHECK(queue.pop() == 2);
  for (std::uint64_t id = 102; id < 1100; ++id)
    CHECK(queue.pop() == id);
  CHECK(queue.empty());
}

TEST_CASE("addresses that call as they should go first, and strangers are not forgotten") {
  HandshakeQueue queue;
  for (std::uint64_t id = 0; id < 30; ++id)
    queue.push("stranger " + std::to_string(id), false, 1000 + id);
  for (std::uint64_t id = 0; id < 30; ++id)
    queue.push("office", true, id);
  int known = 0;
  for (int turn = 0; turn < 16; ++turn)
    known += queue.pop().value_or(9999) < 1000 ? 1 : 0;
  CHECK(known == 12);
  int rest = 0;
  while (queue.pop())
    ++rest;
  CHECK(rest == 44);
}

TEST_CASE("handshakes go on while every worker is busy") {
  RpcCell cell;
  std::atomic<int> inside{0};
  std::atomic<bool> go_on{false};
  cell.limits.threads = 2;
  cell.limits.metadata_in_flight = 2;
  cell.add({.service = "t", .name = "hold", .handler = [&](Call&) -> Result<Reply> {
              ++inside;
              const auto limit = now() + test_support::kPatience;
              while (!go_on && now() < limit)
                std::this_thread::yield();
              return Reply{};
            }});
  cell.start();
  std::vector<std::thread> callers;
  for (int i = 0; i < 2; ++i)
    callers.emplace_back(
        [&] { CHECK_OK(cell.client()->call(RpcCell::request("t", "hold")).answer); });
  while (inside < 2)
    std::this_thread::yield();
  CHECK_OK(cell.client()->connect(now() + test_support::kPatience));
  go_on = true;
  for (auto& caller : callers)
    caller.join();
}

TEST_CASE("several threads shake hands with a whole office that dials at once, and stop") {
  RpcCell cell;
  cell.limits.handshake_threads = 4;
  cell.limits.connections_per_address = 1'000;
  cell.start();
  std::atomic<int> good{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      for (int dial = 0; dial < 20; ++dial)
        good += cell.client()->call(RpcCell::request("test", "echo")).answer ? 1 : 0;
    });
  }
  for (auto& caller : callers)
    caller.join();
  CHECK(good == 160);
  CHECK(cell.server().stats().handshakes == 160);
  const auto begin = now();
  cell.stop();
  CHECK(now() - begin < cell.limits.idle);
}

TEST_CASE("a request that came together with the end of the handshake is answered") {
  RpcCell cell;
  cell.start();
  for (int i = 0; i < 20; ++i)
    CHECK_OK(cell.client()->call(RpcCell::request("test", "echo")).answer);
}

TEST_CASE("a connection whose phase has overstayed ends when it is handed back, sweeper or not") {
  const common::UniqueFd handshakes(::epoll_create1(EPOLL_CLOEXEC));
  const common::UniqueFd calls(::epoll_create1(EPOLL_CLOEXEC));
  ServerShared shared;
  shared.limits.handshake = 20ms;
  ConnectionTable table(shared, handshakes.get(), calls.get(), [] { return false; });
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  const common::UniqueFd peer(fds[0]);
  table.add(common::UniqueFd(fds[1]), {"a", "a"});
  epoll_event event{};
  REQUIRE(::send(peer.get(), "x", 1, 0) == 1);
  REQUIRE(::epoll_wait(handshakes.get(), &event, 1, 1000) == 1);
  REQUIRE(table.newcomer(event.data.u64));
  CHECK(table.newcomer(event.data.u64)->unit == "a");
  CHECK_FALSE(table.newcomer(event.data.u64)->known);
  ServerConnection* connection = table.claim(event.data.u64);
  REQUIRE(connection != nullptr);
  table.park(*connection, EPOLLIN);
  CHECK(table.size() == 1);  // it has time
  connection = table.claim(event.data.u64);
  REQUIRE(connection != nullptr);
  (void)wait_for(-1, 0, connection->deadline());
  table.park(*connection, EPOLLIN);
  CHECK(table.size() == 0);
  CHECK(shared.counters.cut_handshake == 1);
  CHECK_FALSE(table.newcomer(event.data.u64));
}
