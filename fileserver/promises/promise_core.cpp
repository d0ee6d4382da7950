// Sessions, streams, leases, and the passing of time.

#include "fileserver/promises/promise_core.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "fileserver/promises/promise_state.hpp"

namespace fileserver {

using common::Duration;
using common::ErrorCode;
using common::fail;
using promises::Debt;

namespace {

// Of what is over, so many promises are taken out of the table in each step, and in one made for
// it.
constexpr std::size_t kDrainAside = 256;
constexpr std::size_t kDrainAtOnce = 8'192;

auto stale(SessionId session) {
  return fail(ErrorCode::Stale, "session {} is over; open another", session.value);
}

}  // namespace

std::vector<std::string> promise_bug_names() {
  std::vector<std::string> names = {"no-margin",
                                    "break-after-commit",
                                    "grant-during-change",
                                    "grant-over-read",
                                    "restart-without-grace",
                                    "grace-by-guess",
                                    "grace-ends-with-any",
                                    "renew-without-ack",
                                    "no-replay-of-breaks",
                                    "ack-of-any-number",
                                    "flushing-for-ever",
                                    "own-session-broken",
                                    "dead-session-kept",
                                    "marks-not-counted",
                                    "extend-without-break",
                                    "evict-without-break",
                                    "clock-not-raised",
                                    "update-grants-during-mark",
                                    "stream-end-ends-lease",
                                    "ready-twice",
                                    "late-own-grant-kept",
                                    "outstanding-forgotten"};
  static_assert(static_cast<std::size_t>(PromiseBug::OutstandingForgotten) + 1 == kPromiseBugs);
  return names;
}

PromiseCore::State::State(const PromiseOptions& options_in, const FormerLife& former,
                          Instant started)
    : options(options_in),
      now(started),
      holders(options.hash_seed),
      mark_stamps(options.stamps),
      grant_stamps(options.stamps),
      absent(former.sessions) {
  sessions.add();
  std::sort(absent.begin(), absent.end());
  Duration longest = former.longest_lease.count() > 0 ? former.longest_lease : options.lease;
  if (options.bugs.has(Bug::GraceByGuess))
    longest = options.lease;
  grace_end = started + longest + options.margin;
  grace = !former.clean && !absent.empty() && !options.bugs.has(Bug::RestartWithoutGrace);
}

// --- time ---

Duration PromiseCore::State::trusted() const {
  const bool margin = !options.bugs.has(Bug::NoMargin);
  return options.lease + (margin ? options.margin : std::chrono::milliseconds(0));
}

void PromiseCore::State::advance(Instant to, PromiseEffects& effects) {
  now = std::max(now, to);
  // Before the leases: what is too late does not become ready because somebody has died meanwhile.
  while (!deadlines.empty() && deadlines.front().when <= now) {
    const ChangeId id = deadlines.front().id;
    std::pop_heap(deadlines.begin(), deadlines.end(), std::greater<>());
    deadlines.pop_back();
    const auto found = changes.find(id);
    if (found != changes.end() && found->second.waiting && found->second.deadline <= now)
      expire_change(id, effects);
  }
  while (!leases.empty() && leases.front().when <= now) {
    const auto [row, life] = leases.front().id;
    std::pop_heap(leases.begin(), leases.end(), std::greater<>());
    leases.pop_back();
    const Session& session = sessions[row];
    const bool counts =
        session.state == Session::State::Live || session.state == Session::State::Doomed;
    if (!counts || session.life != life)
      continue;
    if (session.expires > now) {
      schedule_lease(row);
    } else {
      lease_over(row, effects);
    }
  }
  if (!absent.empty() && now >= grace_end)
    end_grace(effects);
  drain(kDrainAside);
}

void PromiseCore::State::schedule_lease(SessionRow row) {
  leases.push_back({sessions[row].expires, {row, sessions[row].life}});
  std::push_heap(leases.begin(), leases.end(), std::greater<>());
}

void PromiseCore::State::lease_over(SessionRow row, PromiseEffects& effects) {
  Session& session = sessions[row];
  if (options.bugs.has(Bug::DeadSessionKept)) {
    session.expires = now + trusted();
    schedule_lease(row);
    Debt::Released free;
    if (session.debt)
      session.debt->release_all(free);
    session.debt.reset();
    return released(row, free, effects);
  }
  ++totals.sessions_lost;
  if (session.state == Session::State::Live)
    effects.emplace_back(SessionOver{session.id, SessionOver::Why::Lease});
  finish_session(row, effects);
}

void PromiseCore::State::end_grace(PromiseEffects& effects) {
  for (const SessionId id : std::exchange(absent, {}))
    effects.emplace_back(SessionOver{id, SessionOver::Why::Lease});
  if (!std::exchange(grace, false))
    return;
  effects.emplace_back(GraceOver{});
  for (const ChangeId id : std::exchange(grace_changes, {})) {
    const auto found = changes.find(id);
    if (found == changes.end())
      continue;
    found->second.after_grace = false;
    ready_if_done(id, found->second, effects);
  }
}

void PromiseCore::State::drain(std::size_t budget) {
  while (!draining.empty() && budget > 0) {
    const SessionRow row = draining.back();
    Session& session = sessions[row];
    for (; budget > 0 && session.queue.size > 0; --budget)
      holders.pop(row, session.queue);
    if (session.queue.size > 0)
      return;
    draining.pop_back();
    const std::uint32_t life = session.life;
    session = Session{};
    session.life = life + 1;
    free_rows.push_back(row);
  }
}

// --- sessions ---

promises::SessionRow PromiseCore::State::row_of(SessionId id) const {
  const auto found = rows.find(id);
  return found == rows.end() ? SessionRow{0} : found->second;
}

Status PromiseCore::State::add_session(SessionId id) {
  if (rows.contains(id))
    return fail(ErrorCode::AlreadyExists, "session {} is open", id.value);
  if (rows.size() >= options.sessions)
    return fail(ErrorCode::ResourceExhausted, "{} sessions are open", rows.size());
  SessionRow row = 0;
  if (!free_rows.empty()) {
    row = free_rows.back();
    free_rows.pop_back();
  } else if (sessions.size() <= promises::kMaxSessionRow) {
    row = static_cast<SessionRow>(sessions.add());
  } else {
    return fail(ErrorCode::ResourceExhausted,
                "the promises of ended sessions are still in the way");
  }
  Session& session = sessions[row];
  session.id = id;
  session.state = Session::State::Live;
  session.expires = now + trusted();
  session.close_at = static_cast<std::uint32_t>(options.unacknowledged_nodes);
  rows.emplace(id, row);
  schedule_lease(row);
  return {};
}

// Nobody trusts its promises any more.
void PromiseCore::State::finish_session(SessionRow row, PromiseEffects& effects) {
  Session& session = sessions[row];
  if (session.state == Session::State::Live)
    rows.erase(session.id);
  held_renewals.erase(row);
  session.state = Session::State::Draining;
  session.stream = false;
  active -= std::exchange(session.active, 0U);
  draining.push_back(row);
  Debt::Released free;
  if (session.debt)
    session.debt->release_all(free);
  session.debt.reset();
  released(row, free, effects);
}

void PromiseCore::State::doom_session(SessionRow row) {
  Session& session = sessions[row];
  rows.erase(session.id);
  held_renewals.erase(row);
  session.state = Session::State::Doomed;
  session.stream = false;
}

void PromiseCore::State::former_session_is_back(SessionId id, PromiseEffects& effects) {
  absent.erase(std::lower_bound(absent.begin(), absent.end(), id));
  if (grace && (absent.empty() || options.bugs.has(Bug::GraceEndsWithAny))) {
    const auto others = std::exchange(absent, {});
    end_grace(effects);
    absent = others;
  }
}

PromiseCore::PromiseCore(const PromiseOptions& options, const FormerLife& former, Instant started)
    : state_(std::make_unique<State>(options, former, started)) {}

PromiseCore::~PromiseCore() = default;

Status PromiseCore::open_session(SessionId session, Instant now) {
  state_->now = std::max(state_->now, now);
  return state_->add_session(session);
}

Status PromiseCore::resume_session(SessionId session, Instant now, PromiseEffects& effects) {
  State& s = *state_;
  s.advance(now, effects);
  if (s.row_of(session) != 0)
    return {};  // asked again
  if (!std::binary_search(s.absent.begin(), s.absent.end(), session))
    return stale(session);
  TROTH_TRY_VOID(s.add_session(session));
  s.former_session_is_back(session, effects);
  return {};
}

void PromiseCore::end_session(SessionId session, SessionOver::Why why, Instant now,
                              PromiseEffects& effects) {
  State& s = *state_;
  s.advance(now, effects);
  if (std::binary_search(s.absent.begin(), s.absent.end(), session)) {
    effects.emplace_back(SessionOver{session, why});
    return s.former_session_is_back(session, effects);
  }
  const auto row = s.row_of(session);
  if (row == 0)
    return;
  effects.emplace_back(SessionOver{session, why});
  if (why == SessionOver::Why::Closed || why == SessionOver::Why::Replaced) {
    s.finish_session(row, effects);
  } else {
    s.doom_session(row);
  }
}

Status PromiseCore::check_session(SessionId session) const {
  if (state_->row_of(session) == 0)
    return stale(session);
  return {};
}

// --- streams ---

void PromiseCore::State::send_break(Session& session, const promises::Break& b,
                                    PromiseEffects& effects) {
  effects.emplace_back(SendBreak{session.id, b.number, b.clock, b.nodes});
}

void PromiseCore::State::renew(SessionRow row, std::uint64_t number, Instant received,
                               PromiseEffects& effects) {
  Session& session = sessions[row];
  session.expires = std::max(session.expires, received + trusted());
  effects.emplace_back(AcknowledgeRenewal{session.id, number});
}

void PromiseCore::State::renew_held(SessionRow row, PromiseEffects& effects) {
  const auto held = held_renewals.find(row);
  if (held == held_renewals.end())
    return;
  const Session& session = sessions[row];
  if (session.debt && session.debt->overdue(now))
    return;
  const auto [number, received] = held->second;
  held_renewals.erase(held);
  renew(row, number, received, effects);
}

Status PromiseCore::stream_up(SessionId id, Instant now, PromiseEffects& effects) {
  State& s = *state_;
  s.advance(now, effects);
  const auto row = s.row_of(id);
  if (row == 0)
    return stale(id);
  auto& session = s.sessions[row];
  session.stream = true;
  s.held_renewals.erase(row);
  if (!session.debt || s.options.bugs.has(PromiseBug::NoReplayOfBreaks))
    return {};
  for (const auto& b : session.debt->breaks())
    s.send_break(session, b, effects);
  // Half as much again before it is closed again.
  const std::size_t cap = s.options.unacknowledged_nodes;
  session.close_at = static_cast<std::uint32_t>(std::max(cap, session.debt->nodes() + cap / 2));
  return {};
}

void PromiseCore::stream_down(SessionId id, Instant now) {
  State& s = *state_;
  s.now = std::max(s.now, now);
  const auto row = s.row_of(id);
  if (row == 0)
    return;
  s.sessions[row].stream = false;
  s.held_renewals.erase(row);
  if (s.options.bugs.has(PromiseBug::StreamEndEndsLease)) {
    s.sessions[row].expires = s.now;
    s.schedule_lease(row);
  }
}

void PromiseCore::on_renewal(SessionId id, std::uint64_t number, Instant now,
                             PromiseEffects& effects) {
  State& s = *state_;
  s.advance(now, effects);
  const auto row = s.row_of(id);
  if (row == 0 || !s.sessions[row].stream)
    return;
  const auto& debt = s.sessions[row].debt;
  if (debt && debt->overdue(s.now) && !s.options.bugs.has(PromiseBug::RenewWithoutAck)) {
    s.held_renewals[row] = {number, s.now};
    return;
  }
  s.held_renewals.erase(row);
  s.renew(row, number, s.now, effects);
}

Status PromiseCore::on_acknowledge(SessionId id, std::uint64_t number, Instant now,
                                   PromiseEffects& effects) {
  State& s = *state_;
  s.advance(now, effects);
  const auto row = s.row_of(id);
  if (row == 0)
    return stale(id);
  auto& session = s.sessions[row];
  if (!session.stream || number == 0 || number >= session.next_break)
    return fail(ErrorCode::Protocol, "session {} acknowledges break {}, which was not sent",
                id.value, number);
  if (!session.debt)
    return {};  // once more
  if (s.options.bugs.has(PromiseBug::AckOfAnyNumber))
    number = session.next_break - 1;
  Debt::Released free;
  session.debt->acknowledge(number, free);
  if (session.debt->empty()) {
    session.debt.reset();
    session.close_at = static_cast<std::uint32_t>(s.options.unacknowledged_nodes);
  }
  s.renew_held(row, effects);
  s.released(row, free, effects);
  return {};
}

Status PromiseCore::on_flushing(SessionId id, std::uint64_t number, std::chrono::milliseconds more,
                                Instant now, PromiseEffects& effects) {
  State& s = *state_;
  s.advance(now, effects);
  const auto row = s.row_of(id);
  if (row == 0)
    return stale(id);
  auto& session = s.sessions[row];
  if (!session.stream || number == 0 || number >= session.next_break)
    return fail(ErrorCode::Protocol, "session {} flushes for break {}, which was not sent",
                id.value, number);
  if (!session.debt)
    return {};
  const bool for_ever = s.options.bugs.has(PromiseBug::FlushingForEver);
  // What nobody can mean would overflow the clock.
  const Duration asked = std::clamp<Duration>(more, Duration{0}, std::chrono::hours(1));
  session.debt->flush(number, s.now + asked,
                      for_ever ? Duration(std::chrono::hours(1)) : Duration(s.options.lease));
  s.renew_held(row, effects);
  return {};
}

// --- time and figures ---

void PromiseCore::on_time(Instant now, PromiseEffects& effects) {
  state_->advance(now, effects);
  state_->drain(kDrainAtOnce);
}

Instant PromiseCore::next_deadline() const {
  const State& s = *state_;
  if (!s.draining.empty())
    return s.now;
  Instant next = Instant::max();
  if (!s.leases.empty())
    next = std::min(next, s.leases.front().when);
  if (!s.deadlines.empty())
    next = std::min(next, s.deadlines.front().when);
  if (!s.absent.empty())
    next = std::min(next, s.grace_end);
  return next;
}

PromiseCounts PromiseCore::counts() const {
  PromiseCounts counts = state_->totals;
  counts.sessions = state_->rows.size();
  counts.promises = state_->active;
  counts.marked = state_->marks.size();
  counts.waiting_changes = state_->parked;
  counts.grace = state_->grace;
  return counts;
}

bool PromiseCore::clean_to_stop() const {
  const State& s = *state_;
  if (s.active > 0 || s.grace)
    return false;
  for (std::size_t row = 1; row < s.sessions.size(); ++row) {
    if (s.sessions[row].debt)
      return false;
  }
  return true;
}

std::size_t PromiseCore::memory_bytes() const {
  const State& s = *state_;
  // What a node of a standard hash table costs, with its bucket and what malloc adds.
  constexpr std::size_t kEntry = 40;
  std::size_t bytes =
      s.holders.memory_bytes() + s.mark_stamps.memory_bytes() + s.grant_stamps.memory_bytes() +
      s.sessions.memory_bytes() + s.leases.capacity() * sizeof(s.leases[0]) +
      s.deadlines.capacity() * sizeof(s.deadlines[0]) +
      kEntry * (s.rows.size() + s.marks.size() + s.held_renewals.size() + s.evicting.size()) +
      s.changes.size() * (kEntry + sizeof(promises::Change));
  for (std::size_t row = 1; row < s.sessions.size(); ++row) {
    if (const auto& debt = s.sessions[row].debt)
      bytes += debt->memory_bytes();
  }
  return bytes;
}

}  // namespace fileserver
