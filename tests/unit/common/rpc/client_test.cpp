// How calls end, played against servers that do what real ones do at their worst.

#include "common/rpc/client.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <atomic>
#include <future>

#include "common/rpc/retry.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/raw_tls.hpp"
#include "tests/support/rpc_fixture.hpp"

using common::ErrorCode;
using namespace common::rpc;
using namespace std::chrono_literals;
using test_support::http_json;
using test_support::RawTls;
using test_support::RpcCell;
using test_support::ScriptedServer;

namespace {

ClientOptions options_for(const RpcCell& cell, std::uint16_t port) {
  ClientOptions options = cell.client_options();
  options.port = port;
  return options;
}

}  // namespace

TEST_CASE("a call that a server executed and did not answer is never sent again by itself") {
  RpcCell cell;
  // Every connection executes one request; `how` says how it then ends.
  for (const int how : {0, 1, 2}) {
    CAPTURE(how);
    std::atomic<int> executed{0};
    ScriptedServer server(cell.server_context()->current(), [&](RawTls& peer, int) {
      if (peer.receive_message().empty())
        return;
      ++executed;
      if (how == 0)
        peer.hang_up();  // close_notify: where httplib's client would post again
      if (how == 1)
        peer.drop();
      if (how == 2)
        peer.reset();
    });
    Client client(options_for(cell, server.port()));
    auto result = client.call(RpcCell::request("t", "mutate"));
    CHECK(result.outcome == Outcome::Unknown);
    CHECK_FAILS(result.answer, ErrorCode::OutcomeUnknown);
    CHECK(executed == 1);
    CHECK_FALSE(client.connected());
  }
}

TEST_CASE("an unknown outcome is repeated only where the operation bears it, under one id") {
  RpcCell cell;
  std::vector<std::string> seen;
  ScriptedServer server(cell.server_context()->current(), [&](RawTls& peer, int number) {
    seen.push_back(peer.receive_message());
    if (number % 2 == 1)
      peer.send(http_json(200, R"({"epoch":1,"result":"done"})"));
  });
  PoolOptions options;
  options.client = options_for(cell, server.port());
  Pool pool(options);
  RetryBudget budget;
  auto request = RpcCell::request("t", "mutate");
  auto result = call_with_retry(pool, request, Repeat::OnlyIfNotExecuted, budget);
  CHECK(result.outcome == Outcome::Unknown);  // connection 0
  CHECK(seen.size() == 1);
  (void)pool.call(request);  // connection 1, answered
  pool.drop_idle();

  // Without an id "by operation id" cannot repeat; with one it does, and the id is the same.
  ScriptedServer second(cell.server_context()->current(), [&](RawTls& peer, int number) {
    seen.push_back(peer.receive_message());
    if (number == 2)
      peer.send(http_json(200, R"({"epoch":1,"result":"done"})"));
  });
  options.client.port = second.port();
  Pool other(options);
  seen.clear();
  result = call_with_retry(other, request, Repeat::ByOperationId, budget);
  CHECK(result.outcome == Outcome::Unknown);
  CHECK(seen.size() == 1);
  request.head.id = {1, 2};
  result = call_with_retry(other, request, Repeat::ByOperationId, budget);
  REQUIRE_OK(result.answer);
  REQUIRE(seen.size() == 3);
  const auto id = R"("id":"00000000000000010000000000000002")";
  CHECK(seen[1].find(id) != std::string::npos);
  CHECK(seen[2].find(id) != std::string::npos);
}

TEST_CASE("replies that cannot be believed are unknown outcomes") {
  RpcCell cell;
  const std::string replies[] = {
      "HTTP/1.1 200 OK\r\n\r\n{\"epoch\":1,\"result\":1}",  // no length, then the end
      "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"epoch\":1,\"result\":1}",
      "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\njunk",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
      "junk\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 8\r\n\r\n"
      "\x7F\xFF\xFF\xFFjunk",
  };
  for (const std::string& reply : replies) {
    CAPTURE(reply);
    ScriptedServer server(cell.server_context()->current(), [&](RawTls& peer, int) {
      (void)peer.receive_message();
      peer.send(reply);
    });
    Client client(options_for(cell, server.port()));
    auto result = client.call(RpcCell::request("t", "x"));
    CHECK(result.outcome == Outcome::Unknown);
    CHECK_FAILS(result.answer, ErrorCode::OutcomeUnknown);
  }
}

TEST_CASE("a reply whose bytes break off is not taken for the whole") {
  RpcCell cell;
  ScriptedServer server(cell.server_context()->current(), [&](RawTls& peer, int) {
    (void)peer.receive_message();
    const std::string json = R"({"epoch":1,"result":null})";
    peer.send("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: " +
              std::to_string(4 + json.size() + 1000) + "\r\n\r\n" +
              encode_frame_length(json.size()) + json + "only a few");
  });
  Client client(options_for(cell, server.port()));
  auto result = client.call(RpcCell::request("t", "x"));
  CHECK_FAILS(result.answer, ErrorCode::OutcomeUnknown);
}

TEST_CASE("what never left is known not to have been executed") {
  RpcCell cell;
  SUBCASE("nobody listens") {
    auto listener = listen_on("127.0.0.1", 0);
    REQUIRE_OK(listener);
    const std::uint16_t port = listener->port;
    listener->fd.reset();
    Client client(options_for(cell, port));
    auto result = client.call(RpcCell::request("t", "x"));
    CHECK(result.outcome == Outcome::NotSent);
    CHECK_FAILS(result.answer, ErrorCode::Unavailable);
  }
  SUBCASE("the kernel finds the address invalid just now") {
    auto options = options_for(cell, 1);
    options.host = "fe80::1";  // of no interface: EINVAL
    auto result = Client(options).call(RpcCell::request("t", "x"));
    CHECK(result.outcome == Outcome::NotSent);
    REQUIRE_FALSE(result.answer);
    if (result.answer.error().message.find("socket") != 0)  // the machine speaks no IPv6
      CHECK_FAILS(result.answer, ErrorCode::Unavailable);
  }
  SUBCASE("a foreign server") {
    RpcCell other;
    other.start();
    Client client(options_for(cell, other.port()));
    auto result = client.call(RpcCell::request("test", "echo"));
    CHECK(result.outcome == Outcome::NotSent);
    CHECK_FAILS(result.answer, ErrorCode::Unauthenticated);
    CHECK(other.server().stats().calls == 0);
  }
  SUBCASE("another name") {
    cell.start();
    auto options = cell.client_options();
    options.server_name = "elsewhere.cell";
    auto result = Client(options).call(RpcCell::request("test", "echo"));
    CHECK(result.outcome == Outcome::NotSent);
    CHECK_FAILS(result.answer, ErrorCode::Unauthenticated);
  }
  SUBCASE("a server that wants a certificate we do not have") {
    cell.client_certificates = common::tls::ClientCertificates::Required;
    cell.start();
    auto result = cell.client()->call(RpcCell::request("test", "echo"));
    CHECK(result.outcome == Outcome::NotSent);
    CHECK_FAILS(result.answer, ErrorCode::Unauthenticated);
    CHECK(result.answer.error().message.find("wants a client certificate") != std::string::npos);
  }
  SUBCASE("a deadline that has passed") {
    cell.start();
    auto request = RpcCell::request("test", "echo");
    request.deadline = now() - 1ms;
    auto result = cell.client()->call(request);
    CHECK(result.outcome == Outcome::NotSent);
    CHECK_FAILS(result.answer, ErrorCode::DeadlineExceeded);
  }
  SUBCASE("a server that accepts and says nothing") {
    auto listener = listen_on("127.0.0.1", 0);
    REQUIRE_OK(listener);
    Client client(options_for(cell, listener->port));
    auto request = RpcCell::request("t", "x");
    request.deadline = now() + 100ms;
    auto result = client.call(request);
    CHECK(result.outcome == Outcome::NotSent);
    CHECK_FALSE(result.answer.has_value());
    CHECK(now() < request.deadline + test_support::kPatience);
  }
}

TEST_CASE("the deadline holds against a silent and against a dripping server") {
  RpcCell cell;
  for (const bool drips : {false, true}) {
    CAPTURE(drips);
    ScriptedServer server(cell.server_context()->current(), [&](RawTls& peer, int) {
      (void)peer.receive_message();
      const std::string reply = http_json(200, R"({"epoch":1,"result":"slow"})");
      for (std::size_t i = 0; drips && i < reply.size(); ++i) {
        if (!peer.send(reply.substr(i, 1)))
          return;
        (void)wait_for(-1, 0, now() + 20ms);
      }
      if (!drips)
        (void)peer.receive_all();
    });
    Client client(options_for(cell, server.port()));
    auto request = RpcCell::request("t", "x");
    request.deadline = now() + 150ms;
    auto result = client.call(request);
    CHECK_FAILS(result.answer, ErrorCode::OutcomeUnknown);
    CHECK(now() < request.deadline + test_support::kPatience);
  }
}

TEST_CASE("a call can be cancelled while it waits") {
  RpcCell cell;
  Cancellation cancellation;
  ScriptedServer server(cell.server_context()->current(), [&](RawTls& peer, int) {
    (void)peer.receive_message();
    cancellation.cancel();
    (void)peer.receive_all();
  });
  Client client(options_for(cell, server.port()));
  auto request = RpcCell::request("t", "x");
  request.cancellation = &cancellation;
  auto result = client.call(request);
  CHECK(result.outcome == Outcome::Unknown);  // the server had it
  auto again = client.call(request);
  CHECK(again.outcome == Outcome::NotSent);
  CHECK_FAILS(again.answer, ErrorCode::Cancelled);
}

TEST_CASE("a large request that is refused early learns why") {
  RpcCell cell;
  cell.start();
  std::vector<std::byte> bytes(50'000'000);
  auto request = RpcCell::request("test", "echo-bytes");
  request.bytes = bytes;
  auto client = cell.client();
  auto result = client->call(request);
  CHECK(result.outcome == Outcome::Answered);
  CHECK_FAILS(result.answer, ErrorCode::TooLarge);
  CHECK_FALSE(client->connected());
}

TEST_CASE("a reply that lies there when writing begins to fail is read") {
  RpcCell cell;
  for (const bool resets : {false, true}) {
    CAPTURE(resets);
    std::promise<void> gone;
    const std::shared_future<void> gone_by_then = gone.get_future().share();
    ScriptedServer server(cell.server_context()->current(), [&](RawTls& peer, int) {
      (void)peer.receive_until([](std::string_view text) { return text.size() > 10'000; });
      peer.send(http_json(413, R"({"epoch":1,"code":"too_large","message":"less, please"})"));
      if (resets) {
        peer.hang_up();  // bytes of ours are unread: close_notify, then a reset
      } else {
        peer.close_notify();
      }
      gone.set_value();
      if (!resets)
        (void)peer.receive_until([](std::string_view text) { return text.size() > 600'000; });
    });
    Client client(options_for(cell, server.port()));
    auto request = RpcCell::request("t", "put");
    request.source_size = 500'000'000;
    bool first = true;
    const std::vector<std::byte> piece(256 * 1024);
    request.source =
        [&](std::span<std::byte> scratch) -> common::Result<std::span<const std::byte>> {
      // Writing goes on only when the server has answered and ended the session.
      if (!std::exchange(first, false))
        CHECK(gone_by_then.wait_for(10s) == std::future_status::ready);
      return std::span(piece).first(std::min(scratch.size(), piece.size()));
    };
    const auto result = client.call(request);
    CHECK(result.outcome == Outcome::Answered);
    CHECK_FAILS(result.answer, ErrorCode::TooLarge);
    CHECK_FALSE(client.connected());
  }
}

TEST_CASE("retries stay within attempts, budget and deadline") {
  const auto failing = [](Outcome outcome, ErrorCode code, int& calls) {
    return [outcome, code, &calls](const Request&) {
      ++calls;
      return CallResult{outcome, common::fail(code, "no")};
    };
  };
  RetryPolicy policy;
  policy.first_pause = 1ms;
  policy.attempts = 4;
  const auto request = RpcCell::request("t", "x");
  int calls = 0;
  SUBCASE("attempts") {
    RetryBudget budget(0.1, 100);
    (void)call_with_retry(failing(Outcome::NotSent, ErrorCode::Unavailable, calls), request,
                          Repeat::OnlyIfNotExecuted, budget, policy);
    CHECK(calls == 4);
  }
  SUBCASE("overload is repeated, other answers are not") {
    RetryBudget budget(0.1, 100);
    (void)call_with_retry(failing(Outcome::Answered, ErrorCode::Overloaded, calls), request,
                          Repeat::OnlyIfNotExecuted, budget, policy);
    CHECK(calls == 4);
    (void)call_with_retry(failing(Outcome::Answered, ErrorCode::Conflict, calls), request,
                          Repeat::ChangesNothing, budget, policy);
    CHECK(calls == 5);
  }
  SUBCASE("a tenth of the calls at most, after the reserve is gone") {
    RetryBudget budget(0.1, 5);
    for (int i = 0; i < 1000; ++i) {
      (void)call_with_retry(failing(Outcome::NotSent, ErrorCode::Unavailable, calls), request,
                            Repeat::OnlyIfNotExecuted, budget, policy);
    }
    CHECK(calls <= 1000 + 100 + 5);
    CHECK(calls >= 1000 + 90);
  }
  SUBCASE("never beyond the deadline, never sooner than the server asks") {
    RetryBudget budget(0.1, 100);
    auto hurried = request;
    hurried.deadline = now() + 200ms;
    (void)call_with_retry(
        [&](const Request&) {
          ++calls;
          return CallResult{Outcome::Answered,
                            tl::unexpected(common::Error{ErrorCode::Overloaded, "no", 1000ms})};
        },
        hurried, Repeat::OnlyIfNotExecuted, budget, policy);
    CHECK(calls == 1);
  }
  SUBCASE("an unknown attempt stays unknown even if a later one was not sent") {
    RetryBudget budget(0.1, 100);
    auto result = call_with_retry(
        [&](const Request&) {
          return ++calls == 1
                     ? CallResult{Outcome::Unknown, common::fail(ErrorCode::OutcomeUnknown, "a")}
                     : CallResult{Outcome::NotSent, common::fail(ErrorCode::Unavailable, "b")};
        },
        request, Repeat::ChangesNothing, budget, policy);
    CHECK(result.outcome == Outcome::Unknown);
    CHECK_FAILS(result.answer, ErrorCode::OutcomeUnknown);
  }
}

TEST_CASE("a pool keeps connections, replaces closed ones and bounds them") {
  RpcCell cell;
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  cell.add({.service = "t", .name = "count", .handler = [&](Call&) -> common::Result<Reply> {
              const int here = ++inside;
              int seen = most;
              while (here > seen && !most.compare_exchange_weak(seen, here)) {
              }
              std::this_thread::yield();
              --inside;
              return Reply{};
            }});
  cell.start();
  PoolOptions options;
  options.client = cell.client_options();
  options.calls = 3;
  options.idle_calls = 2;
  Pool pool(options);
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i)
        good += pool.call(RpcCell::request("t", "count")).answer ? 1 : 0;
    });
  }
  for (auto& thread : threads)
    thread.join();
  CHECK(good == 160);
  CHECK(most <= 3);
  CHECK(pool.stats().idle <= 2);
  CHECK(pool.stats().open == pool.stats().idle);

  // All of its idle connections die; the next call notices before it sends anything.
  const std::uint16_t port = cell.port();
  cell.stop();
  auto down = pool.call(RpcCell::request("t", "count"));
  CHECK_FALSE(down.answer.has_value());
  cell.start(port);
  RetryBudget budget;
  CHECK_OK(
      call_with_retry(pool, RpcCell::request("t", "count"), Repeat::ChangesNothing, budget).answer);
}

TEST_CASE("while a server is down calls fail at once instead of dialling") {
  RpcCell cell;
  auto listener = listen_on("127.0.0.1", 0);
  REQUIRE_OK(listener);
  PoolOptions options;
  options.client = options_for(cell, listener->port);
  options.down_for = 60'000ms;
  listener->fd.reset();
  Pool pool(options);
  for (int i = 0; i < 5; ++i) {
    auto result = pool.call(RpcCell::request("t", "x"));
    CHECK(result.outcome == Outcome::NotSent);
    CHECK_FAILS(result.answer, ErrorCode::Unavailable);
  }
  CHECK(pool.stats().dials == 1);
}

TEST_CASE("names are resolved within the deadline, and the wait can be cancelled") {
  auto listener = listen_on("127.0.0.1", 0);
  REQUIRE_OK(listener);
  CHECK_OK(dial("localhost", listener->port, now() + 10s));
  CHECK_FALSE(dial("no-such-host.invalid", listener->port, now() - 1s).has_value());
  Cancellation cancellation;
  cancellation.cancel();
  CHECK_FAILS(dial("localhost", listener->port, now() + 10s, cancellation.fd()),
              ErrorCode::Cancelled);
}

TEST_CASE("one caller's short time does not make a server count as down") {
  // Takes the connection and never shakes hands.
  auto listener = listen_on("127.0.0.1", 0);
  REQUIRE_OK(listener);
  RpcCell cell;
  PoolOptions options;
  options.client = options_for(cell, listener->port);
  options.down_for = 60'000ms;
  Pool pool(options);
  for (std::uint64_t dials = 1; dials <= 2; ++dials) {
    auto request = RpcCell::request("t", "x");
    request.deadline = now() + 20ms;
    CHECK_FALSE(pool.call(request).answer.has_value());
    CHECK(pool.stats().dials == dials);
  }
}

TEST_CASE("a sink that throws does not cost its lane a connection") {
  RpcCell cell;
  cell.start();
  PoolOptions options;
  options.client = cell.client_options();
  options.calls = 1;
  Pool pool(options);
  const std::vector<std::byte> sent(1000);
  auto request = RpcCell::request("test", "echo-bytes");
  request.bytes = sent;
  request.sink = [](std::span<const std::byte>) -> common::Status {
    throw std::runtime_error("a bug above");
  };
  CHECK_THROWS((void)pool.call(request));
  CHECK(pool.stats().open == 0);
  auto client = cell.client();
  CHECK_THROWS((void)client->call(request));
  CHECK_FALSE(client->connected());
  CHECK_OK(pool.call(RpcCell::request("test", "echo")).answer);
}

TEST_CASE("what a server sends beyond its reply is no reply to the next call") {
  RpcCell cell;
  for (const bool as_bytes : {false, true}) {
    CAPTURE(as_bytes);
    ScriptedServer server(cell.server_context()->current(), [&](RawTls& peer, int number) {
      if (peer.receive_message().empty())
        return;
      if (number > 0) {
        peer.send(http_json(200, R"({"epoch":1,"result":"mine"})"));
      } else if (as_bytes) {
        // An error with bytes behind it, which no server of ours sends.
        const std::string json = R"({"epoch":1,"code":"NotFound","message":"no"})";
        const std::string rest = http_json(200, R"({"epoch":1,"result":"stray"})");
        peer.send("HTTP/1.1 404 X\r\nContent-Type: application/octet-stream\r\nContent-Length: " +
                  std::to_string(4 + json.size() + rest.size()) + "\r\n\r\n" +
                  encode_frame_length(json.size()) + json);
        (void)peer.receive_all();  // until the client hangs up
      } else {
        const int on = 1;
        const int off = 0;
        ::setsockopt(peer.fd(), IPPROTO_TCP, TCP_CORK, &on, sizeof on);
        peer.send(http_json(200, R"({"epoch":1,"result":"mine"})"));
        peer.send(http_json(200, R"({"epoch":1,"result":"stray"})"));
        ::setsockopt(peer.fd(), IPPROTO_TCP, TCP_CORK, &off, sizeof off);
        (void)peer.receive_all();
      }
    });
    Client client(options_for(cell, server.port()));
    const auto first = client.call(RpcCell::request("t", "x"));
    CHECK(first.outcome == Outcome::Answered);
    CHECK_FALSE(client.connected());
    const auto second = client.call(RpcCell::request("t", "x"));
    REQUIRE_OK(second.answer);
    CHECK(second.answer->result() == "mine");
  }
}
