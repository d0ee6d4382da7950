// What a session that has ended may still send: next to nothing.

#include <array>
#include <atomic>

#include "tests/support/eventually.hpp"
#include "tests/support/raw_tls.hpp"
#include "tests/support/rpc_fixture.hpp"

using common::Duration;
using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using namespace common::rpc;
using namespace std::chrono_literals;
using test_support::eventually;
using test_support::RawTls;
using test_support::RpcCell;

namespace {

// What the test decides about every session of a cell.
struct Fate {
  std::atomic<bool> ended{false};
  std::atomic<std::int64_t> left_ms{3'600'000};
};

struct TestSession : Session {
  explicit TestSession(std::shared_ptr<Fate> its) : fate(std::move(its)) {}
  [[nodiscard]] Status check() const override {
    return fate->ended ? fail(ErrorCode::Expired, "the session has ended") : Status();
  }
  [[nodiscard]] Duration left() const override {
    // It ends by itself, as tickets do.
    if (fate->left_ms < 1'000 && left_before.exchange(true))
      fate->ended = true;
    return std::chrono::milliseconds(fate->left_ms);
  }
  std::shared_ptr<Fate> fate;
  mutable std::atomic<bool> left_before{false};
};

std::string head_of(std::string_view operation, std::size_t size) {
  return "POST /v1/test/" + std::string(operation) +
         " HTTP/1.1\r\nContent-Type: application/octet-stream\r\nContent-Length: " +
         std::to_string(size) + "\r\n\r\n";
}

constexpr std::size_t kLarge = 500'000;

// The head and the beginning of a large request.
std::string beginning_of(std::string_view operation) {
  const std::string json = R"({"v":1})";
  return head_of(operation, kLarge) + encode_frame_length(json.size()) + json;
}

struct SessionCell : RpcCell {
  std::shared_ptr<Fate> fate = std::make_shared<Fate>();
  std::atomic<int> executed{0};
  std::atomic<int> expired{0};  // streamed bodies that were cut

  SessionCell() {
    add({.service = "test",
         .name = "login",
         .handler = [this](Call& call) -> Result<Reply> {
           call.peer().set_session(std::make_shared<TestSession>(fate));
           return Reply{};
         },
         .open_to_all = true});
    add({.service = "test",
         .name = "put",
         .handler = [this](Call&) -> Result<Reply> {
           ++executed;
           return Reply{};
         },
         .body_cap = kLarge,
         .needs_session = true});
    add({.service = "test",
         .name = "put-node",
         .handler = [this](Call&) -> Result<Reply> {
           ++executed;
           return Reply{};
         },
         .body_cap = kLarge,
         .needs_session = true,
         .needs_node_certificate = true});
    add({.service = "test",
         .name = "stream",
         .handler = [this](Call& call) -> Result<Reply> { return drain(call); },
         .body_cap = kLarge,
         .kind = OperationClass::Bulk,
         .needs_session = true,
         .streamed = true});
    start();
  }

  Result<Reply> drain(Call& call) {
    std::array<std::byte, 4096> part{};
    for (;;) {
      const auto got = call.read_body(part);
      if (!got) {
        expired += got.error().code == ErrorCode::Expired ? 1 : 0;
        return tl::unexpected(got.error());
      }
      if (*got == 0)
        return Reply{};
      ++executed;
    }
  }
};

// A connection that has a session.
struct User : RawTls {
  explicit User(SessionCell& cell) : RawTls(cell.client_context()->current(), cell.port()) {
    REQUIRE(good());
    REQUIRE(
        send("POST /v1/test/login HTTP/1.1\r\nContent-Type: application/json\r\n"
             "Content-Length: 7\r\n\r\n{\"v\":1}"));
    REQUIRE(receive_message().starts_with("HTTP/1.1 200 "));
  }
};

}  // namespace

TEST_CASE("without a session nobody learns what an operation takes or who may use it") {
  SessionCell cell;
  for (const char* operation : {"put", "put-node", "stream"}) {
    for (const std::size_t size : {std::size_t{1}, kLarge, kLarge + 1}) {
      CAPTURE(operation);
      CAPTURE(size);
      RawTls stranger(cell.client_context()->current(), cell.port());
      REQUIRE(stranger.send(head_of(operation, size)));
      const std::string reply = stranger.receive_message();
      CHECK(reply.starts_with("HTTP/1.1 401 "));
      CHECK(reply.find("\"unauthenticated\"") != std::string::npos);
    }
  }
}

TEST_CASE("a body for a session that has ended is not received") {
  SessionCell cell;
  for (const char* operation : {"put", "put-node", "stream"}) {
    for (const std::size_t size : {std::size_t{20'000}, kLarge, kLarge + 1}) {
      CAPTURE(operation);
      CAPTURE(size);
      cell.fate->ended = false;
      User user(cell);
      cell.fate->ended = true;
      REQUIRE(user.send(head_of(operation, size)));  // and nothing of the body
      const std::string reply = user.receive_message();
      CHECK(reply.starts_with("HTTP/1.1 401 "));
      CHECK(reply.find("\"expired\"") != std::string::npos);
      CHECK(reply.find("Connection: close") != std::string::npos);
    }
  }
  CHECK(cell.server().stats().collected_bytes == 0);
  CHECK(cell.executed == 0);
}

TEST_CASE("a small call of a session that has ended leaves the connection to be proven again") {
  SessionCell cell;
  User user(cell);
  cell.fate->ended = true;
  for (const char* operation : {"put", "put-node", "stream"}) {
    CAPTURE(operation);
    REQUIRE(user.send(head_of(operation, 11) + encode_frame_length(7) + R"({"v":1})"));
    const std::string reply = user.receive_message();
    CHECK(reply.find("\"expired\"") != std::string::npos);
    CHECK(reply.find("Connection: close") == std::string::npos);
  }
  cell.fate->ended = false;
  REQUIRE(user.send(head_of("put", 11) + encode_frame_length(7) + R"({"v":1})"));
  CHECK(user.receive_message().starts_with("HTTP/1.1 200 "));
}

TEST_CASE("what arrives after the session's end is refused in the midst of a body") {
  SessionCell cell;
  User user(cell);
  REQUIRE(user.send(beginning_of("put") + std::string(40'000, 'x')));
  REQUIRE(eventually([&] { return cell.server().stats().collected_bytes > 0; }));
  cell.fate->ended = true;
  REQUIRE(user.send("x"));
  const std::string reply = user.receive_message();
  CHECK(reply.starts_with("HTTP/1.1 401 "));
  CHECK(reply.find("\"expired\"") != std::string::npos);
  CHECK(cell.executed == 0);
}

TEST_CASE("a body that waits for its rest ends with its session") {
  SessionCell cell;
  cell.fate->left_ms = 50;
  User user(cell);
  const auto before = now();
  REQUIRE(user.send(beginning_of("put") + std::string(40'000, 'x')));
  (void)user.receive_all();
  CHECK(user.closed());
  CHECK(now() - before < cell.limits.transfer_base);  // the body's own time
  CHECK(eventually([&] { return cell.server().stats().collected_bytes == 0; }));
  CHECK(cell.executed == 0);
}

TEST_CASE("a streamed body ends with its session, whether bytes come or not") {
  SessionCell cell;
  {
    User user(cell);
    REQUIRE(user.send(beginning_of("stream") + std::string(40'000, 'x')));
    REQUIRE(eventually([&] { return cell.executed > 8; }));
    cell.fate->ended = true;
    REQUIRE(user.send("x"));
    CHECK(user.receive_message().find("\"expired\"") != std::string::npos);
    CHECK(cell.expired == 1);
  }
  cell.fate->ended = false;
  User silent(cell);
  cell.fate->left_ms = 50;
  const auto before = now();
  REQUIRE(silent.send(beginning_of("stream") + "x"));
  CHECK(silent.receive_message().find("\"expired\"") != std::string::npos);
  CHECK(now() - before < cell.limits.transfer_base);
  CHECK(cell.expired == 2);
}

TEST_CASE(
    "who is no longer known when his answer is there does not get it, but hears what he did") {
  SessionCell cell;
  cell.stop();
  const auto ends = [&](Call&) -> Result<Reply> {
    ++cell.executed;
    cell.fate->ended = true;
    return Reply::text(R"("the answer")");
  };
  cell.add({.service = "test", .name = "look", .handler = ends, .needs_session = true});
  cell.add({.service = "test",
            .name = "change",
            .handler = ends,
            .needs_session = true,
            .needs_operation_id = true});
  cell.start();
  const auto call = [&](std::string_view operation) {
    cell.fate->ended = false;
    User user(cell);
    const std::string json = R"({"v":1,"id":"00000000000000000000000000000001"})";
    REQUIRE(user.send("POST /v1/test/" + std::string(operation) +
                      " HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: " +
                      std::to_string(json.size()) + "\r\n\r\n" + json));
    return user.receive_message();
  };
  const std::string looked = call("look");
  CHECK(looked.find("the answer") == std::string::npos);
  CHECK(looked.find("\"expired\"") != std::string::npos);
  CHECK(call("change").find("the answer") != std::string::npos);
  CHECK(cell.executed == 2);
}
