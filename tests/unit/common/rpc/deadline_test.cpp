// Each phase of a connection ends in its time, and nothing that waits holds a thread.

#include <arpa/inet.h>
#include <sys/resource.h>

#include <new>
#include <vector>

#include "tests/support/eventually.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/raw_tls.hpp"
#include "tests/support/rpc_fixture.hpp"

using common::ErrorCode;
using common::Result;
using namespace common::rpc;
using namespace std::chrono_literals;
using test_support::eventually;
using test_support::RawTls;
using test_support::RpcCell;

namespace {

const std::string kHead =
    "POST /v1/test/echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    "Content-Length: 21\r\n\r\n";
const std::string kBody = R"({"v":1,"args":"abcd"})";

}  // namespace

TEST_CASE("silent and dripping peers are cut in every phase, honest ones are served meanwhile") {
  RpcCell cell;
  cell.limits.handshake = 200ms;
  cell.limits.head = 200ms;
  cell.limits.transfer_base = 200ms;
  cell.limits.threads = 2;  // the silent ones outnumber the threads
  cell.start();
  const auto context = cell.client_context()->current();

  auto silent = dial("127.0.0.1", cell.port(), now() + test_support::kPatience);  // no handshake
  REQUIRE_OK(silent);
  std::vector<std::unique_ptr<RawTls>> half_head;
  std::vector<std::unique_ptr<RawTls>> half_body;
  for (int i = 0; i < 4; ++i) {
    half_head.push_back(std::make_unique<RawTls>(context, cell.port()));
    half_head.back()->send(kHead.substr(0, 10));
    half_body.push_back(std::make_unique<RawTls>(context, cell.port()));
    half_body.back()->send(kHead + kBody.substr(0, 5));
  }
  auto client = cell.client();
  CHECK_OK(client->call(RpcCell::request("test", "echo")).answer);

  for (auto& peer : half_head) {
    CHECK(peer->receive_all().empty());
    CHECK(peer->closed());
  }
  for (auto& peer : half_body) {
    CHECK(peer->receive_all().empty());
    CHECK(peer->closed());
  }
  CHECK(eventually([&] { return cell.server().stats().cut_handshake == 1; }));
  CHECK(cell.server().stats().cut_head == 4);
  CHECK(cell.server().stats().cut_body == 4);
  CHECK_OK(client->call(RpcCell::request("test", "echo")).answer);
}

TEST_CASE("a dripped head is cut although bytes keep coming") {
  RpcCell cell;
  cell.limits.head = 200ms;
  cell.start();
  RawTls peer(cell.client_context()->current(), cell.port());
  REQUIRE(peer.good());
  std::size_t sent = 0;
  while (sent < kHead.size() && peer.send(kHead.substr(sent, 1))) {
    ++sent;
    // All that can come is the end. What is sent after it may still succeed for a while.
    if (wait_for(peer.fd(), POLLIN, now() + 20ms) == Ready::Yes)
      break;
  }
  CHECK(sent < kHead.size());
  CHECK(cell.server().stats().cut_head == 1);
}

TEST_CASE("a peer that does not read its reply is cut and holds no thread") {
  RpcCell cell;
  cell.limits.transfer_base = 300ms;
  cell.limits.threads = 2;
  cell.add({.service = "t", .name = "much", .handler = [](Call&) -> Result<Reply> {
              return Reply::text("\"" + std::string(8'000'000, 'x') + "\"");
            }});
  cell.limits.transfer_bytes_per_second = 1'000'000'000;
  cell.limits.metadata_in_flight = 100;
  cell.start();
  std::vector<std::unique_ptr<RawTls>> peers;
  for (int i = 0; i < 4; ++i) {
    peers.push_back(std::make_unique<RawTls>(cell.client_context()->current(), cell.port()));
    peers.back()->send(
        "POST /v1/t/much HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n"
        "{\"v\":1}");
  }
  CHECK_OK(cell.client()->call(RpcCell::request("test", "echo")).answer);
  CHECK(eventually([&] { return cell.server().stats().cut_reply == 4; }));
}

TEST_CASE("idle connections cost nothing and are closed in the end, sooner under pressure") {
  RpcCell cell;
  cell.limits.idle = 300ms;
  cell.start();
  auto client = cell.client();
  CHECK_OK(client->call(RpcCell::request("test", "echo")).answer);
  CHECK(eventually([&] { return cell.server().stats().cut_idle == 1; }));
  CHECK(eventually([&] { return !client->still_open(); }));  // counted first, closed next
}

TEST_CASE("connections are capped per address and in all; beyond, they are closed before TLS") {
  RpcCell cell;
  cell.limits.connections_per_address = 3;
  cell.start();
  const auto context = cell.client_context()->current();
  std::vector<std::unique_ptr<RawTls>> peers;
  for (int i = 0; i < 3; ++i) {
    peers.push_back(std::make_unique<RawTls>(context, cell.port()));
    CHECK(peers.back()->good());
  }
  CHECK_FALSE(RawTls(context, cell.port()).good());
  CHECK(cell.server().stats().refused_per_address == 1);
  peers.pop_back();
  CHECK(eventually([&] { return RawTls(context, cell.port()).good(); }));
}

TEST_CASE("shedding closes the longest idle first and spares the others") {
  RpcCell cell;
  cell.start();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(cell.client());
    CHECK_OK(clients.back()->call(RpcCell::request("test", "echo")).answer);
  }
  // A worker stays with a connection for a moment after its reply; then all five are parked.
  std::size_t shed = 0;
  CHECK(eventually([&] { return (shed += cell.server().shed(2 - shed)) == 2; }));
  std::size_t open = 0;
  for (auto& client : clients)
    open += client->still_open() ? 1 : 0;
  CHECK(open == 3);
}

TEST_CASE("beyond a class's cap calls are told to come back later, on the same connection") {
  RpcCell cell;
  cell.limits.metadata_in_flight = 1;
  std::atomic<bool> entered{false};
  std::atomic<bool> leave{false};
  cell.add({.service = "t", .name = "hold", .handler = [&](Call&) -> Result<Reply> {
              entered = true;
              while (!leave)
                std::this_thread::yield();
              return Reply{};
            }});
  cell.start();
  CallResult held;
  std::thread holder([&] { held = cell.client()->call(RpcCell::request("t", "hold")); });
  REQUIRE(eventually([&] { return entered.load(); }));
  auto client = cell.client();
  auto refused = client->call(RpcCell::request("test", "echo"));
  CHECK_FAILS(refused.answer, ErrorCode::Overloaded);
  CHECK(refused.answer.error().retry_after == cell.limits.retry_after);
  CHECK(client->connected());
  CHECK_OK(client->call(RpcCell::request("test", "status")).answer);  // control is never refused
  leave = true;
  holder.join();
  CHECK_OK(held.answer);
  CHECK_OK(client->call(RpcCell::request("test", "echo")).answer);
}

TEST_CASE("what follows a refused request is never executed") {
  RpcCell cell;
  std::atomic<int> executed{0};
  cell.add({.service = "t", .name = "count", .handler = [&](Call&) -> Result<Reply> {
              ++executed;
              return Reply{};
            }});
  cell.start();
  const std::string good =
      "POST /v1/t/count HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n"
      "{\"v\":1}";
  RawTls peer(cell.client_context()->current(), cell.port());
  peer.send("POST /v1/t/no-such HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: " +
            std::to_string(good.size()) + "\r\n\r\n" + good + good);
  const std::string reply = peer.receive_all();
  CHECK(reply.starts_with("HTTP/1.1 404 "));
  CHECK(reply.find("Connection: close") != std::string::npos);
  CHECK(peer.closed());
  CHECK(executed == 0);

  // Well-formed requests in one packet are answered in order.
  RawTls honest(cell.client_context()->current(), cell.port());
  honest.send(good + good);
  std::size_t replies = 0;
  (void)honest.receive_until([&](std::string_view text) {
    replies = 0;
    for (auto at = text.find("HTTP/1.1 200"); at != text.npos;
         at = text.find("HTTP/1.1 200", at + 1)) {
      ++replies;
    }
    return replies == 2;
  });
  CHECK(replies == 2);
  CHECK(executed == 2);
}

TEST_CASE("new connections get the renewed certificate, living ones stay") {
  RpcCell cell;
  cell.start();
  auto old = cell.client();
  CHECK_OK(old->call(RpcCell::request("test", "echo")).answer);
  const auto before = old->call(RpcCell::request("test", "status"));
  (void)cell.certificates().issue("server", {.ends = 48h});
  CHECK_OK(cell.server().reload_tls());
  CHECK_OK(old->call(RpcCell::request("test", "echo")).answer);
  const auto after = cell.client()->call(RpcCell::request("test", "status"));
  REQUIRE_OK(before.answer);
  REQUIRE_OK(after.answer);
  CHECK(after.answer->result()["certificate_not_after"] >
        before.answer->result()["certificate_not_after"]);
  CHECK(cell.server().stats().accepted == 2);
}

TEST_CASE("when memory is short a call fails and the server lives on") {
  RpcCell cell;
  cell.add({.service = "t", .name = "starve", .handler = [](Call&) -> Result<Reply> {
              throw std::bad_alloc();
            }});
  cell.start();
  auto client = cell.client();
  CHECK_FAILS(client->call(RpcCell::request("t", "starve")).answer, ErrorCode::Internal);
  CHECK_OK(client->call(RpcCell::request("test", "echo")).answer);
}

TEST_CASE("running out of descriptors pauses accepting and ends when there are some again") {
  RpcCell cell;
  cell.start();
  auto client = cell.client();
  CHECK_OK(client->call(RpcCell::request("test", "echo")).answer);
  rlimit old{};
  ::getrlimit(RLIMIT_NOFILE, &old);
  auto waiting = dial("127.0.0.1", cell.port(), now() + test_support::kPatience);
  REQUIRE_OK(waiting);
  CHECK(eventually([&] { return cell.server().stats().accepted == 2; }));
  {
    const auto request = RpcCell::request("test", "echo");
    common::UniqueFd probe(::dup(0));
    rlimit tight = old;
    tight.rlim_cur = static_cast<rlim_t>(probe.get()) + 1;
    common::UniqueFd spare(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ::setrlimit(RLIMIT_NOFILE, &tight);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(cell.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::connect(spare.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    // Plain code until descriptors are back: sanitizers open a pipe to look at objects.
    const common::Instant give_up = now() + test_support::kPatience;
    while (cell.server().stats().accept_failures == 0 && now() < give_up)
      std::this_thread::yield();
    const bool served = client->call(request).outcome == Outcome::Answered;
    ::setrlimit(RLIMIT_NOFILE, &old);
    CHECK(cell.server().stats().accept_failures > 0);
    CHECK(served);
    CHECK(eventually([&] { return cell.server().stats().accepted == 3; }));
  }
  CHECK_OK(cell.client()->call(RpcCell::request("test", "echo")).answer);
}
