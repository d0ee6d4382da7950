#include "common/rpc/server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "common/rpc/socket.hpp"
#include "tests/support/raw_tls.hpp"
#include "tests/support/rpc_fixture.hpp"

using common::ErrorCode;
using common::Result;
using namespace common::rpc;
using namespace std::chrono_literals;
using test_support::RpcCell;

TEST_CASE("a call is answered, and the connection serves the next one") {
  RpcCell cell;
  cell.start();
  auto client = cell.client();
  for (int i = 0; i < 3; ++i) {
    auto result = client->call(RpcCell::request("test", "echo", R"({"x":[1,"two"]})"));
    REQUIRE_OK(result.answer);
    CHECK(result.outcome == Outcome::Answered);
    CHECK(result.answer->epoch == cell.server().epoch());
    CHECK(result.answer->result() == nlohmann::json{{"x", {1, "two"}}});
  }
  CHECK(cell.server().stats().accepted == 1);
  CHECK(cell.server().stats().calls == 3);
}

TEST_CASE("bytes travel both ways beside JSON, small and large") {
  RpcCell cell;
  cell.start();
  auto client = cell.client();
  for (const std::size_t size : {std::size_t{1}, std::size_t{5000}, std::size_t{1000000}}) {
    CAPTURE(size);
    std::vector<std::byte> sent(size);
    for (std::size_t i = 0; i < size; ++i)
      sent[i] = static_cast<std::byte>(i * 7);
    auto request = RpcCell::request("test", "echo-bytes", R"("hi")");
    request.bytes = sent;
    auto result = client->call(request);
    REQUIRE_OK(result.answer);
    CHECK(result.answer->result() == "hi");
    CHECK(result.answer->bytes == sent);
  }
  CHECK(cell.server().stats().accepted == 1);
}

TEST_CASE("streamed bodies are drawn by the handler, streamed replies from a source") {
  constexpr std::uint64_t kSize = 5'000'000;
  RpcCell cell;
  cell.add({.service = "test",
            .name = "put",
            .handler = [](Call& call) -> Result<Reply> {
              std::vector<std::byte> buffer(100'000);
              std::uint64_t sum = 0;
              std::uint64_t size = 0;
              for (;;) {
                TROTH_TRY(const auto got, call.read_body(buffer));
                if (got == 0)
                  break;
                for (std::size_t i = 0; i < got; ++i)
                  sum += std::to_integer<unsigned>(buffer[i]);
                size += got;
              }
              return Reply::json({{"sum", sum}, {"size", size}});
            },
            .body_cap = 1ULL << 30,
            .streamed = true});
  cell.add({.service = "test", .name = "get", .handler = [](Call&) -> Result<Reply> {
              Reply reply = Reply::text("1");
              reply.source_size = kSize;
              reply.source =
                  [](std::span<std::byte> scratch) -> Result<std::span<const std::byte>> {
                for (auto& b : scratch)
                  b = std::byte{3};
                return scratch;
              };
              return reply;
            }});
  cell.start();
  auto client = cell.client();

  std::vector<std::byte> sent(kSize, std::byte{2});
  auto put = RpcCell::request("test", "put");
  put.bytes = sent;
  auto result = client->call(put);
  REQUIRE_OK(result.answer);
  CHECK(result.answer->result()["size"] == kSize);
  CHECK(result.answer->result()["sum"] == 2 * kSize);

  std::uint64_t got = 0;
  auto get = RpcCell::request("test", "get");
  get.sink = [&](std::span<const std::byte> part) -> common::Status {
    CHECK(part.back() == std::byte{3});
    got += part.size();
    return {};
  };
  result = client->call(get);
  REQUIRE_OK(result.answer);
  CHECK(got == kSize);
  CHECK(result.answer->raw_size == kSize);
  CHECK(cell.server().stats().accepted == 1);
}

TEST_CASE("errors of an operation keep their code and the connection") {
  RpcCell cell;
  cell.add({.service = "test", .name = "missing", .handler = [](Call&) -> Result<Reply> {
              return common::fail(ErrorCode::NotFound, "no volume named x");
            }});
  cell.add({.service = "test", .name = "throws", .handler = [](Call&) -> Result<Reply> {
              throw std::runtime_error("secret detail");
            }});
  cell.start();
  auto client = cell.client();
  auto result = client->call(RpcCell::request("test", "missing"));
  CHECK_FAILS(result.answer, ErrorCode::NotFound);
  CHECK(result.outcome == Outcome::Answered);
  CHECK(result.answer.error().message == "no volume named x");
  result = client->call(RpcCell::request("test", "throws"));
  CHECK_FAILS(result.answer, ErrorCode::Internal);
  CHECK(result.answer.error().message.find("secret") == std::string::npos);
  CHECK(client->connected());
  CHECK(cell.server().stats().accepted == 1);
  CHECK(cell.server().stats().exceptions == 1);
}

TEST_CASE("what a reply's source throws costs its call the connection and nothing else") {
  RpcCell cell;
  cell.add({.service = "test", .name = "get", .handler = [](Call&) -> Result<Reply> {
              Reply reply = Reply::text("1");
              reply.source_size = 1000;
              reply.source = [](std::span<std::byte>) -> Result<std::span<const std::byte>> {
                throw std::runtime_error("a broken disk");
              };
              return reply;
            }});
  cell.start();
  auto client = cell.client();
  const auto result = client->call(RpcCell::request("test", "get"));
  CHECK(result.outcome == Outcome::Unknown);
  CHECK_FALSE(client->connected());
  CHECK_OK(client->call(RpcCell::request("test", "echo")).answer);
  CHECK(cell.server().stats().exceptions == 1);
}

TEST_CASE("a caller who reads slowly counts as a bulk call until he has read") {
  // More than sockets can hold, so that the server cannot be done before we read.
  constexpr std::uint64_t kSize = 64 * 1024 * 1024;
  RpcCell cell;
  cell.limits.bulk_in_flight = 1;
  cell.add({.service = "test",
            .name = "get",
            .handler = [](Call&) -> Result<Reply> {
              Reply reply = Reply::text("1");
              reply.source_size = kSize;
              reply.source =
                  [](std::span<std::byte> scratch) -> Result<std::span<const std::byte>> {
                return scratch;
              };
              return reply;
            },
            .kind = OperationClass::Bulk});
  cell.start();
  auto slow = cell.client();
  auto other = cell.client();
  bool asked = false;
  auto get = RpcCell::request("test", "get");
  get.deadline = common::rpc::now() + 60s;
  get.sink = [&](std::span<const std::byte>) -> common::Status {
    if (!std::exchange(asked, true)) {
      CHECK_FAILS(other->call(RpcCell::request("test", "get")).answer, ErrorCode::Overloaded);
      CHECK_OK(other->call(RpcCell::request("test", "echo")).answer);
    }
    return {};
  };
  CHECK_OK(slow->call(get).answer);
  CHECK_OK(slow->call(get).answer);  // its own slot is free again
  CHECK(asked);
}

TEST_CASE("a request that came in the same segment, as a TLS record of its own, is answered") {
  RpcCell cell;
  cell.start();
  test_support::RawTls peer(cell.client_context()->current(), cell.port());
  REQUIRE(peer.good());
  const std::string call =
      "POST /v1/test/echo HTTP/1.1\r\nContent-Type: application/json\r\n"
      "Content-Length: 7\r\n\r\n{\"v\":1}";
  const auto cork = [&](int on) {
    REQUIRE(::setsockopt(peer.fd(), IPPROTO_TCP, TCP_CORK, &on, sizeof on) == 0);
  };
  cork(1);
  REQUIRE(peer.send(call));
  REQUIRE(peer.send(call));
  cork(0);
  std::size_t answers = 0;
  (void)peer.receive_until([&](std::string_view text) {
    answers = 0;
    for (std::size_t at = text.find("\"result\""); at != text.npos;
         at = text.find("\"result\"", at + 1))
      ++answers;
    return answers == 2;
  });
  CHECK(answers == 2);
}

TEST_CASE("the beginning of a next request survives the large one before it") {
  RpcCell cell;
  cell.start();
  test_support::RawTls peer(cell.client_context()->current(), cell.port());
  REQUIRE(peer.good());
  const std::string json = R"({"v":1})";
  const std::string raw(200'000, 'x');
  const std::string large =
      "POST /v1/test/echo-bytes HTTP/1.1\r\nContent-Type: application/octet-stream\r\n"
      "Content-Length: " +
      std::to_string(4 + json.size() + raw.size()) + "\r\n\r\n" + encode_frame_length(json.size()) +
      json + raw;
  const std::string next =
      "POST /v1/test/echo HTTP/1.1\r\nContent-Type: application/json\r\n"
      "Content-Length: 7\r\n\r\n{\"v\":1}";
  REQUIRE(peer.send(large + next.substr(0, 30)));
  CHECK(peer.receive_message().ends_with(raw));
  REQUIRE(peer.send(next.substr(30)));
  CHECK(peer.receive_message().find("\"result\"") != std::string::npos);
}

TEST_CASE("what is wrong before an operation runs ends the connection") {
  RpcCell cell;
  cell.add({.service = "test",
            .name = "users-only",
            .handler = [](Call&) -> Result<Reply> { return Reply{}; },
            .needs_session = true});
  cell.add({.service = "test",
            .name = "nodes-only",
            .handler = [](Call&) -> Result<Reply> { return Reply{}; },
            .needs_node_certificate = true});
  cell.start();
  struct Row {
    const char* operation;
    std::size_t size;
    ErrorCode code;
  };
  const Row rows[] = {{"no-such", 10, ErrorCode::Unsupported},
                      {"users-only", 10, ErrorCode::Unauthenticated},
                      {"nodes-only", 10, ErrorCode::PermissionDenied},
                      {"echo", 100'000, ErrorCode::TooLarge}};
  for (const Row& row : rows) {
    CAPTURE(row.operation);
    auto client = cell.client();
    auto result = client->call(
        RpcCell::request("test", row.operation, "\"" + std::string(row.size, 'x') + "\""));
    CHECK_FAILS(result.answer, row.code);
    CHECK(result.outcome == Outcome::Answered);
    CHECK_FALSE(client->connected());
  }
  CHECK(cell.server().stats().calls == 0);

  auto node = cell.certificates().issue("node", {.role = "fileserver"});
  auto client = cell.client(node);
  CHECK_OK(client->call(RpcCell::request("test", "nodes-only")).answer);
}

TEST_CASE("a handler knows its caller, and a session lives as long as its connection") {
  struct TestSession : Session {
    int calls = 0;
  };
  RpcCell cell;
  cell.add({.service = "test", .name = "login", .handler = [](Call& call) -> Result<Reply> {
              call.peer().set_session(std::make_shared<TestSession>());
              TROTH_TRY(const auto binding, call.peer().channel_binding());
              return Reply::json({{"address", call.peer().address()},
                                  {"certificate", call.peer().certificate().has_value()},
                                  {"binding", std::to_integer<int>(binding[0])}});
            }});
  cell.add({.service = "test",
            .name = "use",
            .handler = [](Call& call) -> Result<Reply> {
              return Reply::json(++static_cast<TestSession&>(*call.peer().session()).calls);
            },
            .needs_session = true});
  cell.start();
  auto client = cell.client();
  auto result = client->call(RpcCell::request("test", "login"));
  REQUIRE_OK(result.answer);
  CHECK(result.answer->result()["address"] == "127.0.0.1");
  CHECK(result.answer->result()["certificate"] == false);
  auto binding = client->channel_binding();
  REQUIRE_OK(binding);
  CHECK(result.answer->result()["binding"] == std::to_integer<int>((*binding)[0]));
  CHECK(client->call(RpcCell::request("test", "use")).answer->result() == 1);
  CHECK(client->call(RpcCell::request("test", "use")).answer->result() == 2);
  client->disconnect();
  CHECK_FAILS(client->call(RpcCell::request("test", "use")).answer, ErrorCode::Unauthenticated);
}

TEST_CASE("the status operation tells role, version and readiness") {
  RpcCell cell;
  cell.start();
  auto result = cell.client()->call(RpcCell::request("test", "status"));
  REQUIRE_OK(result.answer);
  CHECK(result.answer->result()["role"] == "test");
  CHECK(result.answer->result()["ready"] == true);
  CHECK(result.answer->result()["certificate_not_after"].get<std::int64_t>() > 1'700'000'000);
}

TEST_CASE("many callers at once are all answered") {
  RpcCell cell;
  cell.start();
  constexpr int kCallers = 8;
  constexpr int kCalls = 50;
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kCallers; ++t) {
    threads.emplace_back([&cell, &good, t] {
      auto client = cell.client();
      for (int i = 0; i < kCalls; ++i) {
        const std::string args = std::to_string(t * 1000 + i);
        auto result = client->call(RpcCell::request("test", "echo", args));
        if (result.answer && result.answer->result().dump() == args)
          ++good;
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  CHECK(good == kCallers * kCalls);
  CHECK(cell.server().stats().accepted == kCallers);
}

TEST_CASE("callers are counted by IPv4 address, however it is written, and by IPv6 site") {
  const auto v6 = [](const char* text) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    REQUIRE(::inet_pton(AF_INET6, text, &address.sin6_addr) == 1);
    return origin_of(&address);
  };
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  REQUIRE(::inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr) == 1);
  CHECK(v6("::ffff:192.0.2.1").address == "192.0.2.1");
  CHECK(v6("::ffff:192.0.2.1").cap_unit == origin_of(&v4).cap_unit);
  CHECK(v6("::ffff:192.0.2.2").cap_unit != origin_of(&v4).cap_unit);
  CHECK(v6("2001:db8::1").cap_unit == v6("2001:db8::2").cap_unit);
  CHECK(v6("2001:db8::1").cap_unit != v6("2001:db8:0:1::1").cap_unit);
  CHECK(v6("2001:db8::1").address == "2001:db8::1");
}

TEST_CASE("a port in use is said in one sentence") {
  RpcCell first;
  first.start();
  RpcCell second;
  ServerOptions options;
  options.port = first.port();
  options.tls = second.server_context();
  options.role = "test";
  auto result = Server::start(std::move(options), {});
  CHECK_FAILS(result, ErrorCode::Busy);
}

TEST_CASE("stopping cuts idle callers and calls in progress, at once") {
  RpcCell cell;
  std::atomic<bool> entered{false};
  cell.add({.service = "test", .name = "wait", .handler = [&](Call& call) -> Result<Reply> {
              entered = true;
              while (!call.cancelled())
                std::this_thread::yield();
              return common::fail(ErrorCode::Cancelled, "stopping");
            }});
  cell.start();
  auto idle = cell.client();
  CHECK_OK(idle->call(RpcCell::request("test", "echo")).answer);
  CallResult result;
  std::thread caller([&] { result = cell.client()->call(RpcCell::request("test", "wait")); });
  while (!entered)
    std::this_thread::yield();
  const auto begin = now();
  cell.server().stop();
  CHECK(now() - begin < cell.limits.idle);
  caller.join();
  CHECK_FALSE(result.answer.has_value());
  CHECK_FALSE(idle->still_open());
}
