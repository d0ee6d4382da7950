// What a change waits for.

#include <algorithm>
#include <functional>
#include <utility>

#include "fileserver/promises/promise_core.hpp"
#include "fileserver/promises/promise_state.hpp"

namespace fileserver {

using common::ErrorCode;
using common::fail;
using common::sim::buggify;
using promises::Debt;
using promises::pack;

namespace {

// One entry for each node, in order of node; what is known of it from several is put together.
std::vector<Touched> merged(std::span<const Touched> nodes) {
  std::vector<Touched> sorted(nodes.begin(), nodes.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const Touched& a, const Touched& b) { return a.node < b.node; });
  std::vector<Touched> result;
  result.reserve(sorted.size());
  for (const Touched& touched : sorted) {
    if (!result.empty() && result.back().node == touched.node) {
      result.back().what |= touched.what;
      result.back().named = result.back().named || touched.named;
    } else {
      result.push_back(touched);
    }
  }
  return result;
}

// Waiters of changes that are no more are dropped whenever so many have been added.
constexpr std::size_t kWaitersPerSweep = 1024;

// Deadlines of changes that wait no more are dropped when they are the most, and more than these.
constexpr std::size_t kDeadlinesKept = 256;

// For ClockNotRaised.
constexpr std::uint64_t kTicksBack = 4;

std::chrono::milliseconds whole_ms(common::Duration d) {
  return std::chrono::ceil<std::chrono::milliseconds>(d);
}

}  // namespace

// --- whom to ask ---

promises::SessionRow PromiseCore::State::living_origin(const Change& change) const {
  const bool lives = change.origin != 0 && row_of(change.origin_id) == change.origin &&
                     sessions[change.origin].life == change.origin_life;
  return lives ? change.origin : SessionRow{0};
}

// Grants that its mount knew of when it sent the call, on a node that the call names.
bool PromiseCore::State::withdrew_itself(const Change& change, const Touched& touched,
                                         NodeKey key) const {
  if (options.bugs.has(Bug::OwnSessionBroken))
    return false;
  return touched.named && (options.bugs.has(Bug::LateOwnGrantKept) ||
                           !grant_stamps.since(grant_hash(change.origin, key), change.seen));
}

void PromiseCore::State::collect(const Change& change, std::size_t first,
                                 std::vector<Ask>& asks) const {
  const SessionRow origin = living_origin(change);
  for (std::size_t i = first; i < change.nodes.size(); ++i) {
    const Touched& touched = change.nodes[i];
    const auto key = pack(touched.node);
    if (!key)
      continue;
    const bool itself = origin != 0 && withdrew_itself(change, touched, *key);
    const auto node = static_cast<std::uint32_t>(i);
    const auto visit = [&](SessionRow row, bool is_active) {
      const Session& session = sessions[row];
      if (session.state == Session::State::Draining)
        return;
      if (row == origin && itself) {
        if (is_active)
          asks.push_back({row, node, Ask::kItself});
        return;
      }
      const std::uint64_t owed =
          session.debt && !is_active && !options.bugs.has(Bug::OutstandingForgotten)
              ? session.debt->newest(*key)
              : 0;
      if (is_active || owed != 0)
        asks.push_back({row, node, owed});
    };
    holders.each(*key, visit);
    const auto [begin, end] = evicting.equal_range(touched.node);
    for (auto it = begin; it != end; ++it) {
      if (!holders.is_active(*key, it->second))
        visit(it->second, false);
    }
  }
}

void PromiseCore::State::ask(ChangeId id, Change& change, std::vector<Ask> asks,
                             PromiseEffects& effects) {
  std::sort(asks.begin(), asks.end());
  asks.erase(std::unique(asks.begin(), asks.end()), asks.end());
  for (std::size_t begin = 0; begin < asks.size();) {
    std::size_t end = begin;
    while (end < asks.size() && asks[end].row == asks[begin].row)
      ++end;
    ask_one(id, change, std::span(asks).subspan(begin, end - begin), effects);
    begin = end;
  }
}

// All that is asked of one session.
void PromiseCore::State::ask_one(ChangeId id, Change& change, std::span<const Ask> asks,
                                 PromiseEffects& effects) {
  const SessionRow row = asks.front().row;
  Session& session = sessions[row];
  std::vector<Touched> nodes;
  std::vector<std::uint64_t> numbers;
  for (const Ask& one : asks) {
    const Touched& touched = change.nodes[one.node];
    if (one.number == Ask::kItself || one.number == Ask::kNew) {
      holders.withdraw(*pack(touched.node), row);
      --session.active;
      --active;
    }
    if (one.number == Ask::kItself)
      continue;
    change.asked.push_back({row, session.id, one.node});
    if (one.number == Ask::kNew) {
      nodes.push_back(touched);
    } else if (std::find(numbers.begin(), numbers.end(), one.number) == numbers.end()) {
      numbers.push_back(one.number);
    }
  }
  for (const std::uint64_t number : numbers) {
    // Who flushes anything waits for nobody's flushing.
    const bool exempt = session.debt->flushes(number) && flushes(living_origin(change)) &&
                        !options.bugs.has(Bug::FlushersWait);
    if (!exempt)
      wait_for(id, change, session, number);
  }
  for (std::size_t begin = 0; begin < nodes.size(); begin += options.nodes_per_break) {
    auto fresh = new_break(session);
    const std::size_t end = std::min(nodes.size(), begin + options.nodes_per_break);
    fresh.nodes.assign(nodes.begin() + static_cast<std::ptrdiff_t>(begin),
                       nodes.begin() + static_cast<std::ptrdiff_t>(end));
    const std::uint64_t number = fresh.number;
    owe(row, std::move(fresh), effects);
    wait_for(id, change, session, number);
  }
}

promises::Break PromiseCore::State::new_break(const Session& session) const {
  const common::Duration third = options.lease / 3;
  return {
      .number = session.next_break,
      .clock = options.bugs.has(Bug::ClockNotRaised) ? clock - std::min(clock, kTicksBack) : clock,
      .overdue = now + third,
      .flush_until = {},
      .flush_end = {},
      .nodes = {}};
}

void PromiseCore::State::owe(SessionRow row, promises::Break fresh, PromiseEffects& effects) {
  Session& session = sessions[row];
  session.next_break = fresh.number + 1;
  ++totals.breaks;
  if (!session.debt)
    session.debt = std::make_unique<Debt>();
  session.debt->add(std::move(fresh));
  send_breaks(row, effects);
  if (!session.stream || session.debt->nodes() <= session.close_at)
    return;
  session.stream = false;
  effects.emplace_back(CloseStream{session.id, "too much that it was told is not acknowledged"});
}

void PromiseCore::State::wait_for(ChangeId id, Change& change, Session& session,
                                  std::uint64_t number) {
  Debt& debt = *session.debt;
  if (debt.waiters() % kWaitersPerSweep == kWaitersPerSweep - 1) {
    debt.forget_waiters([&](const Debt::Waiter& waiter) {
      const auto found = changes.find(waiter.change);
      return found == changes.end() || found->second.round != waiter.round;
    });
  }
  debt.wait({number, id, change.round});
  ++change.pending;
}

// --- waiting ---

Status PromiseCore::State::room_to_wait(const Change& change) const {
  const bool full = parked >= options.parked_changes;
  const SessionRow origin = living_origin(change);
  const bool greedy = origin != 0 && sessions[origin].parked >= options.parked_per_session;
  if (!full && !greedy)
    return {};
  common::Error error{ErrorCode::Overloaded,
                      full ? "too many changes wait for what mounts have been promised"
                           : "too many changes of this mount wait for what others were promised"};
  error.retry_after = std::chrono::seconds(1);
  return tl::unexpected<common::Error>(std::move(error));
}

void PromiseCore::State::set_waiting(ChangeId id, Change& change) {
  change.waiting = true;
  ++parked;
  change.counted = living_origin(change) != 0;
  if (change.counted)
    ++sessions[change.origin].parked;
  if (options.bugs.has(Bug::ReadyTwice) && change.round > 1)
    return;
  if (deadlines.size() > kDeadlinesKept && deadlines.size() > 4 * parked) {
    std::erase_if(deadlines, [&](const Due<ChangeId>& due) {
      const auto found = changes.find(due.id);
      return found == changes.end() || !found->second.waiting;
    });
    std::make_heap(deadlines.begin(), deadlines.end(), std::greater<>());
  }
  deadlines.push_back({change.deadline, id});
  std::push_heap(deadlines.begin(), deadlines.end(), std::greater<>());
}

void PromiseCore::State::stop_waiting(Change& change) {
  if (!std::exchange(change.waiting, false))
    return;
  --parked;
  if (change.counted && sessions[change.origin].life == change.origin_life)
    --sessions[change.origin].parked;
}

void PromiseCore::State::ready_if_done(ChangeId id, Change& change, PromiseEffects& effects) {
  if (!change.waiting || change.pending > 0 || change.after_grace)
    return;
  if (now >= change.deadline && !options.bugs.has(Bug::ReadyTwice))
    return expire_change(id, effects);
  stop_waiting(change);
  make_ready(id, change, effects);
}

void PromiseCore::State::make_ready(ChangeId id, Change& change, PromiseEffects& effects) {
  change.ready_clock = clock;
  effects.emplace_back(ChangeReady{id});
}

void PromiseCore::State::released(SessionRow row, const Debt::Released& free,
                                  PromiseEffects& effects) {
  forget_evicted(row, free.evicted);
  for (const Debt::Waiter& waiter : free.waiters) {
    const auto found = changes.find(waiter.change);
    if (found == changes.end() || found->second.round != waiter.round)
      continue;
    --found->second.pending;
    ready_if_done(waiter.change, found->second, effects);
  }
}

promises::Change PromiseCore::State::take_change(ChangeId id) {
  const auto found = changes.find(id);
  Change change = std::move(found->second);
  stop_waiting(change);
  changes.erase(found);
  unmark(change.nodes);
  return change;
}

void PromiseCore::State::expire_change(ChangeId id, PromiseEffects& effects) {
  take_change(id);
  effects.emplace_back(ChangeExpired{id});
}

Status PromiseCore::begin_change(ChangeId id, std::optional<ChangeOrigin> origin,
                                 std::span<const Touched> nodes, Instant deadline, Instant now,
                                 PromiseEffects& effects) {
  State& s = *state_;
  s.advance(now, effects);
  if (s.changes.contains(id))
    return fail(ErrorCode::AlreadyExists, "change {} has begun", id);
  if (s.now >= deadline)
    return fail(ErrorCode::DeadlineExceeded, "the deadline has passed before anything was done");
  promises::Change change{
      .deadline = deadline, .round = 1, .nodes = merged(nodes), .last = {}, .asked = {}};
  if (origin) {
    change.origin = s.row_of(origin->session);
    change.origin_life = s.sessions[change.origin].life;
    change.origin_id = origin->session;
    change.seen = origin->seen;
    if (change.origin == 0)
      return fail(ErrorCode::Stale, "session {} is over", origin->session.value);
  }
  if (s.grace && deadline < s.grace_end) {
    common::Error error{ErrorCode::Unavailable,
                        "the server was restarted, and mounts may still trust what it promised"};
    error.retry_after = whole_ms(s.grace_end - s.now);
    return tl::unexpected<common::Error>(std::move(error));
  }
  std::vector<State::Ask> asks;
  if (!s.options.bugs.has(PromiseBug::BreakAfterCommit))
    s.collect(change, 0, asks);
  const bool waits = s.grace || std::any_of(asks.begin(), asks.end(), [](const State::Ask& a) {
                       return a.number != State::Ask::kItself;
                     });
  if (waits)
    TROTH_TRY_VOID(s.room_to_wait(change));
  auto& mine = s.changes.emplace(id, std::move(change)).first->second;
  s.mark(mine.nodes);
  s.ask(id, mine, std::move(asks), effects);
  if (!waits || (mine.pending == 0 && !s.grace)) {
    s.make_ready(id, mine, effects);
    return {};
  }
  if (s.grace) {
    mine.after_grace = true;
    s.grace_changes.push_back(id);
  }
  s.set_waiting(id, mine);
  return {};
}

Status PromiseCore::extend_change(ChangeId id, std::span<const Touched> nodes, Instant now,
                                  PromiseEffects& effects) {
  State& s = *state_;
  s.advance(now, effects);
  const auto found = s.changes.find(id);
  if (found == s.changes.end() || found->second.waiting)
    return fail(ErrorCode::Internal, "change {} is not ready, so it cannot grow", id);
  auto& change = found->second;
  if (s.now >= change.deadline && !s.options.bugs.has(PromiseBug::ReadyTwice))
    return fail(ErrorCode::DeadlineExceeded, "the deadline has passed before anything was changed");
  std::vector<Touched> more = merged(nodes);
  std::erase_if(more, [&](const Touched& touched) {
    return std::any_of(change.nodes.begin(), change.nodes.end(),
                       [&](const Touched& old) { return old.node == touched.node; });
  });
  const std::size_t first = change.nodes.size();
  change.nodes.insert(change.nodes.end(), more.begin(), more.end());
  std::vector<State::Ask> asks;
  if (!s.options.bugs.has(PromiseBug::ExtendWithoutBreak))
    s.collect(change, first, asks);
  const bool waits = std::any_of(asks.begin(), asks.end(), [](const State::Ask& a) {
    return a.number != State::Ask::kItself;
  });
  if (auto room = waits ? s.room_to_wait(change) : Status{}; !room) {
    change.nodes.resize(first);
    return room;
  }
  ++change.round;
  change.pending = 0;
  s.mark(more);
  s.ask(id, change, std::move(asks), effects);
  if (change.pending == 0) {
    s.make_ready(id, change, effects);
  } else {
    s.set_waiting(id, change);
  }
  return {};
}

bool PromiseCore::marked(ChangeId id, Fid node) const {
  const auto found = state_->changes.find(id);
  return found != state_->changes.end() &&
         std::any_of(found->second.nodes.begin(), found->second.nodes.end(),
                     [&](const Touched& touched) { return touched.node == node; });
}

// --- afterwards ---

std::vector<bool> PromiseCore::State::last_marked(const Change& change) const {
  std::vector<bool> last;
  last.reserve(change.nodes.size());
  for (const Touched& touched : change.nodes) {
    last.push_back(options.bugs.has(Bug::LastMarkIgnored) ||
                   !changed_since(touched.node, change.ready_clock));
  }
  return last;
}

std::vector<Fid> PromiseCore::State::grant_anew(const Change& change) {
  std::vector<Fid> granted;
  const SessionRow row = living_origin(change);
  if (row == 0 || !sessions[row].stream)
    return granted;
  for (std::size_t i = 0; i < change.nodes.size(); ++i) {
    const Fid node = change.nodes[i].node;
    const auto key = pack(node);
    if (key && change.last[i] && !marks.contains(node) && grant_one(row, *key))
      granted.push_back(node);
  }
  return granted;
}

void PromiseCore::State::send_updates(ChangeId id, Change& change, PromiseEffects& effects) {
  auto& asked = change.asked;
  std::stable_sort(asked.begin(), asked.end(),
                   [](const auto& a, const auto& b) { return a.row < b.row; });
  for (std::size_t i = 0; i < asked.size();) {
    const SessionRow row = asked[i].row;
    const Session& session = sessions[row];
    const bool there = session.state == Session::State::Live && session.id == asked[i].id &&
                       session.stream && !buggify(options.buggify, "promise-no-update");
    SendUpdate update{
        .session = session.id, .change = id, .grant_clock = clock, .nodes = {}, .granted = {}};
    for (; i < asked.size() && asked[i].row == row; ++i) {
      if (!there)
        continue;
      const Fid node = change.nodes[asked[i].node].node;
      const auto key = pack(node);
      const bool marked = marks.contains(node) && !options.bugs.has(Bug::UpdateGrantsDuringMark);
      update.nodes.push_back(node);
      update.granted.push_back(key && change.last[asked[i].node] && !marked &&
                               grant_one(row, *key));
    }
    if (there)
      effects.emplace_back(std::move(update));
  }
}

PromiseCore::Ended PromiseCore::end_change(ChangeId id, bool committed, Instant now,
                                           PromiseEffects& effects) {
  State& s = *state_;
  s.advance(now, effects);
  const auto found = s.changes.find(id);
  if (found == s.changes.end())
    return {};
  auto last = s.last_marked(found->second);
  auto change = s.take_change(id);
  if (!committed)
    return {};
  change.last = std::move(last);
  if (s.options.bugs.has(PromiseBug::BreakAfterCommit)) {
    std::vector<State::Ask> asks;
    s.collect(change, 0, asks);
    s.ask(id, change, std::move(asks), effects);
  }
  ++s.clock;
  Ended ended;
  ended.granted = s.grant_anew(change);
  if (s.living_origin(change) != 0)
    ended.clock = s.clock;
  s.send_updates(id, change, effects);
  return ended;
}

}  // namespace fileserver
