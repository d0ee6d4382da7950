// What holders are asked and changes wait for; lease_test.cpp has what time does to it.

#include "tests/unit/fileserver/promises/core_fixture.hpp"

using namespace promise_test;
using common::ErrorCode;

TEST_CASE("a change that nobody holds anything of is ready at once") {
  Fixture f;
  const auto writer = f.mount(1);
  CHECK_OK(f.begin(7, {1, 2}, ChangeOrigin{writer}));
  CHECK(f.took_ready(7));
  CHECK(f.core.marked(7, node(1)));
  CHECK_FALSE(f.core.marked(7, node(3)));
  CHECK(f.core.counts().marked == 2);
  f.end(7);
  CHECK(f.core.counts().marked == 0);
  CHECK_FALSE(f.core.marked(7, node(1)));
  CHECK(f.effects.empty());
}

TEST_CASE("R5: a change waits until every holder has acknowledged, and then tells them") {
  Fixture f;
  const auto reader = f.mount(1), other = f.mount(2), writer = f.mount(3);
  const auto before = f.grant(reader, 10);
  CHECK(f.grant(other, 10) > before);
  CHECK(f.grant(other, 11) > 0);
  CHECK_OK(f.begin(7, {10}, ChangeOrigin{writer}));
  CHECK_FALSE(f.took_ready(7));
  const auto breaks = f.take<SendBreak>();
  REQUIRE(breaks.size() == 2);
  CHECK(breaks[0].session == reader);
  CHECK(breaks[0].number == 1);
  CHECK(breaks[0].nodes == Fixture::touched({10}));
  CHECK(breaks[0].grant_clock >= before);
  CHECK(breaks[1].session == other);
  CHECK_OK(f.acknowledge(reader, 1));
  CHECK_FALSE(f.took_ready(7));
  CHECK_OK(f.acknowledge(other, 1));
  CHECK(f.took_ready(7));

  const auto ended = f.end(7);
  CHECK(ended.granted == std::vector{node(10)});
  const auto updates = f.take<SendUpdate>();
  REQUIRE(updates.size() == 2);
  CHECK(updates[0].session == reader);
  CHECK(updates[0].change == 7);
  CHECK(updates[0].nodes == std::vector{node(10)});
  CHECK(updates[0].granted == std::vector{true});
  CHECK(updates[0].grant_clock > breaks[0].grant_clock);
  CHECK(f.effects.empty());
  // All three hold it again.
  CHECK_OK(f.begin(8, {10}));
  CHECK(f.take<SendBreak>().size() == 3);
}

TEST_CASE("a change that was given up tells nobody, and promises nothing") {
  Fixture f;
  const auto reader = f.mount(1), writer = f.mount(2);
  f.grant(reader, 10);
  CHECK_OK(f.begin(7, {10}, ChangeOrigin{writer}));
  CHECK_OK(f.acknowledge(reader, 1));
  CHECK(f.end(7, false).granted.empty());
  CHECK(f.take<SendUpdate>().empty());
  CHECK_OK(f.begin(8, {10}, ChangeOrigin{writer}));
  CHECK(f.took_ready(8));
}

TEST_CASE("a change that is given up while it waits is never ready") {
  Fixture f;
  const auto reader = f.mount(1);
  f.grant(reader, 10);
  CHECK_OK(f.begin(7, {10}));
  f.end(7, false);
  CHECK_OK(f.acknowledge(reader, 1));
  CHECK(f.take<ChangeReady>().empty());
  CHECK(f.core.counts().waiting_changes == 0);
}

TEST_CASE("R17: no grants while a mark stands, and marks are counted") {
  Fixture f;
  const auto reader = f.mount(1);
  CHECK_OK(f.begin(7, {10}));
  CHECK_OK(f.begin(8, {10, 11}));
  CHECK(f.grant(reader, 10) == 0);
  f.end(7);
  CHECK(f.grant(reader, 10) == 0);
  CHECK(f.grant(reader, 11) == 0);
  f.end(8);
  CHECK(f.grant(reader, 10) > 0);
}

TEST_CASE("R17: marks are taken all at once, and a set that grows is asked for as well") {
  Fixture f;
  const auto reader = f.mount(1);
  f.grant(reader, 10);
  f.grant(reader, 11);
  CHECK_OK(f.begin(7, {10}));
  CHECK_OK(f.acknowledge(reader, 1));
  CHECK(f.took_ready(7));
  f.take<SendBreak>();
  CHECK_OK(f.extend(7, {10, 11, 12}));
  CHECK_FALSE(f.took_ready(7));
  const auto breaks = f.take<SendBreak>();
  REQUIRE(breaks.size() == 1);
  CHECK(breaks[0].nodes == Fixture::touched({11}));
  CHECK(f.core.marked(7, node(12)));
  CHECK(f.grant(reader, 12) == 0);
  CHECK_OK(f.acknowledge(reader, 2));
  CHECK(f.took_ready(7));
  f.end(7);
  const auto updates = f.take<SendUpdate>();
  REQUIRE(updates.size() == 1);
  CHECK(updates[0].nodes == std::vector{node(10), node(11)});
}

TEST_CASE("R17: a set that grows by what nobody holds is ready at once") {
  Fixture f;
  CHECK_OK(f.begin(7, {10}));
  CHECK(f.took_ready(7));
  CHECK_OK(f.extend(7, {11}));
  CHECK(f.took_ready(7));
  CHECK_FAILS(f.extend(8, {11}), ErrorCode::Internal);
}

TEST_CASE("what was changed since it was read is not granted") {
  Fixture f;
  const auto reader = f.mount(1);
  const ReadToken before = f.core.begin_read();
  CHECK_OK(f.begin(7, {10}));
  const ReadToken amid = f.core.begin_read();
  f.end(7);
  CHECK(f.grant_with(reader, 10, before) == 0);
  CHECK(f.grant_with(reader, 10, amid) == 0);
  CHECK(f.grant_with(reader, 11, before) > 0);
  CHECK(f.grant(reader, 10) > 0);
}

TEST_CASE("without a stream nothing is granted") {
  Fixture f;
  const SessionId session{1};
  CHECK_OK(f.core.open_session(session, f.now));
  CHECK(f.grant(session, 10) == 0);
  CHECK_OK(f.core.stream_up(session, f.now, f.effects));
  CHECK(f.grant(session, 10) > 0);
  f.core.stream_down(session, f.now);
  CHECK(f.grant(session, 11) == 0);
  CHECK(f.grant(SessionId{99}, 10) == 0);
}

TEST_CASE("a node that no inode number can name is never promised") {
  Fixture f;
  const auto reader = f.mount(1);
  std::uint64_t clock = 0;
  const std::vector<Fid> nodes = {{common::VolumeId{1U << 24}, common::NodeId{1}}};
  CHECK_FALSE(f.core.grant(reader, nodes, f.core.begin_read(), f.now, clock, f.effects)[0]);
  const std::vector<Touched> touched = {{nodes[0], what::kBytes}};
  CHECK_OK(f.core.begin_change(7, {}, touched, f.now + seconds(1), f.now, f.effects));
  CHECK(f.took_ready(7));
  CHECK(f.core.marked(7, nodes[0]));
  f.end(7);
}

TEST_CASE("the caller's own session is not asked for what its mount has withdrawn") {
  Fixture f;
  const auto writer = f.mount(1);
  const auto seen = f.grant(writer, 10);
  CHECK_OK(f.begin(7, {10}, ChangeOrigin{writer, seen}));
  CHECK(f.took_ready(7));
  CHECK(f.take<SendBreak>().empty());
  CHECK(f.end(7).clock > seen);
}

TEST_CASE("the caller's own session is asked for what it was granted after it sent the call") {
  Fixture f;
  const auto writer = f.mount(1);
  const auto seen = f.grant(writer, 9);
  f.grant(writer, 10);  // while a copy of the call was on its way
  CHECK_OK(f.begin(7, {10}, ChangeOrigin{writer, seen}));
  CHECK_FALSE(f.took_ready(7));
  CHECK(f.take<SendBreak>().size() == 1);
  CHECK_OK(f.acknowledge(writer, 1));
  CHECK(f.took_ready(7));
}

TEST_CASE("the caller's own session is asked for nodes that its call does not name") {
  Fixture f;
  const auto writer = f.mount(1);
  const auto seen = f.grant(writer, 10);
  auto nodes = Fixture::touched({10});
  nodes[0].named = false;
  CHECK_OK(f.core.begin_change(7, ChangeOrigin{writer, seen}, nodes, f.now + seconds(9), f.now,
                               f.effects));
  CHECK_FALSE(f.took_ready(7));
  CHECK(f.take<SendBreak>().size() == 1);
}

TEST_CASE("a second change waits for what the first has asked for, and asks nothing anew") {
  Fixture f;
  const auto reader = f.mount(1);
  f.grant(reader, 10);
  CHECK_OK(f.begin(7, {10}));
  CHECK(f.take<SendBreak>().size() == 1);
  CHECK_OK(f.begin(8, {10}));
  CHECK(f.take<SendBreak>().empty());
  CHECK_FALSE(f.took_ready(8));
  CHECK_OK(f.acknowledge(reader, 1));
  CHECK(f.took_ready(7));
  CHECK(f.took_ready(8));
  f.end(7);
  f.end(8);
  CHECK(f.take<SendUpdate>().size() == 2);
}

TEST_CASE("what an expired change has asked for is waited for by the next one") {
  Fixture f;
  const auto reader = f.mount(1), other = f.mount(2);
  f.grant(reader, 10);
  CHECK_OK(f.begin(7, {10}, {}, seconds(1)));
  f.advance(seconds(1));
  CHECK(f.took_expired(7));
  CHECK(f.core.counts().marked == 0);
  CHECK(f.grant(other, 10) > 0);  // nothing was changed
  CHECK_OK(f.begin(8, {10}));
  CHECK(f.take<SendBreak>().back().session == other);
  CHECK_OK(f.acknowledge(other, 1));
  CHECK_FALSE(f.took_ready(8));
  CHECK_OK(f.acknowledge(reader, 1));
  CHECK(f.took_ready(8));
}

TEST_CASE("granted again before it has acknowledged: the next change asks again") {
  Fixture f;
  const auto reader = f.mount(1);
  f.grant(reader, 10);
  CHECK_OK(f.begin(7, {10}, {}, seconds(1)));
  const auto first = f.take<SendBreak>();
  f.advance(seconds(1));
  const auto again = f.grant(reader, 10);
  CHECK(again > first[0].grant_clock);
  CHECK_OK(f.begin(8, {10}));
  const auto second = f.take<SendBreak>();
  REQUIRE(second.size() == 1);
  CHECK(second[0].number == 2);
  CHECK(second[0].grant_clock >= again);
  CHECK_OK(f.acknowledge(reader, 1));
  CHECK_FALSE(f.took_ready(8));
  CHECK_OK(f.acknowledge(reader, 2));
  CHECK(f.took_ready(8));
}

TEST_CASE("an update grants nothing that another change has marked") {
  Fixture f;
  const auto reader = f.mount(1);
  f.grant(reader, 10);
  CHECK_OK(f.begin(7, {10}));
  CHECK_OK(f.begin(8, {10}));
  CHECK_OK(f.acknowledge(reader, 1));
  f.end(7);
  const auto updates = f.take<SendUpdate>();
  REQUIRE(updates.size() == 1);
  CHECK(updates[0].granted == std::vector{false});
  // Nor what was committed meanwhile: who reads it next is promised it.
  f.end(8);
  CHECK(f.take<SendUpdate>().at(0).granted == std::vector{false});
  CHECK(f.grant(reader, 10) > 0);
}

TEST_CASE("acknowledging what was not sent breaks the protocol") {
  Fixture f;
  const auto reader = f.mount(1);
  f.grant(reader, 10);
  CHECK_FAILS(f.acknowledge(reader, 1), ErrorCode::Protocol);
  CHECK_OK(f.begin(7, {10}));
  CHECK_FAILS(f.acknowledge(reader, 2), ErrorCode::Protocol);
  CHECK_FAILS(f.acknowledge(reader, 0), ErrorCode::Protocol);
  CHECK_FAILS(f.flush(reader, 2), ErrorCode::Protocol);
  CHECK_FALSE(f.took_ready(7));
  CHECK_OK(f.acknowledge(reader, 1));
  CHECK_OK(f.acknowledge(reader, 1));
  CHECK_FAILS(f.acknowledge(SessionId{9}, 1), ErrorCode::Stale);
}

TEST_CASE("a stream that comes back is sent again what is not acknowledged, in order") {
  Fixture f;
  const auto reader = f.mount(1);
  f.grant(reader, 10);
  f.grant(reader, 11);
  CHECK_OK(f.begin(7, {10}));
  f.core.stream_down(reader, f.now);
  const auto first = f.take<SendBreak>();
  CHECK_OK(f.begin(8, {11}));
  CHECK(f.take<SendBreak>().empty());
  CHECK_OK(f.core.stream_up(reader, f.now, f.effects));
  const auto again = f.take<SendBreak>();
  REQUIRE(again.size() == 2);
  CHECK(again[0].number == 1);
  CHECK(again[0].grant_clock == first[0].grant_clock);
  CHECK(again[1].number == 2);
  CHECK_OK(f.acknowledge(reader, 2));
  CHECK(f.took_ready(7));
  CHECK(f.took_ready(8));
}

TEST_CASE(
    "a closed session is waited for no longer; one that ends otherwise until its lease ends") {
  for (const auto why : {SessionOver::Why::Closed, SessionOver::Why::Replaced,
                         SessionOver::Why::Misbehaved, SessionOver::Why::Revoked}) {
    Fixture f;
    const auto reader = f.mount(1);
    f.grant(reader, 10);
    CHECK_OK(f.begin(7, {10}));
    f.core.end_session(reader, why, f.now, f.effects);
    CHECK(f.take<SessionOver>().at(0).why == why);
    CHECK_FAILS(f.core.check_session(reader), ErrorCode::Stale);
    const bool at_once = why == SessionOver::Why::Closed;
    CHECK(f.core.clean_to_stop() == at_once);
    CHECK(f.took_ready(7) == at_once);
    CHECK(f.take<ForgetSession>().size() == (at_once ? 1 : 0));
    CHECK_FAILS(f.core.stream_up(reader, f.now, f.effects), ErrorCode::Stale);
    f.advance(seconds(12));
    CHECK(f.took_ready(7) == !at_once);
    CHECK(f.take<ForgetSession>().size() == (at_once ? 0 : 1));
    CHECK(f.take<SessionOver>().empty());
    CHECK(f.core.counts().promises == 0);
  }
}

TEST_CASE("F41: a session is asked for all that it has been promised, and for nothing later") {
  Fixture f;
  const auto reader = f.mount(1);
  const auto other = f.mount(2);
  constexpr std::uint64_t kMany = 2'500;  // more than one break holds
  for (std::uint64_t number = 1; number <= kMany; ++number)
    f.grant(reader, number);
  f.grant(other, 10);
  // One of them is asked for already.
  CHECK_OK(f.begin(7, {10}));
  f.take<SendBreak>();
  f.core.break_session(reader, f.now, f.effects);
  std::vector<Fid> asked;
  std::uint64_t last = 0;
  for (const SendBreak& sent : f.take<SendBreak>()) {
    CHECK(sent.session == reader);
    for (const Touched& touched : sent.nodes)
      asked.push_back(touched.node);
    last = sent.number;
  }
  std::sort(asked.begin(), asked.end());
  CHECK(std::unique(asked.begin(), asked.end()) == asked.end());
  CHECK(asked.size() == kMany - 1);
  CHECK(f.core.counts().promises == 0);
  // It goes on: what it is promised from now on holds.
  CHECK(f.grant(reader, 20) != 0);
  // A change of what was asked for waits for the answer.
  CHECK_OK(f.begin(8, {30}));
  CHECK_FALSE(f.took_ready(8));
  CHECK_OK(f.acknowledge(reader, last));
  CHECK(f.took_ready(8));
  CHECK_OK(f.core.check_session(reader));
  CHECK_OK(f.begin(9, {20}));
  CHECK_FALSE(f.took_ready(9));
}

TEST_CASE("a session that resumes has no promises and no debts, and its numbers go on") {
  Fixture f;
  const auto reader = f.mount(1);
  f.grant(reader, 10);
  f.grant(reader, 11);
  CHECK_OK(f.begin(7, {10}));
  f.take<SendBreak>();
  CHECK_OK(f.core.resume_session(reader, f.now, f.effects));
  CHECK(f.took_ready(7));
  CHECK(f.take<CloseStream>().size() == 1);
  CHECK(f.core.counts().promises == 0);
  CHECK_OK(f.begin(8, {11}));
  CHECK(f.took_ready(8));
  f.end(8);
  CHECK(f.grant(reader, 11) == 0);
  CHECK_OK(f.core.stream_up(reader, f.now, f.effects));
  CHECK(f.take<SendBreak>().empty());
  CHECK(f.grant(reader, 12) > 0);
  CHECK_OK(f.begin(9, {12}));
  CHECK(f.take<SendBreak>().at(0).number == 2);
}

TEST_CASE("the last mark: a change grants only if none has been committed since it was ready") {
  Fixture f;
  const auto first = f.mount(1), second = f.mount(2), reader = f.mount(3);
  f.grant(reader, 10);
  CHECK_OK(f.begin(7, {10}, ChangeOrigin{first}));
  CHECK_OK(f.begin(8, {10}, ChangeOrigin{second}));
  CHECK_OK(f.acknowledge(reader, 1));
  CHECK(f.took_ready(7));
  CHECK(f.took_ready(8));
  // 7 was committed first, and comes second.
  CHECK(f.end(8).granted.empty());
  const auto ended = f.end(7);
  CHECK(ended.granted.empty());
  CHECK(ended.clock > 0);
  for (const auto& update : f.take<SendUpdate>())
    CHECK(update.granted == std::vector{false});
  CHECK_OK(f.begin(9, {10}, ChangeOrigin{first}));
  CHECK(f.end(9).granted.size() == 1);
}

TEST_CASE("no more is under way than a stream holds; the rest follows in order") {
  PromiseOptions options;
  options.nodes_under_way = 3;
  options.nodes_per_break = 2;
  Fixture f(options);
  const auto reader = f.mount(1);
  for (std::uint64_t number = 1; number <= 9; ++number)
    f.grant(reader, number);
  CHECK_OK(f.begin(7, {1, 2, 3, 4, 5}));
  const auto first = f.take<SendBreak>();
  REQUIRE(first.size() == 1);
  CHECK(first[0].nodes.size() == 2);
  CHECK_OK(f.begin(8, {6}));
  CHECK(f.take<SendBreak>().empty());
  CHECK_FAILS(f.acknowledge(reader, 2), ErrorCode::Protocol);
  CHECK_OK(f.acknowledge(reader, 1));
  const auto second = f.take<SendBreak>();
  REQUIRE(second.size() == 2);
  CHECK(second[0].number == 2);
  CHECK(second[1].number == 3);
  CHECK_FALSE(f.took_ready(7));
  CHECK_OK(f.acknowledge(reader, 3));
  CHECK(f.took_ready(7));
  CHECK(f.take<SendBreak>().size() == 1);
  CHECK_OK(f.acknowledge(reader, 4));
  CHECK(f.took_ready(8));
}

TEST_CASE("what is flushing is not under way, and keeps nothing back") {
  PromiseOptions options;
  options.nodes_under_way = 1;
  Fixture f(options);
  const auto reader = f.mount(1);
  f.grant(reader, 1);
  f.grant(reader, 2);
  CHECK_OK(f.begin(7, {1}));
  CHECK_OK(f.begin(8, {2}));
  CHECK(f.take<SendBreak>().size() == 1);
  CHECK_OK(f.flush(reader, 1));
  CHECK(f.take<SendBreak>().size() == 1);
}

TEST_CASE("F32: parked changes are capped, in all and for each session") {
  PromiseOptions options;
  options.parked_changes = 5;
  options.parked_per_session = 2;
  Fixture f(options);
  const auto holder = f.mount(1), greedy = f.mount(2), modest = f.mount(3);
  for (std::uint64_t number = 1; number <= 9; ++number)
    f.grant(holder, number);
  CHECK_OK(f.begin(1, {1}, ChangeOrigin{greedy}));
  CHECK_OK(f.begin(2, {2}, ChangeOrigin{greedy}));
  CHECK_FAILS(f.begin(3, {3}, ChangeOrigin{greedy}), ErrorCode::Overloaded);
  CHECK_OK(f.begin(4, {100}, ChangeOrigin{greedy}));  // waits for nobody
  CHECK_OK(f.begin(5, {4}, ChangeOrigin{modest}));
  CHECK_OK(f.begin(6, {5}));
  CHECK_OK(f.begin(7, {6}));
  CHECK_FAILS(f.begin(8, {7}, ChangeOrigin{modest}), ErrorCode::Overloaded);
  CHECK(f.core.counts().waiting_changes == 5);
  // What was refused has done nothing.
  CHECK(f.take<SendBreak>().size() == 5);
  CHECK_FALSE(f.core.marked(8, node(7)));
  CHECK(f.grant(modest, 7) > 0);
  CHECK_OK(f.acknowledge(holder, 1));
  CHECK_OK(f.begin(9, {3}, ChangeOrigin{greedy}));
}

TEST_CASE("F32: a session that has resumed, and again, waits with as many changes as before") {
  PromiseOptions options;
  options.parked_per_session = 2;
  Fixture f(options);
  const auto holder = f.mount(1), changer = f.mount(2);
  for (std::uint64_t number = 1; number <= 9; ++number)
    f.grant(holder, number);
  CHECK_OK(f.begin(1, {1}, ChangeOrigin{changer}));
  // Twice: it is then in the row of the table in which it was when the change began.
  for (int again = 0; again < 2; ++again) {
    REQUIRE_OK(f.core.resume_session(changer, f.now, f.effects));
    REQUIRE_OK(f.core.stream_up(changer, f.now, f.effects));
    f.advance(milliseconds(1));
  }
  CHECK_OK(f.acknowledge(holder, 1));
  CHECK(f.took_ready(1));
  f.end(1);
  CHECK(f.core.counts().waiting_changes == 0);
  CHECK_OK(f.begin(2, {2}, ChangeOrigin{changer}));
  CHECK_OK(f.begin(3, {3}, ChangeOrigin{changer}));
  CHECK_FAILS(f.begin(4, {4}, ChangeOrigin{changer}), ErrorCode::Overloaded);
}

TEST_CASE(
    "F33: above its cap a session's oldest promises are broken, and count until acknowledged") {
  PromiseOptions options;
  options.promises_per_session = 8;
  options.evict_at_once = 2;
  Fixture f(options);
  const auto hoarder = f.mount(1), other = f.mount(2);
  for (std::uint64_t number = 1; number <= 6; ++number)
    CHECK(f.grant(hoarder, number) > 0);
  CHECK(f.take<SendBreak>().empty());
  CHECK(f.grant(hoarder, 7) > 0);
  const auto breaks = f.take<SendBreak>();
  REQUIRE(breaks.size() == 1);
  REQUIRE(breaks[0].nodes.size() == 2);
  CHECK(breaks[0].nodes[0].node == node(1));
  CHECK(breaks[0].nodes[1].node == node(2));
  CHECK(breaks[0].grant_clock > 0);
  CHECK(f.grant(hoarder, 8) > 0);
  CHECK(f.grant(hoarder, 9) == 0);
  CHECK(f.core.counts().evicted == 2);
  // Not in the table, but still trusted: a change waits for it.
  CHECK_OK(f.begin(7, {1}));
  CHECK_FALSE(f.took_ready(7));
  CHECK(f.take<SendBreak>().empty());
  CHECK(f.grant(other, 9) > 0);
  CHECK_OK(f.acknowledge(hoarder, 1));
  CHECK(f.took_ready(7));
  CHECK(f.grant(hoarder, 9) > 0);
  CHECK(f.core.counts().promises <= 9);
}

TEST_CASE("F33: above the cap of all, the largest session gives room to the others") {
  PromiseOptions options;
  options.promises = 100;
  options.evict_at_once = 10;
  Fixture f(options);
  const auto hoarder = f.mount(1), modest = f.mount(2);
  std::uint64_t acknowledged = 0;
  for (std::uint64_t number = 1; number <= 1000; ++number) {
    f.grant(hoarder, number);
    for (const auto& sent : f.take<SendBreak>()) {
      CHECK(sent.session == hoarder);
      acknowledged = sent.number;
      CHECK_OK(f.acknowledge(hoarder, sent.number));
    }
    CHECK(f.core.counts().promises <= 100);
  }
  CHECK(acknowledged > 0);
  std::size_t granted = 0;
  for (std::uint64_t number = 5000; number < 5050; ++number)
    granted += f.grant(modest, number) > 0 ? 1 : 0;
  CHECK(granted > 0);
  CHECK(f.take<SendBreak>().size() > 0);
}

TEST_CASE("a node promised again and again stays one promise") {
  Fixture f;
  const auto reader = f.mount(1);
  for (int i = 0; i < 1000; ++i)
    f.grant(reader, 10);
  CHECK(f.core.counts().promises == 1);
  std::size_t bytes = 0;
  for (ChangeId id = 1; id < 3000; ++id) {
    if (id == 1000)
      bytes = f.core.memory_bytes();
    CHECK_OK(f.begin(id, {10}));
    CHECK_OK(f.acknowledge(reader, id));
    f.end(id);
  }
  CHECK(f.core.counts().promises == 1);
  CHECK(f.core.memory_bytes() <= bytes);
}

TEST_CASE("F33: too much that is not acknowledged closes the stream, and the debt stands") {
  PromiseOptions options;
  options.unacknowledged_nodes = 4;
  Fixture f(options);
  const auto lazy = f.mount(1);
  for (std::uint64_t number = 1; number <= 20; ++number)
    f.grant(lazy, number);
  for (ChangeId id = 1; id <= 4; ++id)
    CHECK_OK(f.begin(id, {id}));
  CHECK(f.take<CloseStream>().empty());
  CHECK_OK(f.begin(5, {5}));
  CHECK(f.take<CloseStream>().size() == 1);
  CHECK(f.grant(lazy, 30) == 0);
  f.core.stream_down(lazy, f.now);
  CHECK_OK(f.begin(6, {6}));
  f.take<SendBreak>();
  CHECK_OK(f.core.stream_up(lazy, f.now, f.effects));
  CHECK(f.take<SendBreak>().size() == 6);
  CHECK_OK(f.begin(7, {7}));  // not at once again
  CHECK(f.take<CloseStream>().empty());
  CHECK(f.take<ChangeReady>().empty());
  CHECK_OK(f.acknowledge(lazy, 7));
  CHECK(f.take<ChangeReady>().size() == 7);
}

TEST_CASE("F33: sessions are capped") {
  PromiseOptions options;
  options.sessions = 2;
  Fixture f(options);
  const auto first = f.mount(1);
  f.mount(2);
  CHECK_FAILS(f.core.open_session(SessionId{1}, f.now), ErrorCode::AlreadyExists);
  CHECK_FAILS(f.core.open_session(SessionId{3}, f.now), ErrorCode::ResourceExhausted);
  f.core.end_session(first, SessionOver::Why::Closed, f.now, f.effects);
  CHECK_OK(f.core.open_session(SessionId{3}, f.now));
}

TEST_CASE("a change of a session that is over is refused, and one that goes on is not confused") {
  Fixture f;
  const auto first = f.mount(1);
  f.grant(first, 10);
  CHECK_OK(f.begin(7, {11}, ChangeOrigin{first}));
  f.core.end_session(first, SessionOver::Why::Closed, f.now, f.effects);
  f.advance(milliseconds(1));
  const auto second = f.mount(2);  // in the same row of the table
  f.grant(second, 12);
  CHECK_OK(f.extend(7, {12}));
  CHECK(f.take<SendBreak>().size() == 1);
  const auto ended = f.end(7);
  CHECK(ended.clock == 0);
  CHECK(ended.granted.empty());
  CHECK_FAILS(f.begin(8, {10}, ChangeOrigin{first}), ErrorCode::Stale);
  CHECK_FAILS(f.begin(9, {10}, {}, seconds(0)), ErrorCode::DeadlineExceeded);
}
