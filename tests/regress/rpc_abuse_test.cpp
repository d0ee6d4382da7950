// What has broken HTTP servers before, against ours, over TLS with raw bytes: smuggled requests,
// lying lengths, drips, hoards, floods. Rows are in tests/support/http_attacks.cpp.

#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "common/rpc/client.hpp"
#include "common/rpc/server.hpp"
#include "tests/support/abuse_server.hpp"
#include "tests/support/http_attacks.hpp"
#include "tests/support/raw_peer.hpp"
#include "tests/support/test.hpp"
#include "tests/support/test_cell.hpp"

namespace {

using namespace common;
using namespace std::chrono_literals;
using test_support::bait;
using test_support::HttpAttack;
using test_support::RawPeer;
using test_support::valid_call;

int status_of(const std::string& reply) {
  return reply.starts_with("HTTP/1.1 ") && reply.size() > 12 ? std::atoi(reply.c_str() + 9) : 0;
}

struct Target {
  test_support::TestCell cell;
  test_support::CertificateFiles files = cell.issue("server");
  std::shared_ptr<tls::ReloadableContext> server_tls;
  std::shared_ptr<tls::ReloadableContext> client_tls;
  test_support::AbuseCounts counts;
  std::unique_ptr<rpc::Server> server;

  explicit Target(rpc::ServerLimits limits = {}) {
    auto server_context = tls::ReloadableContext::make([this] {
      return tls::make_server(
          {.certificate = files.certificate, .key = files.key, .ca = cell.ca()});
    });
    auto client_context =
        tls::ReloadableContext::make([this] { return tls::make_client({.ca = cell.ca()}); });
    REQUIRE_OK(server_context);
    REQUIRE_OK(client_context);
    server_tls = *std::move(server_context);
    client_tls = *std::move(client_context);
    auto started = rpc::Server::start({.tls = server_tls, .role = "abuse", .limits = limits},
                                      test_support::abuse_operations(counts));
    REQUIRE_OK(started);
    server = *std::move(started);
  }

  Result<RawPeer> dial(const std::string& from = "") {
    return RawPeer::dial_tls(server->port(), client_tls->current(), from);
  }
  RawPeer peer(const std::string& from = "") {
    auto dialled = dial(from);
    REQUIRE_OK(dialled);
    return *std::move(dialled);
  }
  // An honest call from an address of its own.
  int honest(std::string_view operation = "count") {
    auto caller = peer("127.0.0.99");
    REQUIRE_OK(caller.send(valid_call(operation)));
    const auto reply = caller.read_reply();
    REQUIRE_OK(reply);
    return status_of(*reply);
  }
  // Until the condition holds; false after ten seconds.
  template <typename Condition>
  bool soon(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > until)
        return false;
      std::this_thread::yield();
    }
    return true;
  }
};

// One row: refused with a right status, closed, and nothing behind it executed.
void try_attack(Target& target, const HttpAttack& attack) {
  CAPTURE(attack.name);
  RawPeer peer = target.peer();
  (void)peer.send(attack.first);  // the server may close before it has read everything
  const auto reply = peer.read_reply();
  REQUIRE_OK(reply);
  CAPTURE(*reply);
  const int status = status_of(*reply);
  CHECK(std::find(attack.statuses.begin(), attack.statuses.end(), status) != attack.statuses.end());
  CHECK(reply->find("\r\nConnection: close\r\n") != std::string::npos);
  // Sent only now that the refusal is known: whatever the server dropped, this it would read.
  (void)peer.send(bait());
  const auto more = peer.read_to_end();
  REQUIRE_OK(more);
  CHECK(more->empty());
  CHECK(target.counts.baits == 0);
}

void try_group(const std::string& group) {
  Target target;
  std::size_t rows = 0;
  for (const HttpAttack& attack : test_support::http_attacks()) {
    if (attack.group != group)
      continue;
    try_attack(target, attack);
    ++rows;
  }
  CHECK(rows > 3);
  CHECK(target.honest() == 200);
  CHECK(target.counts.baits == 0);
  CHECK(target.server->stats().refusals == rows);
}

TEST_CASE("smuggling: no refusal leaves a body behind to be executed") {
  try_group("unread bodies");
}
TEST_CASE("F48 every Content-Length but one plain number is refused") {
  try_group("lengths");
}
TEST_CASE("F48 F53 no transfer or content coding, trailer, form or multipart is accepted") {
  try_group("encodings");
}
TEST_CASE("F47 header injection, spoofing, folding and excess are refused") {
  try_group("headers");
}
TEST_CASE("F47 only one form of request line is accepted") {
  try_group("request lines");
}
TEST_CASE("F48 frames that lie about their length are refused") {
  try_group("frames");
}

TEST_CASE("the bait is alive: sent as a request of its own it is executed and counted") {
  Target target;
  RawPeer peer = target.peer();
  REQUIRE_OK(peer.send(bait()));
  CHECK(status_of(*peer.read_reply()) == 200);
  CHECK(target.counts.baits == 1);
}

TEST_CASE("smuggling: a handler that does not read its body ends the connection") {
  Target target;
  RawPeer peer = target.peer();
  const std::string head(4, '\0');
  std::string body = head + "{\"v\":1}";
  body[3] = 7;
  body += bait();
  REQUIRE_OK(
      peer.send(fmt::format("POST /v1/abuse/ignore HTTP/1.1\r\nContent-Type: "
                            "application/octet-stream\r\nContent-Length: {}\r\n\r\n{}",
                            body.size() + 1000, body)));
  const auto reply = peer.read_reply();
  REQUIRE_OK(reply);
  CHECK(status_of(*reply) == 200);
  CHECK(reply->find("Connection: close") != std::string::npos);
  (void)peer.send(bait());
  const auto more = peer.read_to_end();
  REQUIRE_OK(more);
  CHECK(more->empty());
  CHECK(target.counts.baits == 0);
}

TEST_CASE("pipelined requests are both answered, in order, from one segment or two") {
  Target target;
  for (const bool torn : {false, true}) {
    RawPeer peer = target.peer();
    const std::string both = valid_call("count") + valid_call("private");
    REQUIRE_OK(peer.send(both.substr(0, torn ? 100 : both.size())));
    if (torn) {
      CHECK_OK(peer.send(both.substr(100)));
    }
    const auto first = peer.read_reply();
    REQUIRE_OK(first);
    CHECK(status_of(*first) == 200);
    const auto second = peer.read_reply();
    REQUIRE_OK(second);
    CHECK(status_of(*second) == 401);
    CHECK(peer.read_to_end()->empty());
  }
}

TEST_CASE("no reply is ever compressed, and nothing of a request is echoed in a head") {
  Target target;
  RawPeer peer = target.peer();
  REQUIRE_OK(peer.send(fmt::format(
      "POST /v1/abuse/count HTTP/1.1\r\nAccept-Encoding: gzip, br\r\nUser-Agent: needle\r\n"
      "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{{\"v\":1}}")));
  const auto reply = peer.read_reply();
  REQUIRE_OK(reply);
  CHECK(status_of(*reply) == 200);
  CHECK(reply->find("Encoding") == std::string::npos);
  CHECK(reply->find("needle") == std::string::npos);
}

TEST_CASE("F48 a nested or broken JSON body is refused without recursion, and the session lives") {
  Target target;
  RawPeer peer = target.peer();
  for (const std::string& body :
       {std::string(60'000, '['), "{\"v\":1,\"args\":" + std::string(30'000, '[') + "}",
        std::string("{\"v\":1"), std::string("\xff\xfe{}"), std::string("{\"v\":99}"),
        std::string("[]"), std::string("null"), std::string(7, '\0')}) {
    REQUIRE_OK(peer.send(valid_call("count", body)));
    const auto reply = peer.read_reply();
    REQUIRE_OK(reply);
    CHECK(status_of(*reply) >= 400);
  }
  REQUIRE_OK(peer.send(valid_call("count")));
  CHECK(status_of(*peer.read_reply()) == 200);
}

rpc::ServerLimits impatient() {
  rpc::ServerLimits limits;
  limits.handshake = 300ms;
  limits.head = 300ms;
  limits.idle = 400ms;
  limits.transfer_base = 400ms;
  limits.transfer_bytes_per_second = 1'000'000;
  return limits;
}

// Sends a byte whenever the server has had time to close; returns how many went out before it did.
std::size_t drip(RawPeer& peer, std::string_view text, std::chrono::milliseconds pace) {
  for (std::size_t sent = 0; sent < text.size(); ++sent) {
    const auto said = peer.read_some(pace);
    if (said)
      return sent;  // closed, or refused
    if (!peer.send(text.substr(sent, 1)))
      return sent;
  }
  return text.size();
}

TEST_CASE("F49 a dripped head is cut at its deadline, however steady the drip") {
  Target target(impatient());
  RawPeer peer = target.peer();
  CHECK(drip(peer, valid_call("count"), 20ms) < 60);
  CHECK(target.soon([&] { return target.server->stats().cut_head == 1; }));
  CHECK(target.honest() == 200);
}

TEST_CASE("F49 a dripped body is cut at its deadline") {
  Target target(impatient());
  RawPeer peer = target.peer();
  const std::string body = "{\"v\":1" + std::string(200, ' ') + "}";
  const std::string call = valid_call("count", body);
  REQUIRE_OK(peer.send(call.substr(0, call.size() - body.size())));
  CHECK(drip(peer, body, 20ms) < 80);
  CHECK(target.soon([&] { return target.server->stats().cut_body == 1; }));
}

TEST_CASE("F49 a dripped body of a streamed operation is cut at its deadline") {
  Target target(impatient());
  RawPeer peer = target.peer();
  REQUIRE_OK(
      peer.send("POST /v1/abuse/sink HTTP/1.1\r\nContent-Type: application/octet-stream\r\n"
                "Content-Length: 1000\r\n\r\n" +
                std::string("\0\0\0\7", 4) + "{\"v\":1}"));
  CHECK(drip(peer, std::string(900, 'x'), 20ms) < 80);
  CHECK(target.soon([&] { return target.server->stats().cut_body == 1; }));
}

TEST_CASE("F49 a caller that does not read its reply is cut, and holds nothing afterwards") {
  Target target(impatient());
  RawPeer peer = target.peer();
  const std::string raw(1024 * 1024, 'x');
  const std::string call =
      fmt::format(
          "POST /v1/abuse/echo HTTP/1.1\r\nContent-Type: application/octet-stream\r\n"
          "Content-Length: {}\r\n\r\n",
          4 + 7 + raw.size()) +
      std::string("\0\0\0\7", 4) + "{\"v\":1}" + raw;
  // Replies pile up in the kernel until the server has to wait.
  for (int i = 0; i < 50 && peer.send(call, 300ms); ++i) {
  }
  CHECK(target.soon([&] { return target.server->stats().cut_reply >= 1; }));
  CHECK(target.soon([&] { return target.server->stats().connections == 0; }));
  CHECK(target.server->stats().collected_bytes == 0);
}

TEST_CASE("F50 one address gets its cap, others are served, and idle ones go in time") {
  rpc::ServerLimits limits = impatient();
  limits.connections_per_address = 8;
  Target target(limits);
  std::vector<RawPeer> hoard;
  for (int i = 0; i < 8; ++i)
    hoard.push_back(target.peer("127.0.0.50"));
  CHECK_FALSE(target.dial("127.0.0.50"));
  CHECK(target.server->stats().refused_per_address == 1);
  CHECK(target.honest() == 200);
  for (RawPeer& peer : hoard)
    CHECK(peer.read_to_end()->empty());
  CHECK(target.soon([&] { return target.server->stats().cut_idle >= 8; }));
  CHECK_OK(target.dial("127.0.0.50"));
}

TEST_CASE("F50 idle connections occupy no thread") {
  Target target;
  std::vector<RawPeer> idle;
  for (int i = 0; i < 300; ++i) {
    idle.push_back(target.peer("127.0.0." + std::to_string(100 + i % 10)));
  }
  CHECK(target.honest() == 200);
  CHECK(target.server->stats().threads < 32);
  CHECK(target.soon([&] { return target.server->stats().threads_busy <= 1; }));
}

TEST_CASE("F51 silent, dripped and foreign handshakes end at their deadline") {
  Target target(impatient());
  auto silent = RawPeer::dial(target.server->port());
  REQUIRE_OK(silent);
  auto garbage = RawPeer::dial(target.server->port());
  REQUIRE_OK(garbage);
  CHECK_OK(garbage->send("GET / HTTP/1.1\r\n\r\n"));
  CHECK_OK(garbage->read_to_end());
  auto dripping = RawPeer::dial(target.server->port());
  REQUIRE_OK(dripping);
  // The beginning of a ClientHello of 512 bytes.
  CHECK(
      drip(*dripping,
           std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + std::string(300, 'r'),
           20ms) < 60);
  CHECK(silent->read_to_end()->empty());
  CHECK(target.soon([&] { return target.server->stats().cut_handshake >= 2; }));
  CHECK(target.honest() == 200);
}

TEST_CASE("F51 a flood of half-open handshakes does not keep honest callers out") {
  Target target;
  std::vector<RawPeer> open;
  for (int i = 0; i < 400; ++i) {
    auto peer = RawPeer::dial(target.server->port(), "127.0.0." + std::to_string(150 + i % 10));
    if (peer)
      open.push_back(*std::move(peer));
  }
  for (int i = 0; i < 5; ++i)
    CHECK(target.honest() == 200);
  CHECK(target.server->stats().threads < 32);
}

TEST_CASE("F52 calls that wait reach their cap and are refused with a time; status still answers") {
  rpc::ServerLimits limits;
  limits.threads = 16;
  limits.metadata_in_flight = 8;
  Target target(limits);
  std::vector<RawPeer> waiting;
  for (int i = 0; i < 8; ++i) {
    waiting.push_back(target.peer());
    CHECK_OK(waiting.back().send(valid_call("wait", "{\"v\":1,\"deadline_ms\":60000}")));
  }
  REQUIRE(target.soon([&] { return target.counts.waiting == 8; }));
  RawPeer caller = target.peer();
  REQUIRE_OK(caller.send(valid_call("count")));
  const auto refused = caller.read_reply();
  REQUIRE_OK(refused);
  CHECK(status_of(*refused) == 503);
  CHECK(refused->find("retry_after_ms") != std::string::npos);
  REQUIRE_OK(caller.send(valid_call("status")));  // the same connection goes on
  CHECK(status_of(*caller.read_reply()) == 200);
  waiting.clear();  // hanging up frees the workers
  REQUIRE(target.soon([&] { return target.counts.waiting == 0; }));
  CHECK(target.honest() == 200);
}

double rss_mib() {
  std::ifstream file("/proc/self/statm");
  double total = 0;
  double resident = 0;
  file >> total >> resident;
  return resident * 4096 / (1024 * 1024);
}

TEST_CASE("F47 F48 endless heads, bodies and chunks are cut after little, and memory stays flat") {
  Target target;
  CHECK(target.honest() == 200);
  const double before = rss_mib();
  const std::string megabyte(1 << 20, 'a');
  const std::string begins[] = {
      "POST /v1/abuse/count HTTP/1.1\r\nAccept: ",
      "POST /v1/abuse/count HTTP/1.1\r\nContent-Type: application/json\r\n"
      "Content-Length: 1000000000\r\n\r\n",
      "POST /v1/abuse/count HTTP/1.1\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n3b9aca00\r\n",
  };
  for (const std::string& begin : begins) {
    RawPeer peer = target.peer();
    CHECK_OK(peer.send(begin));
    std::size_t taken = 0;
    while (taken < 100 && peer.send(megabyte, 2'000ms))
      ++taken;
    CHECK(taken < 30);  // what the kernel buffers, and the drain
  }
  CHECK(target.honest() == 200);
  CHECK(rss_mib() - before < 32);
}

}  // namespace
