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
                                    "outstanding-forgotten",
                                    "redial-without-lease",
                                    "hello-while-overdue",
                                    "last-mark-ignored",
                                    "flushers-wait",
                                    "replaced-at-once"};
  static_assert(static_cast<std::size_t>(PromiseBug::ReplacedAtOnce) + 1 == kPromiseBugs);
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
  while (!flush_ends.empty() && flush_ends.front().when <= now) {
    const auto [row, life] = flush_ends.front().id;
    std::pop_heap(flush_ends.begin(), flush_ends.end(), std::greater<>());
    flush_ends.pop_back();
    if (sessions[row].life == life && sessions[row].debt)
      end_flushing(row, effects);
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
    effects.emplace_back(SessionOver{session.id, SessionOver::Why::Lease, session.debt != nullptr});
  effects.emplace_back(ForgetSession{session.id});
  finish_session(row, effects);
}

void PromiseCore::State::end_grace(PromiseEffects& effects) {
  for (const SessionId id : std::exchange(absent, {})) {
    effects.emplace_back(SessionOver{id, SessionOver::Why::Lease});
    effects.emplace_back(ForgetSession{id});
  }
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

// Its promises and debts are gone; the session and its numbers go on, in another row.
Status PromiseCore::State::renew_row(SessionRow row, PromiseEffects& effects) {
  const SessionId id = sessions[row].id;
  const std::uint64_t next_break = sessions[row].next_break;
  const std::uint64_t sent = sessions[row].sent;
  finish_session(row, effects);
  TROTH_TRY_VOID(add_session(id));
  Session& fresh = sessions[row_of(id)];
  fresh.next_break = next_break;
  fresh.sent = sent;
  return {};
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
  if (const auto row = s.row_of(session); row != 0) {
    if (s.sessions[row].stream)
      effects.emplace_back(CloseStream{session, "the session has resumed"});
    return s.renew_row(row, effects);
  }
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
    // For any other reason it stays among those that changes wait for.
    if (why == SessionOver::Why::Closed) {
      effects.emplace_back(SessionOver{session, why});
      effects.emplace_back(ForgetSession{session});
      s.former_session_is_back(session, effects);
    }
    return;
  }
  const auto row = s.row_of(session);
  if (row == 0)
    return;
  effects.emplace_back(SessionOver{session, why});
  const bool replaced_at_once =
      why == SessionOver::Why::Replaced && s.options.bugs.has(PromiseBug::ReplacedAtOnce);
  if (why == SessionOver::Why::Closed || replaced_at_once) {
    effects.emplace_back(ForgetSession{session});
    s.finish_session(row, effects);
  } else {
    s.doom_session(row);
  }
}

void PromiseCore::break_session(SessionId session, Instant now, PromiseEffects& effects) {
  State& s = *state_;
  s.advance(now, effects);
  const auto row = s.row_of(session);
  if (row == 0)
    return;
  // What it owes already is passed over, and there is no more of that than breaks can hold.
  constexpr int kMostIdle = 64;
  for (int idle = 0; s.sessions[row].active > 0 && idle < kMostIdle;) {
    const auto before = s.sessions[row].active;
    s.evict(row, s.options.nodes_per_break, effects);
    idle = s.sessions[row].active == before ? idle + 1 : 0;
  }
}

Status PromiseCore::check_session(SessionId session) const {
  if (state_->row_of(session) == 0)
    return stale(session);
  return {};
}

// --- streams ---

// As many as the stream holds.
void PromiseCore::State::send_breaks(SessionRow row, PromiseEffects& effects) {
  Session& session = sessions[row];
  if (!session.stream || !session.debt)
    return;
  Debt& debt = *session.debt;
  std::size_t under_way = debt.nodes_up_to(debt.sent);
  while (const promises::Break* next = debt.next_after(debt.sent)) {
    const std::size_t size = std::max<std::size_t>(1, next->nodes.size());
    if (under_way > 0 && under_way + size > options.nodes_under_way)
      return;
    effects.emplace_back(SendBreak{session.id, next->number, next->clock, next->nodes});
    debt.sent = next->number;
    session.sent = std::max(session.sent, debt.sent);
    under_way += size;
  }
}

// Some of its debt is gone.
void PromiseCore::State::settled(SessionRow row, const Debt::Released& free,
                                 PromiseEffects& effects) {
  Session& session = sessions[row];
  const bool everything = session.debt->gave_everything();
  if (session.debt->empty()) {
    session.debt.reset();
    session.close_at = static_cast<std::uint32_t>(options.unacknowledged_nodes);
  }
  send_breaks(row, effects);
  renew_held(row, effects);
  released(row, free, effects);
  if (!everything)
    return;
  const Session old = {.expires = session.expires, .stream = session.stream};
  if (!renew_row(row, effects))
    return;
  Session& fresh = sessions[row_of(session.id)];
  fresh.expires = old.expires;
  fresh.stream = old.stream;
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
  const auto& bugs = s.options.bugs;
  if (session.debt && session.debt->overdue(s.now) && !bugs.has(PromiseBug::HelloWhileOverdue)) {
    return fail(ErrorCode::Stale, "session {} owes an acknowledgement for too long; resume it",
                id.value);
  }
  session.stream = true;
  s.held_renewals.erase(row);
  if (!bugs.has(PromiseBug::RedialWithoutLease))
    session.expires = std::max(session.expires, s.now + s.trusted());
  if (session.debt)
    session.debt->sent = bugs.has(PromiseBug::NoReplayOfBreaks) ? session.next_break - 1 : 0;
  // Half as much again before it is closed again.
  const std::size_t cap = s.options.unacknowledged_nodes;
  const std::size_t owed = session.debt ? session.debt->nodes() + cap / 2 : 0;
  session.close_at = static_cast<std::uint32_t>(std::max(cap, owed));
  s.send_breaks(row, effects);
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
  if (!session.stream || number == 0 || number > session.sent)
    return fail(ErrorCode::Protocol, "session {} acknowledges break {}, which was not sent",
                id.value, number);
  if (!session.debt)
    return {};  // once more
  if (s.options.bugs.has(PromiseBug::AckOfAnyNumber))
    number = session.next_break - 1;
  Debt::Released free;
  session.debt->acknowledge(number, free);
  s.settled(row, free, effects);
  return {};
}

// --- flushing (R29) ---

bool PromiseCore::State::flushes(SessionRow row) const {
  return row != 0 && sessions[row].debt && sessions[row].debt->flushes();
}

// So that two that flush do not wait for each other, nor more of them in a ring.
void PromiseCore::State::exempt_from_flushing(PromiseEffects& effects) {
  std::erase_if(flushers, [&](SessionRow row) { return !flushes(row); });
  if (options.bugs.has(Bug::FlushersWait))
    return;
  for (const SessionRow row : std::vector(flushers)) {
    Debt::Released free;
    const auto exempt = [&](const Debt::Waiter& waiter) {
      const auto found = changes.find(waiter.change);
      return found == changes.end() || flushes(living_origin(found->second));
    };
    if (sessions[row].debt)
      sessions[row].debt->release_exempt(exempt, free);
    released(row, free, effects);
  }
}

void PromiseCore::State::end_flushing(SessionRow row, PromiseEffects& effects) {
  Debt& debt = *sessions[row].debt;
  const auto numbers = debt.flushed(now);
  Debt::Released free;
  for (const std::uint64_t number : numbers)
    debt.settle(number, free);
  if (!numbers.empty())
    settled(row, free, effects);
  std::erase_if(flushers, [&](SessionRow other) { return !flushes(other); });
}

Status PromiseCore::on_flushing(SessionId id, std::uint64_t number, std::chrono::milliseconds more,
                                bool may_write, Instant now, PromiseEffects& effects) {
  State& s = *state_;
  s.advance(now, effects);
  const auto row = s.row_of(id);
  if (row == 0)
    return stale(id);
  auto& session = s.sessions[row];
  if (!session.stream || number == 0 || number > session.sent)
    return fail(ErrorCode::Protocol, "session {} flushes for break {}, which was not sent",
                id.value, number);
  if (!session.debt)
    return {};
  Debt& debt = *session.debt;
  if (!may_write) {
    Debt::Released free;
    debt.settle(number, free);
    s.settled(row, free, effects);
    return {};
  }
  const bool for_ever = s.options.bugs.has(PromiseBug::FlushingForEver);
  const Duration longest = for_ever ? Duration(std::chrono::hours(1)) : s.options.lease;
  // What nobody can mean would overflow the clock.
  const Duration asked = std::clamp<Duration>(more, Duration{0}, std::chrono::hours(1));
  const bool first = !debt.flushes(number);
  const auto until = debt.flush(number, s.now + asked, s.now + longest);
  if (!until)
    return {};
  s.flush_ends.push_back({*until, {row, session.life}});
  std::push_heap(s.flush_ends.begin(), s.flush_ends.end(), std::greater<>());
  if (!first)
    return {};
  s.flushers.push_back(row);
  s.exempt_from_flushing(effects);
  s.send_breaks(row, effects);
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
  if (!s.flush_ends.empty())
    next = std::min(next, s.flush_ends.front().when);
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

void PromiseCore::break_everything(Instant now, PromiseEffects& effects) {
  State& s = *state_;
  s.advance(now, effects);
  if (std::exchange(s.stopping, true))
    return;
  for (std::size_t row = 1; row < s.sessions.size(); ++row) {
    auto& session = s.sessions[row];
    if (session.state != promises::Session::State::Live)
      continue;
    const std::uint64_t number = session.next_break;
    s.owe(static_cast<State::SessionRow>(row), s.new_break(session), effects);
    session.debt->ask_everything(number);
  }
}

bool PromiseCore::clean_to_stop() const {
  const State& s = *state_;
  if (s.active > 0 || s.grace)
    return false;
  for (std::size_t row = 1; row < s.sessions.size(); ++row) {
    if (s.sessions[row].debt || s.sessions[row].state == promises::Session::State::Doomed)
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
      s.flush_ends.capacity() * sizeof(s.flush_ends[0]) +
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
