// What one caller, or one class of calls, may take of what all share.

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

#include "common/log/log.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/raw_peer.hpp"
#include "tests/support/rpc_fixture.hpp"

using common::ErrorCode;
using common::Result;
using namespace common::rpc;
using namespace std::chrono_literals;
using test_support::RawPeer;
using test_support::RpcCell;

namespace {

// A request of some size without its last byte.
std::string almost_a_call(std::size_t size) {
  const std::string json = R"({"v":1})";
  return "POST /v1/test/echo-bytes HTTP/1.1\r\nContent-Type: application/octet-stream\r\n"
         "Content-Length: " +
         std::to_string(4 + json.size() + size) + "\r\n\r\n" + encode_frame_length(json.size()) +
         json + std::string(size - 1, 'x');
}

}  // namespace

TEST_CASE("one address cannot take all the room for bodies") {
  RpcCell cell;
  cell.limits.collected_bytes = 4'000'000;
  cell.limits.collected_bytes_per_address = 1'500'000;
  cell.start();
  const auto context = cell.client_context()->current();
  const auto dial = [&](const char* from) {
    auto peer = RawPeer::dial_tls(cell.port(), context, from);
    REQUIRE_OK(peer);
    return *std::move(peer);
  };
  auto first = dial("127.0.0.2");
  REQUIRE_OK(first.send(almost_a_call(900'000)));
  const auto limit = now() + test_support::kPatience;
  while (cell.server().stats().collected_bytes < 900'000 && now() < limit)
    std::this_thread::yield();
  auto second = dial("127.0.0.2");
  (void)second.send(almost_a_call(900'000));
  CHECK(second.read_reply().value_or("").starts_with("HTTP/1.1 503 "));
  auto other = dial("127.0.0.3");
  REQUIRE_OK(other.send(almost_a_call(900'000) + "x"));
  CHECK(other.read_reply().value_or("").starts_with("HTTP/1.1 200 "));
  REQUIRE_OK(first.send("x"));
  CHECK(first.read_reply().value_or("").starts_with("HTTP/1.1 200 "));
  // All of it is given back, and the address may collect again.
  auto again = dial("127.0.0.2");
  REQUIRE_OK(again.send(almost_a_call(900'000) + "x"));
  CHECK(again.read_reply().value_or("").starts_with("HTTP/1.1 200 "));
  while (cell.server().stats().collected_bytes > 0 && now() < limit)
    std::this_thread::yield();
  CHECK(cell.server().stats().collected_bytes == 0);
}

TEST_CASE("all metadata and all bulk calls that are admitted leave a thread for status") {
  RpcCell cell;
  std::atomic<int> inside{0};
  std::atomic<bool> go_on{false};
  cell.limits.threads = 8;
  const auto hold = [&](Call&) -> Result<Reply> {
    ++inside;
    const auto limit = now() + 20s;
    while (!go_on && now() < limit)
      std::this_thread::yield();
    return Reply{};
  };
  cell.add({.service = "t", .name = "small", .handler = hold});
  cell.add({.service = "t", .name = "large", .handler = hold, .kind = OperationClass::Bulk});
  cell.start();
  std::atomic<int> refused{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 12; ++i) {
    callers.emplace_back([&, i] {
      auto request = RpcCell::request("t", i % 2 == 0 ? "small" : "large");
      request.deadline = now() + 2 * test_support::kPatience;
      const auto result = cell.client()->call(request);
      if (!result.answer && result.answer.error().code == ErrorCode::Overloaded)
        ++refused;
    });
  }
  const auto limit = now() + test_support::kPatience;
  while (inside + refused < 12 && now() < limit)
    std::this_thread::yield();
  CHECK(inside + refused == 12);
  CHECK(inside < 8);
  auto request = RpcCell::request("test", "status");
  request.deadline = now() + test_support::kPatience;
  CHECK_OK(cell.client()->call(request).answer);
  go_on = true;
  for (auto& caller : callers)
    caller.join();
}

TEST_CASE("strangers' calls leave room for those of others") {
  RpcCell cell;
  cell.limits.metadata_in_flight = 4;
  std::atomic<int> inside{0};
  std::atomic<bool> go_on{false};
  const auto limit = now() + test_support::kPatience;
  cell.add({.service = "t",
            .name = "open",
            .handler = [&](Call&) -> Result<Reply> {
              ++inside;
              while (!go_on && now() < limit)
                std::this_thread::yield();
              return Reply{};
            },
            .open_to_all = true});
  cell.add(
      {.service = "t", .name = "small", .handler = [](Call&) -> Result<Reply> { return Reply{}; }});
  cell.start();
  std::atomic<int> refused{0};
  std::vector<std::thread> strangers;
  for (int i = 0; i < 8; ++i) {
    strangers.emplace_back([&] {
      auto request = RpcCell::request("t", "open");
      request.deadline = now() + 2 * test_support::kPatience;
      const auto result = cell.client()->call(request);
      if (!result.answer && result.answer.error().code == ErrorCode::Overloaded)
        ++refused;
    });
  }
  while (inside + refused < 8 && now() < limit)
    std::this_thread::yield();
  CHECK(inside == 2);
  CHECK(refused == 6);
  auto request = RpcCell::request("t", "small");
  request.deadline = now() + test_support::kPatience;
  CHECK_OK(cell.client()->call(request).answer);
  go_on = true;
  for (auto& stranger : strangers)
    stranger.join();
}

TEST_CASE("what an exception says is not logged: it may hold a secret") {
  const common::UniqueFd file(::memfd_create("log", MFD_CLOEXEC));
  REQUIRE(file.valid());
  common::log::configure({.fd = file.get()});
  {
    RpcCell cell;
    cell.add({.service = "t", .name = "throws", .handler = [](Call&) -> Result<Reply> {
                throw std::runtime_error("password=hunter2");
              }});
    cell.add({.service = "t", .name = "breaks", .handler = [](Call&) -> Result<Reply> {
                Reply reply;
                reply.source_size = 10;
                reply.source = [](std::span<std::byte>) -> Result<std::span<const std::byte>> {
                  throw std::runtime_error("password=hunter2");
                };
                return reply;
              }});
    cell.start();
    auto client = cell.client();
    CHECK_FAILS(client->call(RpcCell::request("t", "throws")).answer, ErrorCode::Internal);
    CHECK_FALSE(client->call(RpcCell::request("t", "breaks")).answer.has_value());
  }
  common::log::configure({});
  std::array<char, 4096> text{};
  const ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
  REQUIRE(size > 0);
  const std::string_view lines(text.data(), static_cast<std::size_t>(size));
  CHECK(lines.find("throws") != lines.npos);
  CHECK(lines.find("breaks") != lines.npos);
  CHECK(lines.find("runtime_error") != lines.npos);
  CHECK(lines.find("hunter2") == lines.npos);
}

TEST_CASE("what fails in the server is told in full to its log, and to strangers by a trace only") {
  const common::UniqueFd file(::memfd_create("log", MFD_CLOEXEC));
  REQUIRE(file.valid());
  common::log::configure({.fd = file.get()});
  constexpr int kFailures = 30;
  std::string told;
  {
    RpcCell cell;
    const auto failing = [](ErrorCode code) {
      return [code](Call&) -> Result<Reply> {
        return common::fail(code, "SELECT secret FROM /var/lib/kdc.db");
      };
    };
    cell.add({.service = "t", .name = "corrupt", .handler = failing(ErrorCode::Corrupt)});
    cell.add({.service = "t", .name = "refuse", .handler = failing(ErrorCode::NotFound)});
    cell.add({.service = "t", .name = "login", .handler = [](Call& call) -> Result<Reply> {
                call.peer().set_session(std::make_shared<Session>());
                return Reply{};
              }});
    cell.start();
    auto client = cell.client();
    auto request = RpcCell::request("t", "corrupt");
    request.head.trace = "my-trace";
    const auto first = client->call(request).answer;
    CHECK_FAILS(first, ErrorCode::Corrupt);
    CHECK(first.error().message.find("secret") == std::string::npos);
    CHECK(first.error().message.find("my-trace") != std::string::npos);
    for (int i = 1; i < kFailures; ++i)
      told = client->call(RpcCell::request("t", "corrupt")).answer.error().message;
    // What is the caller's own doing he is told, and who is known everything.
    CHECK(client->call(RpcCell::request("t", "refuse")).answer.error().message.find("secret") !=
          std::string::npos);
    REQUIRE_OK(client->call(RpcCell::request("t", "login")).answer);
    CHECK(client->call(RpcCell::request("t", "corrupt")).answer.error().message.find("secret") !=
          std::string::npos);
    // A server's own certificate makes it known, too.
    auto node = cell.client(cell.certificates().issue("node"));
    CHECK(node->call(RpcCell::request("t", "corrupt")).answer.error().message.find("secret") !=
          std::string::npos);
  }
  common::log::configure({});
  std::string text(64 * 1024, '\0');
  const ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
  REQUIRE(size > 0);
  text.resize(static_cast<std::size_t>(size));
  int lines = 0;
  for (auto at = text.find("secret"); at != std::string::npos; at = text.find("secret", at + 1))
    ++lines;
  CHECK(text.find("my-trace") != std::string::npos);
  CHECK(lines >= 10);
  CHECK(lines < kFailures);  // in less than 20 s, as all this takes
  CHECK(told.find("under ") != std::string::npos);
}
