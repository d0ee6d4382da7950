// Calls that wait for others: no thread meanwhile, woken by whatever comes first, ended by nothing
// but their handler.

#include <poll.h>

#include <atomic>
#include <functional>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "common/rpc/woken_calls.hpp"
#include "common/sync/locked.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/raw_peer.hpp"
#include "tests/support/rpc_fixture.hpp"

using common::ErrorCode;
using common::Instant;
using common::Result;
using namespace common::rpc;
using namespace std::chrono_literals;
using test_support::eventually;
using test_support::RawPeer;
using test_support::RpcCell;

namespace {

// What handlers here wait with: `done` is what they wait for.
struct Wait final : common::rpc::Parked {
  explicit Wait(std::atomic<int>& living) : living_(living) { ++living_; }
  ~Wait() override { --living_; }
  std::atomic<bool> done{false};
  int runs = 1;

 private:
  std::atomic<int>& living_;
};

// A cell with an operation t/wait, whose calls wait until release() or give up as they should.
struct WaitingCell : RpcCell {
  std::atomic<int> living{0};
  std::atomic<int> cancelled{0};
  std::atomic<int> late{0};
  std::atomic<int> runs{0};
  common::Locked<std::vector<std::shared_ptr<Wait>>> waits;

  WaitingCell() {
    add({.service = "t", .name = "wait", .handler = [this](Call& call) { return wait(call); }});
  }

  Result<Reply> wait(Call& call) {
    ++runs;
    auto state = std::static_pointer_cast<Wait>(call.parked());
    if (!state) {
      state = std::make_shared<Wait>(living);
      waits.lock()->push_back(state);
    } else {
      ++state->runs;
    }
    if (state->done)
      return Reply::json({{"runs", state->runs}, {"args", call.args()}});
    if (call.cancelled()) {
      ++cancelled;
      return common::fail(ErrorCode::Cancelled, "given up");
    }
    if (now() >= call.deadline()) {
      ++late;
      return common::fail(ErrorCode::DeadlineExceeded, "given up");
    }
    return call.park(state);
  }

  // Lets all that wait now go on.
  void release() {
    const auto states = *waits.lock();
    release(states);
  }
  static void release(const std::vector<std::shared_ptr<Wait>>& states) {
    for (const auto& state : states) {
      state->done = true;
      state->wake();
    }
  }
  void forget() { (void)take(); }
  [[nodiscard]] std::vector<std::shared_ptr<Wait>> take() {
    return std::exchange(*waits.lock(), {});
  }

  [[nodiscard]] bool parked(std::uint64_t n) {
    return eventually([&] { return server().stats().parked_now == n; });
  }
};

std::string request_text(const std::string& operation, int deadline_ms = 300'000) {
  const std::string body = R"({"v":1,"deadline_ms":)" + std::to_string(deadline_ms) + "}";
  return "POST /v1/t/" + operation +
         " HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

// Peers whose calls are parked. With a deadline they may be over before all are.
std::vector<RawPeer> dial_and_wait(WaitingCell& cell, int n, const std::string& operation = "wait",
                                   std::optional<int> deadline_ms = std::nullopt) {
  const auto context = cell.client_context()->current();
  std::vector<RawPeer> peers;
  for (int i = 0; i < n; ++i) {
    auto peer = RawPeer::dial_tls(cell.port(), context);
    REQUIRE_OK(peer);
    REQUIRE_OK(peer->send(request_text(operation, deadline_ms.value_or(300'000))));
    peers.push_back(*std::move(peer));
    // One after the other: there may be little room for calls in flight.
    if (!deadline_ms)
      REQUIRE(cell.parked(peers.size()));
  }
  return peers;
}

bool is_ok(Result<std::string> reply) {
  return reply.value_or("").starts_with("HTTP/1.1 200 ");
}

}  // namespace

TEST_CASE("a state is in the list of the woken once for each run, in the order of waking") {
  const auto list = std::make_shared<WokenList>();
  std::vector<std::shared_ptr<Parked>> states;
  for (std::uint64_t i = 1; i <= 3; ++i) {
    states.push_back(std::make_shared<Parked>());
    CHECK(states.back()->bind(list, i, OperationClass::Metadata));
    CHECK(states.back()->bind(list, i, OperationClass::Metadata));
    CHECK_FALSE(states.back()->bind(list, 100 + i, OperationClass::Metadata));
  }
  states[0]->wait();
  states[1]->wake();  // before it waits
  CHECK(list->take() == nullptr);
  for (const auto reason : {Parked::Reason::Deadline, Parked::Reason::Call, Parked::Reason::Stop}) {
    states[0]->wake(reason);
    states[1]->wake(reason);
  }
  states[2]->wait();
  states[2]->wake();
  states[1]->wait();
  CHECK_FALSE(list->empty());
  auto first = list->take();
  CHECK(first == states[0]);
  CHECK(WokenList::next(*first) == states[2]);
  CHECK(WokenList::next(*states[2]) == states[1]);
  CHECK(WokenList::next(*states[1]) == nullptr);
  CHECK(list->take() == nullptr);
  CHECK(states[0]->begin_run() == Parked::Reason::Deadline);  // the first counts
  CHECK(states[1]->begin_run() == Parked::Reason::Call);
  // While it runs it may be woken for the next time.
  states[0]->wake();
  CHECK(list->empty());
  states[0]->wait();
  CHECK(list->take() == states[0]);
  CHECK(states[0]->begin_run() == Parked::Reason::Call);
  states[0]->end();
  states[0]->wake();
  states[0]->wait();
  CHECK(list->empty());
  CHECK_FALSE(states[0]->bind(list, 1, OperationClass::Metadata));
  // A list that is closed drops what is in it and what comes.
  states[1]->wait();
  states[1]->wake();
  list->close();
  CHECK(states[1].use_count() == 1);
  (void)states[2]->begin_run();
  states[2]->wait();
  states[2]->wake();
  CHECK(states[2].use_count() == 1);
}

TEST_CASE("a wake-up signals the workers, but not if the call has yet to leave its own") {
  const auto list = std::make_shared<WokenList>();
  const auto signalled = [&] { return wait_for(list->fd(), POLLIN, now()) == Ready::Yes; };
  const auto early = std::make_shared<Parked>();
  REQUIRE(early->bind(list, 1, OperationClass::Metadata));
  early->wake();
  early->wait();
  CHECK(list->take() == early);
  CHECK_FALSE(signalled());
  const auto late = std::make_shared<Parked>();
  REQUIRE(late->bind(list, 2, OperationClass::Metadata));
  late->wait();
  CHECK_FALSE(signalled());
  late->wake();
  CHECK(signalled());
  CHECK(list->take() == late);
}

TEST_CASE("parked calls hold no thread and no room, and are all answered once they are woken") {
  WaitingCell cell;
  cell.limits.threads = 2;
  cell.limits.metadata_in_flight = 2;
  cell.limits.connections_per_address = 1'000;
  cell.start();
  auto peers = dial_and_wait(cell, 200);
  CHECK(cell.server().stats().threads_busy <= 1);
  CHECK(cell.server().stats().overloaded == 0);
  auto client = cell.client();
  CHECK_OK(client->call(RpcCell::request("test", "echo")).answer);
  cell.release();
  for (auto& peer : peers)
    CHECK(is_ok(peer.read_reply()));
  const auto stats = cell.server().stats();
  CHECK(stats.parked == 200);
  CHECK(stats.parked_now == 0);
  CHECK(stats.woken == 200);
  CHECK(stats.calls == 201);
  CHECK(stats.overloaded == 0);
  cell.forget();
  CHECK(eventually([&] { return cell.living == 0; }));
  // The connections are as good as new.
  peers.erase(peers.begin() + 1, peers.end());
  REQUIRE_OK(peers[0].send(request_text("wait")));
  REQUIRE(cell.parked(1));
  cell.release();
  CHECK(is_ok(peers[0].read_reply()));
}

TEST_CASE("a woken call finds its request and its state as they were, and may park again") {
  WaitingCell cell;
  cell.add({.service = "t",
            .name = "thrice",
            .handler = [&](Call& call) -> Result<Reply> {
              auto state = std::static_pointer_cast<Wait>(call.parked());
              if (!state)
                state = std::make_shared<Wait>(cell.living);
              else
                ++state->runs;
              if (state->runs < 4) {
                cell.waits.lock()->push_back(state);
                return call.park(state);
              }
              Reply reply = Reply::json({{"args", call.args()}, {"trace", call.head().trace}});
              reply.bytes.assign(call.body().begin(), call.body().end());
              return reply;
            },
            .body_cap = 1'000'000});
  cell.start();
  std::vector<std::byte> bytes(300'000);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(i * 7);
  auto request = RpcCell::request("t", "thrice", R"({"name":"a"})");
  request.bytes = bytes;
  request.head.trace = "trace-1";
  request.max_reply_bytes = bytes.size();
  CallResult result;
  std::thread caller([&] { result = cell.client()->call(request); });
  for (int i = 0; i < 3; ++i) {
    REQUIRE(eventually([&] { return !cell.waits.lock()->empty(); }));
    // The request stays accounted for while it waits.
    if (cell.parked(1))
      CHECK(cell.server().stats().collected_bytes >= bytes.size());
    auto state = cell.waits.lock()->front();
    cell.forget();
    state->wake();
  }
  caller.join();
  REQUIRE_OK(result.answer);
  CHECK(result.answer->result()["args"]["name"] == "a");
  CHECK(result.answer->result()["trace"] == "trace-1");
  CHECK(std::equal(bytes.begin(), bytes.end(), result.answer->bytes.begin(),
                   result.answer->bytes.end()));
  CHECK(cell.server().stats().parked == 3);
  // The caller has his answer before the server has put the request away.
  CHECK(eventually([&] { return cell.server().stats().collected_bytes == 0; }));
}

TEST_CASE("a call that is woken before it has parked is run again at once, and only once") {
  WaitingCell cell;
  cell.add({.service = "t", .name = "early", .handler = [&](Call& call) -> Result<Reply> {
              if (call.parked())
                return Reply{};
              auto state = std::make_shared<Wait>(cell.living);
              state->wake();
              state->wake();
              auto reply = call.park(state);
              state->wake();
              return reply;
            }});
  cell.start();
  auto client = cell.client();
  for (int i = 0; i < 50; ++i)
    REQUIRE_OK(client->call(RpcCell::request("t", "early")).answer);
  CHECK(cell.server().stats().parked == 50);
  CHECK(cell.server().stats().woken == 50);
  CHECK(cell.living == 0);
}

TEST_CASE("a handler that did not park is not run again, however often it is woken") {
  WaitingCell cell;
  std::shared_ptr<Wait> state;
  cell.add({.service = "t", .name = "no", .handler = [&](Call& call) -> Result<Reply> {
              state = std::make_shared<Wait>(cell.living);
              CHECK(call.park(state).has_value());
              state->wake();
              return Reply::text("7");
            }});
  cell.start();
  auto client = cell.client();
  const auto result = client->call(RpcCell::request("t", "no"));
  REQUIRE_OK(result.answer);
  CHECK(result.answer->result() == 7);
  state->wake();
  CHECK_OK(client->call(RpcCell::request("test", "echo")).answer);
  CHECK(cell.server().stats().parked == 0);
  CHECK(cell.server().stats().woken == 0);
  cell.stop();
  state->wake();  // and outlives the server
}

TEST_CASE("the deadline of a parked call has its handler run again, which cannot park any more") {
  WaitingCell cell;
  cell.start();
  auto peers = dial_and_wait(cell, 3, "wait", 600);
  for (auto& peer : peers)
    CHECK(peer.read_reply().value_or("").starts_with("HTTP/1.1 504 "));
  CHECK(cell.late == 3);
  CHECK(cell.server().stats().woken_by_deadline == 3);
  cell.forget();
  CHECK(cell.living == 0);
}

TEST_CASE("a handler that parks after its deadline is refused; so it is with a time of its own") {
  WaitingCell cell;
  std::atomic<int> runs{0};
  cell.add({.service = "t", .name = "insists", .handler = [&](Call& call) -> Result<Reply> {
              ++runs;
              auto state = call.parked();
              return call.park(state ? state : std::make_shared<Wait>(cell.living));
            }});
  cell.add({.service = "t", .name = "naps", .handler = [&](Call& call) -> Result<Reply> {
              if (call.parked())
                return Reply{};
              return call.park(std::make_shared<Wait>(cell.living), now() + 20ms);
            }});
  cell.start();
  auto peer = RawPeer::dial_tls(cell.port(), cell.client_context()->current());
  REQUIRE_OK(peer);
  const std::string text = request_text("insists", 500);
  REQUIRE_OK(peer->send(text));
  CHECK(peer->read_reply().value_or("").starts_with("HTTP/1.1 504 "));
  CHECK(runs == 2);
  CHECK_OK(cell.client()->call(RpcCell::request("t", "naps")).answer);
  CHECK(cell.server().stats().woken_by_deadline == 2);
}

TEST_CASE("a caller who hangs up while his call is parked is noticed, and the handler told") {
  WaitingCell cell;
  cell.start();
  auto peers = dial_and_wait(cell, 6);
  peers[0].reset();
  peers.pop_back();  // closed without a goodbye
  CHECK(eventually([&] { return cell.cancelled == 2; }));
  CHECK(cell.server().stats().woken_by_hang_up == 2);
  CHECK(cell.server().stats().parked_now == 4);
  peers.erase(peers.begin());
  cell.release();
  for (auto& peer : peers)
    CHECK(is_ok(peer.read_reply()));
  CHECK(eventually([&] { return cell.server().stats().connections == 4; }));
}

TEST_CASE("a handler that parks although its caller is gone is refused") {
  WaitingCell cell;
  std::atomic<int> runs{0};
  cell.add({.service = "t", .name = "wait-on", .handler = [&](Call& call) -> Result<Reply> {
              ++runs;
              auto state = call.parked();
              return call.park(state ? state : std::make_shared<Wait>(cell.living));
            }});
  cell.start();
  {
    auto peer = RawPeer::dial_tls(cell.port(), cell.client_context()->current());
    REQUIRE_OK(peer);
    const std::string text = request_text("wait-on");
    REQUIRE_OK(peer->send(text));
    REQUIRE(cell.parked(1));
  }
  CHECK(eventually([&] { return cell.server().stats().connections == 0; }));
  CHECK(runs == 2);
  CHECK(cell.living == 0);
}

TEST_CASE("requests sent behind a parked call wait for their turn") {
  WaitingCell cell;
  cell.start();
  auto peer = RawPeer::dial_tls(cell.port(), cell.client_context()->current());
  REQUIRE_OK(peer);
  REQUIRE_OK(peer->send(request_text("wait") + request_text("wait")));
  REQUIRE_OK(peer->send(request_text("wait")));
  for (int i = 0; i < 3; ++i) {
    REQUIRE(cell.parked(1));
    const auto waiting = cell.take();
    CHECK(waiting.size() == 1);
    WaitingCell::release(waiting);
    CHECK(is_ok(peer->read_reply()));
  }
  CHECK(cell.runs == 6);
}

TEST_CASE("stopping runs every parked handler once more, and waits for nothing else") {
  WaitingCell cell;
  cell.limits.threads = 2;
  cell.limits.connections_per_address = 1'000;
  cell.start();
  auto peers = dial_and_wait(cell, 100);
  const auto begin = now();
  cell.server().stop();
  CHECK(now() - begin < test_support::kPatience);  // the calls have five minutes
  CHECK(cell.server().stats().woken_by_stop == 100);
  CHECK(cell.server().stats().parked_now == 0);
  CHECK(cell.cancelled == 100);
  CHECK(cell.runs == 200);
  cell.release();  // harmless
  cell.forget();
  CHECK(cell.living == 0);
}

// Its connection is cut by the stop before it has left its worker.
TEST_CASE("a call that parks while the server stops is run once more, too") {
  WaitingCell cell;
  std::atomic<bool> parks{false};
  std::atomic<bool> leave{false};
  std::atomic<int> told{0};
  cell.add({.service = "t", .name = "dawdles", .handler = [&](Call& call) -> Result<Reply> {
              if (call.parked()) {
                told += call.cancelled() ? 1 : 0;
                return Reply{};
              }
              auto reply = call.park(std::make_shared<Wait>(cell.living));
              parks = true;
              eventually([&] { return leave.load(); });
              return reply;
            }});
  cell.start();
  auto peer = RawPeer::dial_tls(cell.port(), cell.client_context()->current());
  REQUIRE_OK(peer);
  REQUIRE_OK(peer->send(request_text("dawdles")));
  REQUIRE(eventually([&] { return parks.load(); }));
  std::thread stopper([&] { cell.server().stop(); });
  CHECK(peer->read_reply().value_or("late") == "");
  leave = true;
  stopper.join();
  CHECK(told == 1);
  CHECK(cell.server().stats().woken_by_stop == 1);
  CHECK(cell.living == 0);
}

TEST_CASE("as many calls as the caps allow may be parked, of one address and in all") {
  WaitingCell cell;
  SUBCASE("in all") {
    cell.limits.parked = 3;
  }
  SUBCASE("of one address") {
    cell.limits.parked_per_address = 3;
  }
  cell.start();
  auto peers = dial_and_wait(cell, 3);
  auto client = cell.client();
  const auto refused = client->call(RpcCell::request("t", "wait"));
  CHECK_FAILS(refused.answer, ErrorCode::Overloaded);
  CHECK(refused.answer.error().retry_after == cell.limits.retry_after);
  CHECK(client->connected());
  auto other = RawPeer::dial_tls(cell.port(), cell.client_context()->current(), "127.0.0.2");
  REQUIRE_OK(other);
  REQUIRE_OK(other->send(request_text("wait")));
  const bool of_one_address = cell.limits.parked != 3;
  if (of_one_address)
    REQUIRE(cell.parked(4));
  else
    CHECK(other->read_reply().value_or("").starts_with("HTTP/1.1 503 "));
  cell.release();
  for (auto& peer : peers)
    CHECK(is_ok(peer.read_reply()));
  // All places are free again.
  cell.forget();
  for (auto& peer : peers)
    REQUIRE_OK(peer.send(request_text("wait")));
  REQUIRE(cell.parked(3));
  cell.release();
}

TEST_CASE("who was run beyond the cap of his class says so when he is done") {
  ServerShared shared;
  shared.limits.threads = 8;
  shared.limits.metadata_in_flight = 1;
  shared.in_flight.of(OperationClass::Metadata) = 1;  // new calls fill it
  std::vector<std::shared_ptr<Parked>> states;
  for (std::uint64_t i = 1; i <= 3; ++i) {
    states.push_back(std::make_shared<Parked>());
    REQUIRE(states.back()->bind(shared.woken, i, OperationClass::Metadata));
    states.back()->wait();
    states.back()->wake();
  }
  const auto signalled = [&] { return wait_for(shared.woken->fd(), POLLIN, now()) == Ready::Yes; };
  WokenCalls calls(shared);
  CHECK(signalled());
  shared.woken->heard();
  auto turn = calls.next();
  REQUIRE(turn);
  CHECK(&turn->state() == states[0].get());
  CHECK(signalled());  // for whoever runs the next
  shared.woken->heard();
  CHECK_FALSE(calls.next());
  CHECK_FALSE(signalled());  // nobody can do anything
  turn.reset();
  CHECK(signalled());
  shared.woken->heard();
  // With room in the class there are two at once.
  shared.in_flight.of(OperationClass::Metadata) = 0;
  auto second = calls.next();
  REQUIRE(second);
  CHECK(&second->state() == states[1].get());
  auto third = calls.next();
  REQUIRE(third);
  CHECK(&third->state() == states[2].get());
  second.reset();
  third.reset();
  CHECK(shared.in_flight.of(OperationClass::Metadata) == 0);
}

TEST_CASE("a woken call is not refused for load, and new calls cannot hold it up") {
  WaitingCell cell;
  cell.limits.threads = 8;
  cell.limits.metadata_in_flight = 1;
  std::atomic<bool> entered{false};
  std::atomic<bool> leave{false};
  cell.add({.service = "t", .name = "hold", .handler = [&](Call&) -> Result<Reply> {
              entered = true;
              eventually([&] { return leave.load(); });
              return Reply{};
            }});
  cell.start();
  auto peers = dial_and_wait(cell, 20);
  std::thread holder([&] { CHECK_OK(cell.client()->call(RpcCell::request("t", "hold")).answer); });
  REQUIRE(eventually([&] { return entered.load(); }));
  CHECK_FAILS(cell.client()->call(RpcCell::request("test", "echo")).answer, ErrorCode::Overloaded);
  cell.release();
  for (auto& peer : peers)
    CHECK(is_ok(peer.read_reply()));
  leave = true;
  holder.join();
}

TEST_CASE("woken calls run beside each other, but never so many that no thread is left") {
  WaitingCell cell;
  cell.limits.threads = 8;  // four for metadata
  cell.limits.connections_per_address = 1'000;
  std::atomic<int> inside{0};
  std::atomic<bool> leave{false};
  cell.add({.service = "t", .name = "slow", .handler = [&](Call& call) -> Result<Reply> {
              auto state = std::static_pointer_cast<Wait>(call.parked());
              if (!state) {
                state = std::make_shared<Wait>(cell.living);
                cell.waits.lock()->push_back(state);
                return call.park(state);
              }
              ++inside;
              eventually([&] { return leave.load(); });
              return Reply{};
            }});
  cell.start();
  auto peers = dial_and_wait(cell, 30, "slow");
  cell.release();
  CHECK(eventually([&] { return inside == 5; }));  // four, and one beyond
  CHECK_OK(cell.client()->call(RpcCell::request("test", "status")).answer);
  CHECK(inside == 5);
  leave = true;
  for (auto& peer : peers)
    CHECK(is_ok(peer.read_reply()));
  CHECK(cell.server().stats().threads <= 8);
}

TEST_CASE("handlers that wake themselves for ever do not shut others out") {
  WaitingCell cell;
  cell.limits.threads = 2;
  cell.limits.metadata_in_flight = 100;
  std::atomic<bool> enough{false};
  std::atomic<int> runs{0};
  cell.add({.service = "t", .name = "spins", .handler = [&](Call& call) -> Result<Reply> {
              ++runs;
              if (enough || call.cancelled())
                return Reply{};
              auto state = call.parked();
              if (!state)
                state = std::make_shared<Wait>(cell.living);
              state->wake();
              return call.park(state);
            }});
  cell.start();
  const std::string text = request_text("spins");
  std::vector<RawPeer> peers;
  for (int i = 0; i < 4; ++i) {
    auto peer = RawPeer::dial_tls(cell.port(), cell.client_context()->current());
    REQUIRE_OK(peer);
    REQUIRE_OK(peer->send(text));
    peers.push_back(*std::move(peer));
  }
  REQUIRE(eventually([&] { return runs > 1000; }));
  CHECK_OK(cell.client()->call(RpcCell::request("test", "echo")).answer);
  enough = true;
  for (auto& peer : peers)
    CHECK(is_ok(peer.read_reply()));
}

TEST_CASE("what is no parking is refused: no state, another call's, an unread body") {
  WaitingCell cell;
  const auto shared = std::make_shared<Wait>(cell.living);
  cell.add(
      {.service = "t", .name = "none", .handler = [&](Call& call) { return call.park(nullptr); }});
  cell.add({.service = "t", .name = "shared", .handler = [&](Call& call) -> Result<Reply> {
              if (call.parked())
                return Reply{};
              return call.park(shared);
            }});
  cell.add({.service = "t", .name = "fakes", .handler = [&](Call&) -> Result<Reply> {
              Reply reply;
              reply.parked = true;
              return reply;
            }});
  cell.add({.service = "t",
            .name = "unread",
            .handler = [&](Call& call) { return call.park(std::make_shared<Wait>(cell.living)); },
            .body_cap = 1'000'000,
            .streamed = true});
  cell.add({.service = "t",
            .name = "reads",
            .handler = [&](Call& call) -> Result<Reply> {
              struct Got final : Parked {
                std::size_t bytes = 0;
              };
              if (call.parked()) {
                std::byte more[16];
                CHECK(call.read_body(more).value_or(1) == 0);
                return Reply::json(std::static_pointer_cast<Got>(call.parked())->bytes);
              }
              auto state = std::make_shared<Got>();
              std::vector<std::byte> part(100'000);
              while (state->bytes < call.body_size()) {
                TROTH_TRY(const auto got, call.read_body(part));
                state->bytes += got;
              }
              state->wake();
              return call.park(state);
            },
            .body_cap = 1'000'000,
            .streamed = true});
  cell.start();
  CHECK_FAILS(cell.client()->call(RpcCell::request("t", "none")).answer, ErrorCode::Internal);
  CHECK_FAILS(cell.client()->call(RpcCell::request("t", "fakes")).answer, ErrorCode::Internal);
  std::vector<std::byte> bytes(500'000, std::byte{1});
  auto request = RpcCell::request("t", "unread");
  request.bytes = bytes;
  CHECK_FAILS(cell.client()->call(request).answer, ErrorCode::Internal);
  request.operation = "reads";
  const auto read = cell.client()->call(request);
  REQUIRE_OK(read.answer);
  CHECK(read.answer->result() == bytes.size());

  CallResult first;
  std::thread caller([&] { first = cell.client()->call(RpcCell::request("t", "shared")); });
  REQUIRE(cell.parked(1));
  CHECK_FAILS(cell.client()->call(RpcCell::request("t", "shared")).answer, ErrorCode::Internal);
  shared->wake();
  caller.join();
  CHECK_OK(first.answer);
  CHECK_FAILS(cell.client()->call(RpcCell::request("t", "shared")).answer, ErrorCode::Internal);
}

TEST_CASE("an exception of a handler that runs again ends its call like any other") {
  WaitingCell cell;
  cell.add({.service = "t", .name = "throws", .handler = [&](Call& call) -> Result<Reply> {
              if (call.parked())
                throw std::runtime_error("x");
              auto state = std::make_shared<Wait>(cell.living);
              state->wake();
              return call.park(state);
            }});
  cell.start();
  auto client = cell.client();
  CHECK_FAILS(client->call(RpcCell::request("t", "throws")).answer, ErrorCode::Internal);
  CHECK(cell.living == 0);
  CHECK_OK(client->call(RpcCell::request("test", "echo")).answer);
}

TEST_CASE("a call whose session ends while it is parked is not run again; its state goes") {
  struct Ends final : Session {
    std::atomic<bool> ended{false};
    [[nodiscard]] common::Status check() const override {
      return ended ? common::fail(ErrorCode::Expired, "over") : common::Status();
    }
  };
  WaitingCell cell;
  const auto session = std::make_shared<Ends>();
  cell.add({.service = "t",
            .name = "log-in",
            .handler = [&](Call& call) -> Result<Reply> {
              call.peer().set_session(session);
              return Reply{};
            },
            .open_to_all = true});
  cell.demand_sessions();
  cell.start();
  auto client = cell.client();
  CHECK_OK(client->call(RpcCell::request("t", "log-in")).answer);
  CallResult result;
  std::thread caller([&] { result = client->call(RpcCell::request("t", "wait")); });
  REQUIRE(cell.parked(1));
  session->ended = true;
  cell.release();
  caller.join();
  CHECK_FAILS(result.answer, ErrorCode::Expired);
  CHECK(client->connected());
  CHECK(cell.runs == 1);
  cell.forget();
  CHECK(cell.living == 0);
}

TEST_CASE("neither the sweeper nor shedding touches a connection whose call is parked") {
  WaitingCell cell;
  cell.limits.idle = 500ms;
  cell.limits.idle_under_pressure = 500ms;
  cell.limits.head = 500ms;
  cell.limits.transfer_base = 500ms;
  cell.limits.connections = 4;  // which is pressure
  cell.start();
  auto peers = dial_and_wait(cell, 4);
  CHECK(cell.server().shed(10) == 0);
  const auto until = now() + 800ms;
  CHECK(eventually([&] { return now() > until; }));
  CHECK(cell.server().stats().parked_now == 4);
  cell.release();
  for (auto& peer : peers)
    CHECK(is_ok(peer.read_reply()));
  CHECK(eventually([&] { return cell.server().stats().connections == 0; }));
}

TEST_CASE("deadlines of parked calls are kept under pressure, too") {
  WaitingCell cell;
  cell.limits.connections = 4;
  cell.start();
  auto peers = dial_and_wait(cell, 4, "wait", 600);
  for (auto& peer : peers)
    CHECK(peer.read_reply().value_or("").starts_with("HTTP/1.1 504 "));
  CHECK(cell.server().stats().woken_by_deadline == 4);
}

// Every way of being woken against every other, many times. Each call must end exactly once.
TEST_CASE("wake-ups, deadlines, hang-ups and a stop at the same time end each call once") {
  for (int round = 0; round < 6; ++round) {
    WaitingCell cell;
    cell.limits.connections_per_address = 1'000;
    cell.limits.threads = 6;
    cell.limits.head = 80ms;  // the sweeper looks every 10 ms
    std::atomic<bool> over{false};
    std::atomic<int> ended{0};
    cell.add({.service = "t", .name = "race", .handler = [&](Call& call) -> Result<Reply> {
                auto state = std::static_pointer_cast<Wait>(call.parked());
                if (!state) {
                  state = std::make_shared<Wait>(cell.living);
                  cell.waits.lock()->push_back(state);
                } else {
                  ++state->runs;
                }
                auto reply = Result<Reply>(Reply{});
                if (!call.cancelled() && now() < call.deadline() && state->runs <= 20)
                  reply = call.park(state, now() + std::chrono::milliseconds(state->runs % 3 * 10));
                // Refused, too, if what was asked above came to be so in between.
                if (!reply || !reply->parked) {
                  CHECK_FALSE(state->done.exchange(true));  // not run any more after its end
                  ++ended;
                }
                return reply;
              }});
    cell.start();
    std::vector<std::thread> wakers;
    for (int i = 0; i < 2; ++i) {
      wakers.emplace_back([&] {
        while (!over) {
          const auto states = *cell.waits.lock();
          for (const auto& state : states)
            state->wake();
          std::this_thread::yield();
        }
      });
    }
    const std::string text = request_text("race", 60);
    std::atomic<int> begun{0};
    std::vector<std::thread> callers;
    const auto context = cell.client_context()->current();
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([&, i] {
        for (int call = 0; call < 12; ++call) {
          auto peer = RawPeer::dial_tls(cell.port(), context);
          if (!peer || !peer->send(text))
            continue;
          if ((call + i) % 3 == 0) {
            peer->reset();
          } else if ((call + i) % 3 == 1) {
            ++begun;
            (void)peer->read_reply();
          }
        }
      });
    }
    if (round % 2 == 0) {
      (void)eventually([&] { return begun > 3; });
      cell.server().stop();
    }
    for (auto& caller : callers)
      caller.join();
    cell.stop();
    over = true;
    for (auto& waker : wakers)
      waker.join();
    cell.release();
    CHECK(static_cast<std::size_t>(ended) == cell.waits.lock()->size());
    cell.forget();
    CHECK(cell.living == 0);
  }
}
