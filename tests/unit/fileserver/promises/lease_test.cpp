// What time does: leases, renewals, deadlines, grace after a restart, stopped servers and mounts.

#include "tests/unit/fileserver/promises/core_fixture.hpp"

using namespace promise_test;
using common::ErrorCode;

TEST_CASE("a session is over when its lease and the margin are, and not before") {
  Fixture f;
  const auto session = f.mount(1);
  f.advance(milliseconds(11'999));
  CHECK_OK(f.core.check_session(session));
  f.advance(milliseconds(1));
  CHECK_FAILS(f.core.check_session(session), ErrorCode::Stale);
  const auto over = f.take<SessionOver>();
  REQUIRE(over.size() == 1);
  CHECK(over[0].session == session);
  CHECK(over[0].why == SessionOver::Why::Lease);
  CHECK(f.core.counts().sessions_lost == 1);
  CHECK_FAILS(f.core.stream_up(session, f.now, f.effects), ErrorCode::Stale);
  CHECK_FAILS(f.core.resume_session(session, f.now, f.effects), ErrorCode::Stale);
}

TEST_CASE("renewals keep a session for as long as they come") {
  Fixture f;
  const auto session = f.mount(1);
  f.advance_alive(seconds(300), {session});
  CHECK_OK(f.core.check_session(session));
  CHECK(f.take<AcknowledgeRenewal>().size() == 300);
}

TEST_CASE("renewals without a stream count for nothing") {
  Fixture f;
  const auto session = f.mount(1);
  f.core.stream_down(session, f.now);
  f.advance_alive(seconds(12), {session});
  CHECK_FAILS(f.core.check_session(session), ErrorCode::Stale);
  CHECK(f.take<AcknowledgeRenewal>().empty());
}

TEST_CASE("F18: a writer waits for a stopped mount until its lease and the margin are over") {
  Fixture f;
  const auto stopped = f.mount(1), writer = f.mount(2);
  f.grant(stopped, 10);
  CHECK_OK(f.begin(7, {10}, ChangeOrigin{writer}));
  f.advance_alive(milliseconds(11'900), {writer});
  CHECK_FALSE(f.took_ready(7));
  f.advance(milliseconds(100));
  CHECK(f.took_ready(7));
  CHECK(f.take<SessionOver>().at(0).session == stopped);
  CHECK(f.end(7).granted.size() == 1);
  CHECK(f.take<SendUpdate>().empty());
  CHECK(f.core.counts().promises == 1);
}

TEST_CASE("F18: a stream that ends does not shorten the wait") {
  Fixture f;
  const auto holder = f.mount(1);
  f.grant(holder, 10);
  f.core.stream_down(holder, f.now);
  CHECK_OK(f.begin(7, {10}));
  f.advance(seconds(11));
  CHECK_FALSE(f.took_ready(7));
  f.advance(seconds(1));
  CHECK(f.took_ready(7));
}

TEST_CASE("R11: who renews but does not acknowledge delays by a third, a lease and the margin") {
  Fixture f;
  const auto silent = f.mount(1);
  f.grant(silent, 10);
  CHECK_OK(f.begin(7, {10}));
  milliseconds waited{0};
  while (!f.took_ready(7)) {
    f.advance(milliseconds(100));
    f.renew(silent);
    waited += milliseconds(100);
    REQUIRE(waited < seconds(30));
  }
  CHECK(waited > seconds(12));
  CHECK(waited <= milliseconds(15'400));
}

TEST_CASE("R11: a renewal that was held back is answered when the break is acknowledged") {
  Fixture f;
  const auto slow = f.mount(1);
  f.grant(slow, 10);
  CHECK_OK(f.begin(7, {10}));
  f.advance(seconds(3));
  f.renew(slow, 1);
  CHECK(f.take<AcknowledgeRenewal>().size() == 1);
  f.advance(seconds(1));
  f.renew(slow, 2);
  f.advance(seconds(1));
  f.renew(slow, 3);
  CHECK(f.take<AcknowledgeRenewal>().empty());
  f.advance(seconds(1));
  CHECK_OK(f.acknowledge(slow, 1));
  const auto answered = f.take<AcknowledgeRenewal>();
  REQUIRE(answered.size() == 1);
  CHECK(answered[0].number == 3);
  // Counted from when it came: a second ago.
  f.advance(milliseconds(10'999));
  CHECK_OK(f.core.check_session(slow));
  f.advance(milliseconds(1));
  CHECK_FAILS(f.core.check_session(slow), ErrorCode::Stale);
}

TEST_CASE("a stream that comes back begins a lease") {
  Fixture f;
  const auto session = f.mount(1);
  f.grant(session, 10);
  f.advance(seconds(9));
  f.core.stream_down(session, f.now);
  CHECK_OK(f.core.stream_up(session, f.now, f.effects));
  CHECK_OK(f.begin(7, {10}));
  f.advance(milliseconds(11'999));
  CHECK_FALSE(f.took_ready(7));
  f.advance(milliseconds(1));
  CHECK(f.took_ready(7));
}

TEST_CASE("R11: a stream is not welcome while a break is overdue; the way back is to resume") {
  Fixture f;
  const auto silent = f.mount(1);
  f.grant(silent, 10);
  CHECK_OK(f.begin(7, {10}));
  f.advance(seconds(3));
  f.core.stream_down(silent, f.now);
  CHECK_OK(f.core.stream_up(silent, f.now, f.effects));
  f.advance(milliseconds(400));
  f.core.stream_down(silent, f.now);
  CHECK_FAILS(f.core.stream_up(silent, f.now, f.effects), ErrorCode::Stale);
  CHECK_OK(f.core.check_session(silent));
  CHECK_OK(f.core.resume_session(silent, f.now, f.effects));
  CHECK(f.took_ready(7));
  CHECK_OK(f.core.stream_up(silent, f.now, f.effects));
}

TEST_CASE("R29: a change lets the flushing session's own go first, for a lease in all") {
  Fixture f;
  const auto flushing = f.mount(1), writer = f.mount(2);
  f.grant(flushing, 10);
  CHECK_OK(f.begin(7, {10}, ChangeOrigin{writer}, seconds(60)));
  CHECK_OK(f.flush(flushing, 1));
  CHECK_OK(f.begin(8, {10}, ChangeOrigin{flushing}));
  CHECK(f.took_ready(8));
  f.end(8);
  CHECK_FALSE(f.took_ready(7));
  milliseconds waited{0};
  while (!f.took_ready(7)) {
    CHECK_OK(f.flush(flushing, 1));
    f.renew(flushing);
    f.advance(milliseconds(100));
    waited += milliseconds(100);
    REQUIRE(waited < seconds(60));
  }
  CHECK(waited > seconds(9));
  CHECK(waited <= seconds(10));
  // It owes nothing: it goes on.
  CHECK_OK(f.core.check_session(flushing));
  CHECK(f.take<AcknowledgeRenewal>().size() > 90);
}

TEST_CASE("R29: flushing ends when it said, or is acknowledged; without writing it is nothing") {
  Fixture f;
  const auto flushing = f.mount(1);
  for (std::uint64_t number = 10; number < 13; ++number)
    f.grant(flushing, number);
  CHECK_OK(f.begin(7, {10}));
  CHECK_OK(f.begin(8, {11}));
  CHECK_OK(f.begin(9, {12}));
  CHECK_OK(f.flush(flushing, 1, seconds(2)));
  CHECK_OK(f.flush(flushing, 2, seconds(5)));
  CHECK_OK(f.flush(flushing, 3, seconds(5), false));
  CHECK(f.took_ready(9));
  f.advance(milliseconds(1999));
  CHECK_FALSE(f.took_ready(7));
  f.advance(milliseconds(1));
  CHECK(f.took_ready(7));
  CHECK_FALSE(f.took_ready(8));
  CHECK_OK(f.acknowledge(flushing, 2));
  CHECK(f.took_ready(8));
}

TEST_CASE("R29: two that flush do not wait for each other") {
  for (const bool early : {false, true}) {
    Fixture f;
    const auto a = f.mount(1), b = f.mount(2);
    f.grant(a, 10);
    f.grant(b, 11);
    if (early)
      CHECK_OK(f.begin(7, {11}, ChangeOrigin{a}));
    CHECK_OK(f.begin(8, {10}, ChangeOrigin{b}));
    if (!early)
      CHECK_OK(f.begin(7, {11}, ChangeOrigin{a}));
    CHECK_OK(f.flush(a, 1));
    CHECK_FALSE(f.took_ready(8));
    CHECK_OK(f.flush(b, 1));
    CHECK(f.took_ready(7));
    CHECK(f.took_ready(8));
    // Nor does what comes later.
    CHECK_OK(f.begin(9, {10}, ChangeOrigin{b}));
    CHECK(f.took_ready(9));
    CHECK_OK(f.begin(10, {10}));
    CHECK_FALSE(f.took_ready(10));
  }
}

TEST_CASE("R29: what is flushed is not acknowledged by a later number") {
  Fixture f;
  const auto flushing = f.mount(1);
  f.grant(flushing, 10);
  f.grant(flushing, 11);
  CHECK_OK(f.begin(7, {10}));
  CHECK_OK(f.flush(flushing, 1));
  CHECK_OK(f.begin(8, {11}));
  CHECK_OK(f.acknowledge(flushing, 2));
  CHECK_FALSE(f.took_ready(7));
  CHECK(f.took_ready(8));
  CHECK_OK(f.acknowledge(flushing, 1));
  CHECK(f.took_ready(7));
}

TEST_CASE("a change expires at its deadline, and its marks go") {
  Fixture f;
  const auto reader = f.mount(1);
  f.grant(reader, 10);
  CHECK_OK(f.begin(7, {10}, {}, seconds(2)));
  CHECK(f.core.next_deadline() == f.now + seconds(2));
  f.advance(milliseconds(1999));
  CHECK_FALSE(f.took_expired(7));
  f.advance(milliseconds(1));
  CHECK(f.took_expired(7));
  CHECK(f.core.counts().marked == 0);
  CHECK_OK(f.acknowledge(reader, 1));
  CHECK_FALSE(f.took_ready(7));
}

TEST_CASE("R17: the deadline holds for the second wait, too") {
  Fixture f;
  const auto reader = f.mount(1);
  f.grant(reader, 11);
  CHECK_OK(f.begin(7, {10}, {}, seconds(2)));
  f.advance(seconds(1));
  CHECK_OK(f.extend(7, {11}));
  f.advance(seconds(1));
  CHECK(f.took_expired(7));
  CHECK_OK(f.begin(8, {10}, {}, seconds(2)));
  f.advance(seconds(2));
  CHECK_FAILS(f.extend(8, {11}), ErrorCode::DeadlineExceeded);
  f.end(8, false);
}

TEST_CASE("F17: a server that was stopped for minutes sees that leases and deadlines are over") {
  Fixture f;
  const auto reader = f.mount(1), writer = f.mount(2);
  f.grant(reader, 10);
  CHECK_OK(f.begin(7, {10}, ChangeOrigin{writer}));
  f.now += seconds(600);
  // The acknowledgement waited in the socket all the while; it comes before any timer.
  CHECK_FAILS(f.acknowledge(reader, 1), ErrorCode::Stale);
  CHECK(f.took_expired(7));
  CHECK_FALSE(f.took_ready(7));
  CHECK(f.take<SessionOver>().size() == 2);
  CHECK(f.core.counts().promises == 0);
  CHECK(f.grant(reader, 10) == 0);
  CHECK_FAILS(f.begin(8, {10}, ChangeOrigin{writer}), ErrorCode::Stale);
}

// --- R10: restart ---

namespace {

FormerLife former_of(std::vector<SessionId> sessions) {
  return {.clean = false, .sessions = std::move(sessions), .longest_lease = seconds(30)};
}

}  // namespace

TEST_CASE("R10: after a restart reads are granted, and changes wait for the longest lease ever") {
  Fixture f({}, former_of({SessionId{1}, SessionId{2}}));
  CHECK(f.core.counts().grace);
  const auto reader = f.mount(5);
  CHECK(f.grant(reader, 10) > 0);
  CHECK_OK(f.begin(7, {11}, {}, seconds(60)));
  CHECK_FALSE(f.took_ready(7));
  CHECK(f.grant(reader, 11) == 0);
  f.advance_alive(milliseconds(31'999), {reader});
  CHECK_FALSE(f.took_ready(7));
  f.advance(milliseconds(1));
  CHECK(f.took_ready(7));
  CHECK(f.take<GraceOver>().size() == 1);
  CHECK(f.take<SessionOver>().size() == 2);
  CHECK_FALSE(f.core.counts().grace);
  CHECK_FAILS(f.core.resume_session(SessionId{1}, f.now, f.effects), ErrorCode::Stale);
}

TEST_CASE("R10: grace ends when each session of the former life has come back or been closed") {
  Fixture f({}, former_of({SessionId{3}, SessionId{1}, SessionId{2}}));
  CHECK_OK(f.begin(7, {11}, {}, seconds(60)));
  CHECK_OK(f.core.resume_session(SessionId{1}, f.now, f.effects));
  CHECK_OK(f.core.resume_session(SessionId{1}, f.now, f.effects));
  CHECK_FAILS(f.core.resume_session(SessionId{9}, f.now, f.effects), ErrorCode::Stale);
  f.core.end_session(SessionId{2}, SessionOver::Why::Closed, f.now, f.effects);
  CHECK(f.take<SessionOver>().size() == 1);
  CHECK_FALSE(f.took_ready(7));
  CHECK_OK(f.core.resume_session(SessionId{3}, f.now, f.effects));
  CHECK(f.took_ready(7));
  CHECK(f.take<GraceOver>().size() == 1);
  CHECK_OK(f.core.check_session(SessionId{1}));
  CHECK_OK(f.core.check_session(SessionId{3}));
  CHECK_FAILS(f.core.check_session(SessionId{2}), ErrorCode::Stale);
}

TEST_CASE("R10: a session of the former life that is replaced is waited for all the same") {
  Fixture f({}, former_of({SessionId{1}}));
  CHECK_OK(f.begin(7, {11}, {}, seconds(60)));
  f.core.end_session(SessionId{1}, SessionOver::Why::Replaced, f.now, f.effects);
  CHECK_FALSE(f.took_ready(7));
  CHECK(f.take<ForgetSession>().empty());
  f.advance(seconds(32));
  CHECK(f.took_ready(7));
  CHECK(f.take<ForgetSession>().size() == 1);
}

TEST_CASE("R10: in grace, too, holders of the new life are asked") {
  Fixture f({}, former_of({SessionId{1}}));
  const auto reader = f.mount(5);
  f.grant(reader, 10);
  CHECK_OK(f.begin(7, {10}, {}, seconds(60)));
  CHECK(f.take<SendBreak>().size() == 1);
  CHECK_OK(f.core.resume_session(SessionId{1}, f.now, f.effects));
  CHECK_FALSE(f.took_ready(7));
  CHECK_OK(f.acknowledge(reader, 1));
  CHECK(f.took_ready(7));
}

TEST_CASE("R10: a change that grace would outlast is told when to come again") {
  Fixture f({}, former_of({SessionId{1}}));
  f.advance(seconds(2));
  const auto status = f.begin(7, {11}, {}, seconds(20));
  CHECK_FAILS(status, ErrorCode::Unavailable);
  CHECK(status.error().retry_after == seconds(30));
  CHECK(f.core.counts().marked == 0);
}

TEST_CASE("R10: a clean stop, or nobody to wait for, needs no grace") {
  FormerLife clean = former_of({SessionId{1}});
  clean.clean = true;
  Fixture f(PromiseOptions{}, clean);
  CHECK_OK(f.begin(7, {11}));
  CHECK(f.took_ready(7));
  CHECK_OK(f.core.resume_session(SessionId{1}, f.now, f.effects));
  Fixture alone({}, former_of({}));
  CHECK_OK(alone.begin(7, {11}));
  CHECK(alone.took_ready(7));
}

TEST_CASE("R10: a stop may be called clean when nobody trusts anything") {
  Fixture f;
  CHECK(f.core.clean_to_stop());
  const auto reader = f.mount(1);
  CHECK(f.core.clean_to_stop());
  f.grant(reader, 10);
  CHECK_FALSE(f.core.clean_to_stop());
  CHECK_OK(f.begin(7, {10}));
  CHECK_FALSE(f.core.clean_to_stop());
  CHECK_OK(f.acknowledge(reader, 1));
  CHECK(f.core.clean_to_stop());
}

TEST_CASE("R10: before a stop everything is asked for, and nothing is granted any more") {
  Fixture f;
  const auto reader = f.mount(1), idle = f.mount(2);
  f.grant(reader, 10);
  f.core.break_everything(f.now, f.effects);
  f.core.break_everything(f.now, f.effects);
  const auto breaks = f.take<SendBreak>();
  REQUIRE(breaks.size() == 2);
  CHECK(breaks[0].nodes.empty());
  CHECK(f.grant(reader, 11) == 0);
  CHECK_FALSE(f.core.clean_to_stop());
  CHECK_OK(f.acknowledge(reader, 1));
  CHECK_FALSE(f.core.clean_to_stop());
  CHECK_OK(f.acknowledge(idle, 1));
  CHECK(f.core.clean_to_stop());
  // Sessions and streams go on, and who does not answer is waited for.
  CHECK_OK(f.core.check_session(reader));
  f.renew(reader);
  CHECK(f.take<AcknowledgeRenewal>().size() == 1);
  CHECK_OK(f.begin(7, {10}));
  CHECK(f.took_ready(7));
}

TEST_CASE("R10: a stop is clean at last when the lease of who did not answer is over") {
  Fixture f;
  const auto silent = f.mount(1);
  f.grant(silent, 10);
  f.core.break_everything(f.now, f.effects);
  f.advance(seconds(11));
  CHECK_FALSE(f.core.clean_to_stop());
  f.advance(seconds(1));
  CHECK(f.take<SessionOver>().at(0).owing);
  CHECK(f.core.clean_to_stop());
}

TEST_CASE("F30: after a restart, all of many sessions come back at once") {
  std::vector<SessionId> sessions;
  for (std::uint64_t i = 1; i <= 10'000; ++i)
    sessions.push_back(SessionId{i});
  Fixture f({}, former_of(sessions));
  for (const SessionId session : sessions)
    CHECK_OK(f.core.resume_session(session, f.now, f.effects));
  CHECK_FALSE(f.core.counts().grace);
  CHECK(f.core.counts().sessions == 10'000);
  f.now += seconds(12);
  f.core.on_time(f.now, f.effects);
  CHECK(f.take<SessionOver>().size() == 10'000);
}
