// StreamServer and StreamClient over real TLS on loopback.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "common/stream/client.hpp"
#include "common/stream/server.hpp"
#include "common/sync/event.hpp"
#include "common/sync/locked.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/raw_peer.hpp"
#include "tests/support/test.hpp"
#include "tests/support/test_cell.hpp"
#include "tests/unit/common/stream/bytes.hpp"

namespace {

using namespace common::stream;
using namespace std::chrono_literals;
using common::CondVar;
using common::ErrorCode;
using common::Event;
using common::Instant;
using common::Locked;
using common::Result;
using common::Status;
using common::SystemClock;
using common::UniqueFd;
using stream_test::bytes;
using stream_test::text;
using stream_test::operator+;
using test_support::RawPeer;

// How long a test waits for what must happen; far beyond what it takes.
constexpr auto kPatience = 30s;

// What happened, in words, so that a test can wait for it and show it when it fails.
class Diary {
 public:
  void add(StreamId stream, std::string what) {
    auto state = state_.lock();
    state->push_back({stream, std::move(what)});
    changed_.notify_all();
  }
  // Waits until at least `count` entries begin with `what`.
  bool saw(const std::string& what, std::size_t count = 1) {
    auto state = state_.lock();
    return state.wait_for(changed_, kPatience, [&](const std::vector<Entry>& entries) {
      return number_of(entries, what) >= count;
    });
  }
  std::size_t count(const std::string& what) { return number_of(*state_.lock(), what); }
  StreamId stream_of(const std::string& what) {
    auto state = state_.lock();
    for (const Entry& entry : *state) {
      if (entry.what.starts_with(what))
        return entry.stream;
    }
    return StreamId(0);
  }

 private:
  struct Entry {
    StreamId stream;
    std::string what;
  };
  static std::size_t number_of(const std::vector<Entry>& entries, const std::string& what) {
    return static_cast<std::size_t>(std::count_if(
        entries.begin(), entries.end(), [&](const Entry& e) { return e.what.starts_with(what); }));
  }
  Locked<std::vector<Entry>> state_;
  CondVar changed_;
};

struct ServerDiary : ServerHandler, Diary {
  std::function<Status(const PeerInfo&, BytesView)> judge;
  std::function<void(StreamId, BytesView)> answer;
  std::function<void(StreamId, std::uint64_t)> renew;

  Status on_hello(StreamId stream, const PeerInfo& peer, BytesView credential) override {
    add(stream, "hello " + peer.address + " " + text(credential));
    return judge ? judge(peer, credential) : Status();
  }
  void on_open(StreamId stream) override { add(stream, "open"); }
  void on_message(StreamId stream, BytesView message) override {
    add(stream, "message " + text(message));
    if (answer)
      answer(stream, message);
  }
  void on_renewal(StreamId stream, std::uint64_t number) override {
    add(stream, "renewal");
    if (renew)
      renew(stream, number);
  }
  void on_close(StreamId stream, const CloseInfo& close) override {
    add(stream,
        std::string(close.by_peer_goodbye ? "close goodbye: " : "close: ") + close.error.message);
  }
};

struct ClientDiary : ClientHandler, Diary {
  std::function<Bytes(const std::array<std::byte, 32>&)> prove;

  Bytes credential(StreamId, const std::array<std::byte, 32>& binding) override {
    return prove ? prove(binding) : bytes("ticket");
  }
  void on_open(StreamId stream, std::uint64_t epoch, Instant) override {
    add(stream, "open epoch " + std::to_string(epoch));
  }
  void on_message(StreamId stream, BytesView message) override {
    add(stream, "message " + text(message));
  }
  void on_renewed(StreamId stream, Instant) override { add(stream, "renewed"); }
  void on_close(StreamId stream, const CloseInfo& close) override {
    add(stream,
        std::string(close.by_peer_goodbye ? "close goodbye: " : "close: ") + close.error.message);
  }
};

struct Rig {
  SystemClock clock;
  test_support::TestCell cell;
  test_support::CertificateFiles files = cell.issue("server");
  std::shared_ptr<common::tls::ReloadableContext> server_tls;
  std::shared_ptr<common::tls::ReloadableContext> client_tls;
  ServerDiary at_server;
  ClientDiary at_client;
  std::unique_ptr<StreamServer> server;
  std::unique_ptr<StreamClient> client;

  Rig() {
    auto server_context = common::tls::ReloadableContext::make([this] {
      return common::tls::make_server(
          {.certificate = files.certificate, .key = files.key, .ca = cell.ca()});
    });
    auto client_context = common::tls::ReloadableContext::make(
        [this] { return common::tls::make_client({.ca = cell.ca()}); });
    REQUIRE_OK(server_context);
    REQUIRE_OK(client_context);
    server_tls = *std::move(server_context);
    client_tls = *std::move(client_context);
  }

  void serve(StreamServerOptions options = {}) {
    options.tls = server_tls;
    auto started = StreamServer::start(std::move(options), at_server, clock);
    REQUIRE_OK(started);
    server = *std::move(started);
  }
  void run_client(StreamClientOptions options = {}) {
    options.tls = client_tls;
    options.redial.spread = 100ms;
    auto started = StreamClient::start(std::move(options), at_client, clock);
    REQUIRE_OK(started);
    client = *std::move(started);
  }
  StreamId dial(const std::string& from = "") {
    const auto id =
        client->dial({.address = "127.0.0.1", .port = server->port(), .from_address = from});
    REQUIRE_OK(id);
    return *id;
  }
  RawPeer raw(const std::string& from = "") {
    auto peer = RawPeer::dial_tls(server->port(), client_tls->current(), from);
    REQUIRE_OK(peer);
    return *std::move(peer);
  }
};

TEST_CASE("a stream over TLS carries messages both ways") {
  Rig rig;
  rig.at_server.answer = [&](StreamId stream, BytesView message) {
    CHECK_OK(rig.server->send(stream, bytes("echo ") + Bytes(message.begin(), message.end())));
  };
  rig.serve({.core = {.server_epoch = 42}});
  rig.run_client();
  const StreamId id = rig.dial();
  REQUIRE(rig.at_client.saw("open epoch 42"));
  CHECK(rig.at_server.saw("hello 127.0.0.1 ticket"));
  CHECK_OK(rig.client->send(id, bytes("hi")));
  CHECK(rig.at_client.saw("message echo hi"));
  const Bytes large(kMaxMessage, std::byte{'x'});
  CHECK_OK(rig.client->send(id, Bytes(kMaxMessage - 5, std::byte{'x'})));
  CHECK(rig.at_client.saw("message echo xxxxx"));
  CHECK_FAILS(rig.client->send(id, Bytes(kMaxMessage + 1)), ErrorCode::InvalidArgument);
  CHECK_FAILS(rig.server->broadcast({}), ErrorCode::InvalidArgument);
}

TEST_CASE("the credential is bound to the connection and may be refused") {
  Rig rig;
  rig.at_client.prove = [](const std::array<std::byte, 32>& binding) {
    return Bytes(binding.begin(), binding.end());
  };
  std::atomic<bool> bound{false};
  rig.at_server.judge = [&](const PeerInfo& peer, BytesView credential) -> Status {
    bound = std::equal(credential.begin(), credential.end(), peer.tls_binding.begin(),
                       peer.tls_binding.end());
    return common::fail(ErrorCode::Unauthenticated, "not today");
  };
  rig.serve();
  rig.run_client();
  rig.dial();
  REQUIRE(rig.at_client.saw("close goodbye: the peer said goodbye: not today"));
  CHECK(bound);
  CHECK(rig.at_server.count("open") == 0);
  CHECK(rig.at_server.count("close") == 0);
}

TEST_CASE("renewals keep an idle stream up, and without them it ends") {
  Rig rig;
  rig.serve({.core = {.keep_alive = 20ms, .lease = 600ms, .lease_margin = 50ms}});
  rig.run_client();
  rig.dial();
  CHECK(rig.at_client.saw("renewed", 40));  // longer than the lease
  CHECK(rig.at_client.count("close") == 0);

  // A peer that says hello and never renews.
  auto silent = rig.raw();
  CHECK_OK(silent.send(encode_hello({})));
  const auto said = silent.read_to_end();
  REQUIRE_OK(said);
  CHECK(said->find("the lease has run out") != std::string::npos);
  CHECK(rig.at_client.count("close") == 0);
}

TEST_CASE("R11 a held renewal is answered from any thread, or the stream ends") {
  Rig rig;
  std::atomic<bool> answering{true};
  Locked<std::vector<std::pair<StreamId, std::uint64_t>>> asked;
  rig.at_server.renew = [&](StreamId stream, std::uint64_t number) {
    asked.lock()->push_back({stream, number});
  };
  rig.serve(
      {.core = {
           .keep_alive = 30ms, .lease = 1'500ms, .lease_margin = 50ms, .hold_renewals = true}});
  rig.run_client();
  std::thread session([&] {
    while (answering) {
      for (const auto& [stream, number] : std::exchange(*asked.lock(), {}))
        (void)rig.server->acknowledge(stream, number);
      std::this_thread::yield();
    }
  });
  rig.dial();
  CHECK(rig.at_client.saw("renewed", 60));  // longer than the lease
  CHECK(rig.at_client.count("close") == 0);
  answering = false;
  session.join();
  CHECK(rig.at_client.saw("close: the lease has run out"));
}

TEST_CASE("a lease of ten seconds is one that mounts accept") {
  Rig rig;
  rig.serve({.core = {.keep_alive = 3'333ms, .lease = 10'000ms, .lease_margin = 1'000ms}});
  rig.run_client();
  rig.dial();
  CHECK(rig.at_client.saw("open"));
}

TEST_CASE("a handler ends one stream with its text, after what it has said before") {
  Rig rig;
  rig.at_server.answer = [&](StreamId stream, BytesView message) {
    CHECK_OK(rig.server->send(stream, bytes("first")));
    CHECK_OK(rig.server->send(stream, message));
    CHECK_OK(rig.server->goodbye(stream, {.reason = GoodbyeReason::Replaced,
                                          .retry_after = 60s,
                                          .text = "another took your place"}));
    CHECK_OK(rig.server->send(stream, bytes("too late")));
  };
  rig.serve();
  rig.run_client();
  const StreamId one = rig.dial();
  rig.dial();
  REQUIRE(rig.at_client.saw("open", 2));
  CHECK_OK(rig.client->send(one, bytes("second")));
  REQUIRE(rig.at_client.saw("close goodbye: "));
  CHECK(rig.at_client.saw("close goodbye: the peer said goodbye: another took your place"));
  CHECK(rig.at_client.stream_of("close goodbye: ") == one);
  CHECK(rig.at_client.count("message first") == 1);
  CHECK(rig.at_client.count("message second") == 1);
  CHECK(rig.at_client.count("message too late") == 0);
  CHECK(rig.at_client.count("close") == 1);
  CHECK(rig.server->stats().open() == 1);
}

TEST_CASE("what one thread sends arrives in its order, whatever others send") {
  Rig rig;
  rig.serve();
  auto peer = rig.raw();
  CHECK_OK(peer.send(encode_hello({})));
  REQUIRE(rig.at_server.saw("open"));
  const StreamId stream = rig.at_server.stream_of("open");
  constexpr unsigned char kThreads = 4;
  constexpr unsigned char kEach = 200;
  std::vector<std::thread> threads;
  for (unsigned char t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned char i = 0; i < kEach; ++i)
        CHECK_OK(rig.server->send(stream, Bytes{std::byte{t}, std::byte{i}}));
    });
  }
  const auto welcome = peer.read_bytes(5 + 18);
  REQUIRE_OK(welcome);
  const auto said = peer.read_bytes(std::size_t{7} * kThreads * kEach);
  for (auto& thread : threads)
    thread.join();
  REQUIRE_OK(said);
  REQUIRE(said->size() == std::size_t{7} * kThreads * kEach);
  std::array<unsigned, kThreads> next{};
  for (std::size_t at = 0; at < said->size(); at += 7) {
    const auto thread = static_cast<unsigned char>((*said)[at + 5]);
    REQUIRE(thread < kThreads);
    CHECK(static_cast<unsigned char>((*said)[at + 6]) == next[thread]++);
  }
}

TEST_CASE("a stopping server says goodbye, and the mount dials until it is back") {
  Rig rig;
  rig.serve({.core = {.server_epoch = 1}});
  const std::uint16_t port = rig.server->port();
  rig.run_client();
  const StreamId id = rig.dial();
  REQUIRE(rig.at_client.saw("open epoch 1"));
  const Instant before = rig.clock.now();
  rig.server->stop();
  CHECK(rig.clock.now() - before < test_support::kPatience);
  CHECK(rig.at_client.saw("close goodbye: the peer said goodbye: the server is stopping"));
  CHECK_FAILS(rig.server->broadcast(bytes("x")), ErrorCode::Cancelled);
  rig.server.reset();
  CHECK(rig.at_client.saw("close: ", 2));  // attempts that fail are told
  rig.serve({.port = port, .core = {.server_epoch = 2}});
  CHECK(rig.at_client.saw("open epoch 2"));
  CHECK(rig.at_client.stream_of("open epoch 2") == id);

  CHECK_OK(rig.client->hang_up(id));
  CHECK(rig.at_server.saw("close goodbye: the peer said goodbye: the mount hangs up"));
}

TEST_CASE("a peer that vanishes without a word is noticed at once") {
  Rig rig;
  rig.serve();
  auto peer = rig.raw();
  CHECK_OK(peer.send(encode_hello({.credential = bytes("raw")})));
  REQUIRE(rig.at_server.saw("open"));
  peer.reset();
  CHECK(rig.at_server.saw("close: "));
  CHECK(rig.server->stats().open() == 0);
}

TEST_CASE("G13 a slow reader is broken at its cap while others are served") {
  Rig rig;
  rig.serve();
  rig.run_client();
  rig.dial();
  REQUIRE(rig.at_client.saw("open"));
  auto slow = rig.raw();
  const int small = 4096;
  ::setsockopt(slow.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  CHECK_OK(slow.send(encode_hello({.credential = bytes("slow")})));
  REQUIRE(rig.at_server.saw("open", 2));
  const StreamId stream = rig.at_server.stream_of("hello 127.0.0.1 slow");
  // Until the kernel's own buffers are full nobody can tell; they end within some megabytes.
  for (int i = 0; i < 4000 && rig.server->stats().broken_by_cap == 0; ++i) {
    const Status sent = rig.server->send(stream, Bytes(16'000, std::byte{'m'}));
    REQUIRE((sent || sent.error().code == ErrorCode::Overloaded));
  }
  CHECK(rig.at_server.saw("close: the peer does not read"));
  CHECK(rig.server->stats().broken_by_cap == 1);
  CHECK_OK(rig.server->broadcast(bytes("still here")));
  CHECK(rig.at_client.saw("message still here"));
}

TEST_CASE("a stream that never pauses holds up no other, however long it goes on") {
  constexpr std::size_t kPart = 4000;
  constexpr int kRounds = 8;
  // What one turn of the loop may take from the busy one: from the list of those that had more, and
  // because its socket is readable; each time 64 KiB and the record that goes beyond. When it is
  // let go it is in the midst of one more.
  constexpr int kMostBetween = 3 * (64 + 16) * 1024 / static_cast<int>(kPart);
  Rig rig;
  Event held;
  Event go_on;
  std::atomic<int> rounds{0};
  int between = 0;
  int worst = 0;
  std::optional<RawPeer> quiet;
  rig.at_server.answer = [&](StreamId, BytesView message) {
    switch (std::to_integer<char>(message[0])) {
      case 'h':
        held.set();
        CHECK(go_on.wait_for(kPatience));
        break;
      case 'b':
        ++between;
        break;
      default:
        worst = std::max(worst, between);
        between = 0;
        // The next one is there in the next turn.
        if (++rounds < kRounds)
          CHECK_OK(quiet->send(encode_message(bytes("quiet"))));
    }
  };
  rig.serve();
  quiet = rig.raw();
  auto busy = rig.raw();
  const int large = 4 << 20;
  ::setsockopt(busy.fd(), SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof large);
  CHECK_OK(quiet->send(encode_hello({.credential = bytes("quiet")})));
  CHECK_OK(busy.send(encode_hello({.credential = bytes("busy")})));
  REQUIRE(rig.at_server.saw("open", 2));

  CHECK_OK(busy.send(encode_message(bytes("hold"))));
  REQUIRE(held.wait_for(kPatience));
  std::atomic<int> sent{0};
  std::atomic<bool> enough{false};
  std::thread sending([&] {
    const Bytes part = encode_message(Bytes(kPart, std::byte{'b'}));
    while (!enough && busy.send(part))
      ++sent;
  });
  // More than may go before the other one waits already.
  const Instant limit = rig.clock.now() + kPatience;
  while (sent < 2 * kMostBetween && rig.clock.now() < limit)
    std::this_thread::yield();
  CHECK(sent >= 2 * kMostBetween);
  CHECK_OK(quiet->send(encode_message(bytes("quiet"))));
  go_on.set();
  CHECK(rig.at_server.saw("message quiet", kRounds));
  enough = true;
  sending.join();
  rig.server->stop();
  CHECK(worst <= kMostBetween);
}

TEST_CASE("F51 a silent TLS handshake ends at its deadline and harms nobody") {
  Rig rig;
  rig.serve({.admission = {.handshakes = 4, .handshakes_per_address = 2, .patience = 50ms},
             .handshake_deadline = 300ms});
  std::vector<RawPeer> silent;
  for (int i = 0; i < 8; ++i) {
    auto peer = RawPeer::dial(rig.server->port(), "127.0.0." + std::to_string(2 + i / 2));
    REQUIRE_OK(peer);
    silent.push_back(*std::move(peer));
  }
  rig.run_client();
  rig.dial("127.0.0.77");
  CHECK(rig.at_client.saw("open"));
  for (auto& peer : silent) {
    const auto end = peer.read_to_end();
    CHECK_OK(end);
    CHECK(end->empty());
  }
  CHECK(rig.server->stats().handshakes_failed == 8);
}

TEST_CASE("F50 connections over the cap of an address are closed before TLS") {
  Rig rig;
  rig.serve({.admission = {.streams_per_address = 3}});
  std::vector<RawPeer> held;
  for (int i = 0; i < 3; ++i)
    held.push_back(rig.raw("127.0.0.9"));
  CHECK_FALSE(RawPeer::dial_tls(rig.server->port(), rig.client_tls->current(), "127.0.0.9"));
  CHECK(rig.server->stats().refused_address == 1);
  CHECK_OK(RawPeer::dial_tls(rig.server->port(), rig.client_tls->current(), "127.0.0.10"));
  held.clear();
}

TEST_CASE("bytes that are no TLS at all end the connection") {
  Rig rig;
  rig.serve();
  auto peer = RawPeer::dial(rig.server->port());
  REQUIRE_OK(peer);
  CHECK_OK(peer->send("POST /v1/kdc/status HTTP/1.1\r\n\r\n"));
  CHECK_OK(peer->read_to_end());
}

TEST_CASE("the mount refuses a server that has another name") {
  Rig rig;
  rig.files = rig.cell.issue("other", {.names = {"DNS:elsewhere"}});
  REQUIRE_OK(rig.server_tls->reload());
  rig.serve();
  rig.run_client();
  rig.dial();
  CHECK(rig.at_client.saw("close: "));
  CHECK(rig.at_client.count("open") == 0);
  // A renewed certificate is used by the next attempt, without a restart.
  rig.files = rig.cell.issue("server");
  REQUIRE_OK(rig.server_tls->reload());
  CHECK(rig.at_client.saw("open"));
}

TEST_CASE("bad options are refused in one sentence") {
  Rig rig;
  rig.serve();
  StreamServerOptions taken{.port = rig.server->port(), .tls = rig.server_tls};
  CHECK_FAILS(StreamServer::start(taken, rig.at_server, rig.clock), ErrorCode::Busy);
  StreamServerOptions named{.address = "localhost", .tls = rig.server_tls};
  CHECK_FAILS(StreamServer::start(named, rig.at_server, rig.clock), ErrorCode::InvalidArgument);
  // What no mount would accept, or what would renew without pause.
  for (const auto keep_alive : {4000ms, 0ms, -1ms}) {
    StreamServerOptions restless{.tls = rig.server_tls,
                                 .core = {.keep_alive = keep_alive, .lease = 10'000ms}};
    CHECK_FAILS(StreamServer::start(restless, rig.at_server, rig.clock),
                ErrorCode::InvalidArgument);
  }
  rig.run_client({.streams = 1});
  CHECK_FAILS(rig.client->dial({.address = "host.name", .port = 1}), ErrorCode::InvalidArgument);
  rig.dial();
  CHECK_FAILS(rig.client->dial({.address = "127.0.0.1", .port = rig.server->port()}),
              ErrorCode::ResourceExhausted);
}

TEST_CASE("out of descriptors: accepting pauses and goes on") {
  Rig rig;
  rig.serve();
  rig.run_client();
  // Lower the limit to what is open now and a few more, then use those up.
  rlimit old{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &old) == 0);
  const auto peer = RawPeer::dial(rig.server->port());
  REQUIRE_OK(peer);
  std::vector<UniqueFd> hoard;
  rlimit tight = old;
  tight.rlim_cur = static_cast<rlim_t>(peer->fd()) + 8;
  // No checks from here until descriptors are back: the sanitizers' own need one.
  ::setrlimit(RLIMIT_NOFILE, &tight);
  for (int fd = 0; (fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;)
    hoard.emplace_back(fd);
  // A connection the kernel has taken and the server cannot: made through a descriptor freed just
  // for it.
  hoard.pop_back();
  auto refused = RawPeer::dial(rig.server->port());
  const Instant give_up = rig.clock.now() + kPatience;
  while (rig.server->stats().accept_errors == 0 && rig.clock.now() < give_up) {
    std::this_thread::yield();
  }
  hoard.clear();
  ::setrlimit(RLIMIT_NOFILE, &old);
  REQUIRE_OK(refused);
  CHECK(rig.server->stats().accept_errors > 0);
  rig.dial();
  CHECK(rig.at_client.saw("open"));
}

TEST_CASE("a thousand streams at once, one broadcast, one stop") {
  Rig rig;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 2'500)
    SKIP_TEST("needs 2,500 descriptors");
  rig.serve();
  rig.run_client();
  for (int i = 0; i < 1000; ++i)
    rig.dial("127.0.1." + std::to_string(1 + i % 50));
  REQUIRE(rig.at_client.saw("open", 1000));
  CHECK(rig.at_server.saw("open", 1000));
  CHECK_OK(rig.server->broadcast(bytes("to all")));
  CHECK(rig.at_client.saw("message to all", 1000));
  CHECK(rig.at_client.count("message to all") == 1000);
  rig.server->stop();
  CHECK(rig.at_client.saw("close goodbye", 1000));
  CHECK(rig.at_server.count("close") == 1000);
  CHECK(rig.server->stats().open() == 0);
}

TEST_CASE("F36 many threads send, streams come and go, everything that is told is told once") {
  Rig rig;
  rig.at_server.answer = [&](StreamId stream, BytesView message) {
    (void)rig.server->send(stream, message);
  };
  rig.serve();
  rig.run_client();
  std::vector<StreamId> streams;
  for (int i = 0; i < 8; ++i)
    streams.push_back(rig.dial());
  REQUIRE(rig.at_client.saw("open", 8));

  constexpr int kEach = 100;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        CHECK_OK(rig.client->send(streams[static_cast<std::size_t>(t)], bytes("ping")));
        CHECK_OK(rig.server->broadcast(bytes("all")));
      }
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; i < 20; ++i) {
      const auto id = rig.client->dial({.address = "127.0.0.1", .port = rig.server->port()});
      CHECK_OK(id);
      CHECK_OK(rig.client->hang_up(*id));
      if (i % 5 == 0)
        CHECK_OK(rig.server_tls->reload());
    }
  });
  for (auto& thread : threads)
    thread.join();
  CHECK(rig.at_client.saw("message ping", 4 * kEach));
  // Streams may break at their cap under this load on a slow machine, but not more often than that.
  if (rig.server->stats().broken_by_cap == 0) {
    CHECK(rig.at_client.saw("message all", 8 * 4 * kEach));
  }
  CHECK(rig.at_client.count("message ping") == 4 * kEach);
  rig.client->stop();
  rig.server->stop();
  CHECK(rig.at_server.count("open") == rig.at_server.count("close"));
}

}  // namespace
