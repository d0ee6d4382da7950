// An allocation that fails, at each place where the loop makes one for a stream: the stream may
// end, the server must not, and the next mount is served.
//
// A program of its own, because it replaces operator new.

#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "common/stream/message_frame.hpp"
#include "common/stream/server.hpp"
#include "tests/support/raw_peer.hpp"
#include "tests/support/test.hpp"
#include "tests/support/test_cell.hpp"
#include "tests/unit/common/stream/bytes.hpp"

namespace {

std::atomic<long> fail_in{-1};  // the loop's allocation number so-and-so fails; negative: none

bool is_loop_thread() {
  char name[16] = {};
  pthread_getname_np(pthread_self(), name, sizeof name);
  return std::strcmp(name, "streams") == 0;
}

void* allocate(std::size_t size) {
  if (fail_in.load(std::memory_order_relaxed) >= 0 && is_loop_thread() && fail_in.fetch_sub(1) == 0)
    throw std::bad_alloc();
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr)
    throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) {
  return allocate(size);
}
void* operator new[](std::size_t size) {
  return allocate(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

using namespace common::stream;
using namespace stream_test;
using namespace std::chrono_literals;
using test_support::RawPeer;

// Answers each message with itself; counts those it has accepted, and closings.
class Echo final : public ServerHandler {
 public:
  StreamServer* server = nullptr;
  std::atomic<int> accepted{0};
  std::atomic<int> closed{0};

  common::Status on_hello(StreamId, const PeerInfo&, BytesView) override {
    ++accepted;
    return {};
  }
  void on_message(StreamId stream, BytesView message) override {
    (void)server->send(stream, message);
    (void)server->broadcast(message);
  }
  void on_close(StreamId, const CloseInfo&) override { ++closed; }
};

}  // namespace

TEST_CASE("whichever allocation of the loop fails, it serves the next mount") {
  const test_support::TestCell cell;
  const auto files = cell.issue("server");
  const auto client_tls = common::tls::make_client({.ca = cell.ca()});
  REQUIRE_OK(client_tls);
  const common::SystemClock clock;
  Echo echo;
  StreamServerOptions options;
  // A leaked count would soon close the door.
  options.admission = {.streams_per_address = 8, .handshakes_per_address = 8};
  options.tls = std::shared_ptr<common::tls::ReloadableContext>(
      common::tls::ReloadableContext::make([&] {
        return common::tls::make_server(
            {.certificate = files.certificate, .key = files.key, .ca = cell.ca()});
      }).value());
  auto started = StreamServer::start(options, echo, clock);
  REQUIRE_OK(started);
  echo.server = started->get();
  const auto words = bytes("a message that is too long for any small buffer: ") + Bytes(200);
  const auto message = message_frame(words);
  REQUIRE_OK(message);
  // A whole life of a stream; "good" if the message came back.
  const auto live = [&]() -> std::string {
    auto peer = RawPeer::dial_tls((*started)->port(), *client_tls, "", 5s);
    if (!peer)
      return "dial: " + peer.error().message;
    if (!peer->send(encode_hello({})))
      return "hello";
    if (peer->read_some(5s).value_or("").empty())  // welcome
      return "refused";
    if (!peer->send(**message))
      return "message";
    const auto said = peer->read_bytes(2 * (*message)->size(), 5s);
    if (!said)
      return "read: " + said.error().message;
    return said->find("too long for any") != std::string::npos ? "good" : "said: " + *said;
  };
  REQUIRE(live() == "good");
  long failures = 0;
  for (long at = 0;; ++at) {
    CAPTURE(at);
    fail_in = at;
    (void)live();
    const bool failed = fail_in.exchange(-1) < 0;
    REQUIRE(live() == "good");
    failures += failed ? 1 : 0;
    if (!failed)
      break;
  }
  MESSAGE(failures, " allocations failed");
  CHECK(failures > 10);
  (*started)->stop();
  CHECK(echo.accepted == echo.closed);
}
