#include "common/stream/stream_core.hpp"

#include <algorithm>
#include <deque>
#include <random>

#include "tests/support/test.hpp"
#include "tests/unit/common/stream/bytes.hpp"

namespace {

using namespace common::stream;
using namespace std::chrono_literals;
using common::ErrorCode;
using common::Instant;
using common::ManualClock;
using stream_test::bytes;
using stream_test::header;
using stream_test::operator+;
using stream_test::text;
using Kind = Effect::Kind;

// Everything a core has waiting to be written, as if the network took it all.
Bytes drain(StreamCore& core, Instant now) {
  const Bytes out(core.output().begin(), core.output().end());
  core.consume_output(out.size(), now);
  return out;
}

std::vector<Kind> kinds(const Effects& effects) {
  std::vector<Kind> out;
  for (const auto& effect : effects)
    out.push_back(effect.kind);
  return out;
}

const Effect* find(const Effects& effects, Kind kind) {
  const auto found = std::find_if(effects.begin(), effects.end(),
                                  [&](const Effect& effect) { return effect.kind == kind; });
  return found == effects.end() ? nullptr : &*found;
}

// A server and a mount joined by a perfect wire, on virtual time.
struct Pair {
  CoreOptions options;
  ManualClock clock;
  StreamCore server;
  StreamCore mount;
  Effects at_server;
  Effects at_mount;

  explicit Pair(CoreOptions o = {})
      : options(o), server(options, clock.now()), mount(options, clock.now(), bytes("ticket")) {}

  void carry() {
    while (!server.output().empty() || !mount.output().empty()) {
      server.on_bytes(drain(mount, clock.now()), clock.now(), at_server);
      if (find(at_server, Kind::HelloReceived) != nullptr)
        server.accept(clock.now(), at_server);
      mount.on_bytes(drain(server, clock.now()), clock.now(), at_mount);
    }
  }
  void open() {
    carry();
    REQUIRE(server.is_open());
    REQUIRE(mount.is_open());
    at_server.clear();
    at_mount.clear();
  }
  void tick(common::Duration by) {
    clock.advance(by);
    server.on_timer(clock.now(), at_server);
    mount.on_timer(clock.now(), at_mount);
  }
};

TEST_CASE("hello, welcome, then messages both ways in order") {
  Pair pair;
  pair.carry();
  REQUIRE(find(pair.at_server, Kind::HelloReceived) != nullptr);
  CHECK(text(find(pair.at_server, Kind::HelloReceived)->bytes) == "ticket");
  CHECK(kinds(pair.at_server) == std::vector{Kind::HelloReceived, Kind::Opened});
  CHECK(kinds(pair.at_mount) == std::vector{Kind::Opened});

  pair.at_server.clear();
  pair.at_mount.clear();
  for (const char* word : {"one", "two", "three"}) {
    CHECK_OK(pair.server.send(bytes(word), pair.clock.now(), pair.at_server));
    CHECK_OK(pair.mount.send(bytes(word), pair.clock.now(), pair.at_mount));
  }
  pair.carry();
  REQUIRE(pair.at_server.size() == 3);
  REQUIRE(pair.at_mount.size() == 3);
  CHECK(text(pair.at_server[2].bytes) == "three");
  CHECK(text(pair.at_mount[0].bytes) == "one");
}

TEST_CASE("a whole conversation survives being torn at every byte") {
  Pair reference;
  const Bytes hello = drain(reference.mount, reference.clock.now());
  const Bytes more = encode_message(bytes("a")) + encode_renew(1) + encode_message(bytes("b")) +
                     encode_goodbye({.text = "done"});
  for (std::size_t cut = 0; cut <= more.size(); ++cut) {
    Pair pair;
    Effects effects;
    pair.server.on_bytes(hello, pair.clock.now(), effects);
    pair.server.accept(pair.clock.now(), effects);
    effects.clear();
    pair.server.on_bytes(BytesView(more).first(cut), pair.clock.now(), effects);
    pair.server.on_bytes(BytesView(more).subspan(cut), pair.clock.now(), effects);
    CHECK(kinds(effects) == std::vector{Kind::Message, Kind::Message, Kind::Closed});
    CHECK(effects.back().close.by_peer_goodbye);
    CHECK(pair.server.finished());
  }
}

TEST_CASE("out of turn: each of these breaks the stream with Goodbye(protocol)") {
  const Bytes hello = encode_hello({});
  const struct {
    const char* what;
    Bytes sent;
    bool open_first;
  } cases[] = {
      {"a message before hello", encode_message(bytes("x")), false},
      {"a renewal before hello", encode_renew(1), false},
      {"a welcome to a server", encode_welcome({.keep_alive = 1s, .lease = 9s}), false},
      {"a message right behind the hello", hello + encode_message(bytes("x")), false},
      {"two hellos", hello + hello, false},
      {"a hello when open", hello, true},
      {"a renewed to a server", encode_renewed(1), true},
      {"a renewal number that stands still", encode_renew(5) + encode_renew(5), true},
      {"a renewal number zero", encode_renew(0), true},
      {"a length that lies", header(kMaxMessage + 1, 5), true},
      {"an unknown type", header(8, 77), true},
      {"an HTTP request", bytes("POST /v1/kdc/status HTTP/1.1\r\n"), false},
  };
  for (const auto& c : cases) {
    CAPTURE(c.what);
    Pair pair;
    if (c.open_first)
      pair.open();
    pair.server.on_bytes(c.sent, pair.clock.now(), pair.at_server);
    const Effect* closed = find(pair.at_server, Kind::Closed);
    REQUIRE(closed != nullptr);
    CHECK(closed->close.error.code == ErrorCode::Protocol);
    CHECK_FALSE(closed->close.by_peer_goodbye);
    CHECK_FALSE(pair.server.finished());  // the goodbye is to be flushed first
    const Bytes out = drain(pair.server, pair.clock.now());
    CHECK(pair.server.finished());
    FrameDecoder decoder;
    BytesView rest(out);
    std::optional<Frame> last;
    while (!rest.empty()) {
      const auto frame = decoder.next(rest);
      REQUIRE_OK(frame);
      last = *frame;
    }
    REQUIRE(last);
    CHECK(last->type == FrameType::Goodbye);
    const auto goodbye = decode_goodbye(last->payload);
    REQUIRE_OK(goodbye);
    CHECK(goodbye->reason == GoodbyeReason::Protocol);
    // What comes after is not read, and nothing more is told.
    const std::size_t told = pair.at_server.size();
    pair.server.on_bytes(encode_message(bytes("late")), pair.clock.now(), pair.at_server);
    CHECK(pair.at_server.size() == told);
  }
}

TEST_CASE("the mount does not take a server's word for everything") {
  const struct {
    const char* what;
    Bytes sent;
    bool open_first;
  } cases[] = {
      {"a message before welcome", encode_message(bytes("x")), false},
      {"a version that was not offered",
       encode_welcome({.version = 2, .keep_alive = 1s, .lease = 9s}), false},
      {"renewing without pause", encode_welcome({.keep_alive = 0s, .lease = 9s}), false},
      {"a renewal never sent", encode_renewed(9), true},
      {"a second welcome", encode_welcome({.keep_alive = 1s, .lease = 9s}), true},
      {"a renew to a mount", encode_renew(1), true},
  };
  for (const auto& c : cases) {
    CAPTURE(c.what);
    Pair pair;
    if (c.open_first)
      pair.open();
    pair.mount.on_bytes(c.sent, pair.clock.now(), pair.at_mount);
    const Effect* closed = find(pair.at_mount, Kind::Closed);
    REQUIRE(closed != nullptr);
    CHECK(closed->close.error.code == ErrorCode::Protocol);
  }
}

TEST_CASE("versions that do not meet are told so") {
  Pair pair;
  pair.server.on_bytes(encode_hello({.lowest_version = 2, .highest_version = 9}), pair.clock.now(),
                       pair.at_server);
  (void)drain(pair.mount, pair.clock.now());
  pair.mount.on_bytes(drain(pair.server, pair.clock.now()), pair.clock.now(), pair.at_mount);
  REQUIRE(find(pair.at_mount, Kind::Closed) != nullptr);
  CHECK(find(pair.at_mount, Kind::Closed)->close.reason == GoodbyeReason::Version);
  CHECK(pair.mount.finished());
}

TEST_CASE("a refused credential gets a reason") {
  Pair pair;
  Effects effects;
  pair.server.on_bytes(drain(pair.mount, pair.clock.now()), pair.clock.now(), effects);
  pair.server.refuse("no such ticket", pair.clock.now(), effects);
  pair.mount.on_bytes(drain(pair.server, pair.clock.now()), pair.clock.now(), pair.at_mount);
  REQUIRE(pair.at_mount.size() == 1);
  CHECK(pair.at_mount[0].close.reason == GoodbyeReason::Refused);
  CHECK(pair.at_mount[0].close.error.message.find("no such ticket") != std::string::npos);
}

TEST_CASE("F49 silence and drips before the hello end at its deadline") {
  Pair pair;
  CHECK(pair.server.next_deadline() == pair.clock.now() + 3s);
  const Bytes hello = encode_hello({.credential = Bytes(100, std::byte{1})});
  for (std::size_t i = 0; i < 29; ++i) {
    pair.server.on_bytes(BytesView(hello).subspan(i, 1), pair.clock.now(), pair.at_server);
    pair.tick(100ms);
    CHECK_FALSE(pair.server.finished());
  }
  pair.tick(100ms);
  CHECK(pair.server.finished());
  CHECK(pair.at_server.back().close.error.code == ErrorCode::DeadlineExceeded);
  CHECK(pair.mount.finished());  // it was never welcomed
}

TEST_CASE("F49 a frame dripped in byte by byte ends at its deadline, counted from its first byte") {
  Pair pair;
  pair.open();
  const Bytes message = encode_message(Bytes(1000, std::byte{1}));
  std::size_t sent = 0;
  while (!pair.server.finished() && sent < message.size()) {
    pair.server.on_bytes(BytesView(message).subspan(sent++, 1), pair.clock.now(), pair.at_server);
    pair.tick(500ms);
  }
  CHECK(sent == 20);
  CHECK(pair.server.finished());
}

TEST_CASE("a frame deadline begins anew with each frame") {
  Pair pair;
  pair.open();
  const Bytes message = encode_message(bytes("abcdef"));
  for (int i = 0; i < 30; ++i) {
    // The end of one frame and the beginning of the next in one piece, 9 s apart.
    const Bytes piece = i == 0 ? Bytes(message.begin(), message.begin() + 3)
                               : Bytes(message.begin() + 3, message.end()) +
                                     Bytes(message.begin(), message.begin() + 3);
    pair.server.on_bytes(piece, pair.clock.now(), pair.at_server);
    pair.clock.advance(9s);
    if (i % 3 == 2)
      pair.server.acknowledge_renewal(0, pair.clock.now(), pair.at_server);
    const Instant deadline = pair.server.next_deadline();
    if (deadline > pair.clock.now())
      continue;
    pair.server.on_timer(pair.clock.now(), pair.at_server);
    // Only the lease, which nobody renewed here, may have ended it.
    CHECK(find(pair.at_server, Kind::Closed)->close.error.message == "the lease has run out");
    return;
  }
  FAIL("the lease should have ended it");
}

TEST_CASE("G13 a peer that does not read is broken at the cap, and nothing is kept for it") {
  Pair pair;
  pair.open();
  const Bytes message(1000, std::byte{1});
  std::size_t accepted = 0;
  while (pair.server.send(message, pair.clock.now(), pair.at_server))
    ++accepted;
  CHECK(accepted == 64 * 1024 / (1000 + kHeaderSize));
  CHECK(pair.server.finished());
  CHECK(pair.server.output().empty());
  REQUIRE(pair.at_server.size() == 1);
  CHECK(pair.at_server[0].close.error.code == ErrorCode::ResourceExhausted);
  CHECK_FAILS(pair.server.send(message, pair.clock.now(), pair.at_server), ErrorCode::Unavailable);
  CHECK(pair.at_server.size() == 1);
}

TEST_CASE("F49 a peer that reads a byte now and then is broken too") {
  Pair pair;
  pair.open();
  CHECK_OK(pair.server.send(Bytes(1000, std::byte{1}), pair.clock.now(), pair.at_server));
  for (int i = 0; i < 29; ++i) {
    pair.clock.advance(1s);
    pair.server.consume_output(1, pair.clock.now());
    pair.server.on_timer(pair.clock.now(), pair.at_server);
    CHECK_FALSE(pair.server.finished());
  }
  pair.clock.advance(1s);
  pair.server.on_timer(pair.clock.now(), pair.at_server);
  CHECK(pair.server.finished());
}

TEST_CASE("lengths that no frame has are refused without harm") {
  Pair pair;
  pair.open();
  CHECK_FAILS(pair.server.send({}, pair.clock.now(), pair.at_server), ErrorCode::InvalidArgument);
  CHECK_FAILS(pair.server.send(Bytes(kMaxMessage + 1), pair.clock.now(), pair.at_server),
              ErrorCode::InvalidArgument);
  CHECK(pair.server.is_open());
  CHECK_OK(pair.server.send(Bytes(kMaxMessage), pair.clock.now(), pair.at_server));
}

TEST_CASE("renewals keep both leases alive for as long as they are answered") {
  Pair pair;
  pair.open();
  for (int i = 0; i < 1000; ++i) {
    pair.tick(10s);
    pair.carry();
  }
  CHECK(pair.server.is_open());
  CHECK(pair.mount.is_open());
  CHECK(find(pair.at_mount, Kind::Closed) == nullptr);
}

TEST_CASE("the mount's lease counts from when it sent what was answered") {
  Pair pair;
  const Instant hello_sent = pair.clock.now();
  pair.clock.advance(2s);  // the answer is slow
  pair.open();
  CHECK(pair.mount.lease_until() == hello_sent + 90s);

  pair.tick(28s);
  const Instant renewal_sent = pair.clock.now();
  REQUIRE(!pair.mount.output().empty());
  const Bytes renewal = drain(pair.mount, pair.clock.now());
  pair.clock.advance(5s);
  pair.server.on_bytes(renewal, pair.clock.now(), pair.at_server);
  const Bytes answer = drain(pair.server, pair.clock.now());
  pair.clock.advance(5s);
  pair.mount.on_bytes(answer, pair.clock.now(), pair.at_mount);
  CHECK(pair.mount.lease_until() == renewal_sent + 90s);
}

TEST_CASE("under any delays the mount stops trusting before the server stops waiting") {
  std::mt19937 random(11);
  for (int run = 0; run < 300; ++run) {
    CoreOptions options;
    options.keep_alive = 1s;
    options.lease = 3s;
    options.lease_margin = 500ms;
    options.hold_renewals = run % 2 == 0;
    ManualClock clock;
    StreamCore server(options, clock.now());
    StreamCore mount(options, clock.now(), {});
    struct Packet {
      Instant due;
      Bytes bytes;
    };
    std::deque<Packet> to_server, to_mount;
    Effects at_server, at_mount;
    const auto pump = [&](StreamCore& from, std::deque<Packet>& queue) {
      Bytes out = drain(from, clock.now());
      if (out.empty())
        return;
      Instant due = clock.now() + std::chrono::milliseconds(random() % (run % 3 == 0 ? 2500 : 400));
      if (!queue.empty())
        due = std::max(due, queue.back().due);  // TCP keeps order
      queue.push_back({due, std::move(out)});
    };
    const auto deliver = [&](std::deque<Packet>& queue, StreamCore& to, Effects& effects) {
      while (!queue.empty() && queue.front().due <= clock.now()) {
        to.on_bytes(queue.front().bytes, clock.now(), effects);
        queue.pop_front();
      }
    };
    bool judged = false;
    for (int step = 0; step < 3000; ++step) {
      clock.advance(10ms);
      deliver(to_server, server, at_server);
      deliver(to_mount, mount, at_mount);
      if (!judged && find(at_server, Kind::HelloReceived) != nullptr) {
        judged = true;
        server.accept(clock.now(), at_server);
      }
      if (options.hold_renewals && random() % 50 == 0) {
        server.acknowledge_renewal(UINT64_MAX, clock.now(), at_server);
      }
      server.on_timer(clock.now(), at_server);
      mount.on_timer(clock.now(), at_mount);
      const bool trusts = mount.is_open() && clock.now() < mount.lease_until();
      // The server still waits for whoever trusts it.
      if (trusts) {
        const Effect* closed = find(at_server, Kind::Closed);
        CHECK((closed == nullptr || closed->close.error.message != "the lease has run out"));
      }
      pump(server, to_mount);
      pump(mount, to_server);
    }
  }
}

TEST_CASE("R11 a server that holds renewals lets the lease run out, and answers late in one go") {
  CoreOptions options;
  options.hold_renewals = true;
  Pair pair(options);
  pair.open();
  pair.tick(30s);
  pair.carry();
  pair.tick(30s);
  pair.carry();
  CHECK(kinds(pair.at_server) == std::vector{Kind::Renewal, Kind::Renewal});
  CHECK(pair.at_mount.empty());
  pair.server.acknowledge_renewal(pair.at_server.back().number, pair.clock.now(), pair.at_server);
  pair.carry();
  CHECK(kinds(pair.at_mount) == std::vector{Kind::Renewed});
  CHECK(pair.mount.lease_until() == pair.clock.now() + 90s);

  for (int i = 0; i < 3; ++i) {
    CHECK(pair.mount.is_open());
    pair.tick(30s);
    pair.carry();
  }
  CHECK_FALSE(pair.mount.is_open());
  CHECK(find(pair.at_mount, Kind::Closed)->close.error.message == "the lease has run out");
}

TEST_CASE("a lease that ran out does not come back to life") {
  Pair pair;
  pair.open();
  pair.clock.advance(30s);
  pair.mount.on_timer(pair.clock.now(), pair.at_mount);
  pair.server.on_bytes(drain(pair.mount, pair.clock.now()), pair.clock.now(), pair.at_server);
  const Bytes answer = drain(pair.server, pair.clock.now());
  // The machine slept: no timer ran, and the late answer is the first thing it sees.
  pair.clock.advance(61s);
  pair.mount.on_bytes(answer, pair.clock.now(), pair.at_mount);
  REQUIRE(find(pair.at_mount, Kind::Closed) != nullptr);
  CHECK_FALSE(pair.mount.is_open());
}

TEST_CASE("goodbye is flushed, told once, and ends at its deadline when nobody reads") {
  Pair pair;
  pair.open();
  CHECK_OK(pair.server.send(bytes("last words"), pair.clock.now(), pair.at_server));
  pair.server.goodbye({.retry_after = 2s, .text = "stopping"}, pair.clock.now(), pair.at_server);
  CHECK(kinds(pair.at_server) == std::vector{Kind::Closed});
  CHECK_FAILS(pair.server.send(bytes("no"), pair.clock.now(), pair.at_server),
              ErrorCode::Unavailable);
  CHECK(pair.server.said_goodbye());

  SUBCASE("read") {
    pair.mount.on_bytes(drain(pair.server, pair.clock.now()), pair.clock.now(), pair.at_mount);
    CHECK(pair.server.finished());
    CHECK(kinds(pair.at_mount) == std::vector{Kind::Message, Kind::Closed});
    CHECK(pair.at_mount.back().close.by_peer_goodbye);
    CHECK(pair.at_mount.back().close.retry_after == 2s);
    CHECK(pair.mount.finished());
  }
  SUBCASE("not read") {
    pair.tick(999ms);
    CHECK_FALSE(pair.server.finished());
    pair.tick(1ms);
    CHECK(pair.server.finished());
    CHECK(kinds(pair.at_server) == std::vector{Kind::Closed});
  }
}

TEST_CASE("a lost connection is told once") {
  Pair pair;
  pair.open();
  pair.server.on_transport_lost({ErrorCode::Unavailable, "reset"}, pair.at_server);
  pair.server.on_transport_lost({ErrorCode::Unavailable, "reset"}, pair.at_server);
  CHECK(kinds(pair.at_server) == std::vector{Kind::Closed});
  CHECK(pair.server.next_deadline() == Instant::max());
}

TEST_CASE("random bytes never crash a core, and it says Closed at most once") {
  std::mt19937 random(5);
  for (int run = 0; run < 2000; ++run) {
    Pair pair;
    if (run % 2 == 0)
      pair.open();
    Bytes noise = encode_message(bytes("a")) + encode_renew(run + 1);
    for (int i = 0; i < 30; ++i)
      noise.push_back(static_cast<std::byte>(random() % 8));
    noise[random() % noise.size()] = static_cast<std::byte>(random());
    pair.server.on_bytes(noise, pair.clock.now(), pair.at_server);
    pair.mount.on_bytes(noise, pair.clock.now(), pair.at_mount);
    for (int i = 0; i < 100; ++i)
      pair.tick(3s);
    for (const Effects* effects : {&pair.at_server, &pair.at_mount}) {
      const auto all = kinds(*effects);
      CHECK(std::count(all.begin(), all.end(), Kind::Closed) == 1);
    }
    CHECK(pair.server.finished());
  }
}

TEST_CASE("an idle core is small") {
  // Ten thousand of these live beside ten thousand TLS sessions.
  CHECK(sizeof(StreamCore) <= 256);
}

}  // namespace
