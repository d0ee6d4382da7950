// What is promised, and what is taken back for room.

#include <algorithm>
#include <utility>

#include "fileserver/promises/promise_core.hpp"
#include "fileserver/promises/promise_state.hpp"

namespace fileserver {

using common::sim::buggify;
using promises::HolderTable;
using promises::pack;

namespace {

// So often at most the largest session is looked for: it takes a look at all of them.
constexpr std::size_t kGrantsPerSearch = 64;
// Holders that are not active, over as many as are, before a queue is tidied.
constexpr std::uint32_t kIdleHolders = 64;
constexpr int kTidySteps = 4;

std::uint64_t node_hash(Fid node) {
  return promises::hash_of(node.node.value, node.volume.value);
}

}  // namespace

std::uint64_t PromiseCore::State::grant_hash(SessionRow row, NodeKey key) const {
  return promises::hash_of(key, row);
}

bool PromiseCore::State::changed_since(Fid node, std::uint64_t token) const {
  return mark_stamps.since(node_hash(node), token);
}

void PromiseCore::State::mark(std::span<const Touched> nodes) {
  ++clock;
  for (const Touched& touched : nodes) {
    ++marks[touched.node];
    mark_stamps.set(node_hash(touched.node), clock);
  }
}

void PromiseCore::State::unmark(std::span<const Touched> nodes) {
  ++clock;
  for (const Touched& touched : nodes) {
    const auto found = marks.find(touched.node);
    if (found != marks.end() && (--found->second == 0 || options.bugs.has(Bug::MarksNotCounted)))
      marks.erase(found);
    mark_stamps.set(node_hash(touched.node), clock);
  }
}

ReadToken PromiseCore::begin_read() const {
  return state_->clock;
}

std::vector<bool> PromiseCore::grant(SessionId id, std::span<const Fid> nodes, ReadToken token,
                                     Instant now, std::uint64_t& clock, PromiseEffects& effects) {
  State& s = *state_;
  s.advance(now, effects);
  clock = 0;
  std::vector<bool> granted(nodes.size(), false);
  const auto row = s.row_of(id);
  if (row == 0 || !s.sessions[row].stream || s.stopping)
    return granted;
  // Before the clock grows: what is broken now for room is none of what is granted now.
  s.make_room(row, nodes.size(), effects);
  ++s.clock;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const bool marked =
        s.marks.contains(nodes[i]) && !s.options.bugs.has(PromiseBug::GrantDuringChange);
    const bool changed =
        s.changed_since(nodes[i], token) && !s.options.bugs.has(PromiseBug::GrantOverRead);
    const auto key = pack(nodes[i]);
    if (marked || changed || !key || buggify(s.options.buggify, "promise-refuse-grant"))
      continue;
    granted[i] = s.grant_one(row, *key);
    if (granted[i])
      clock = s.clock;
  }
  return granted;
}

bool PromiseCore::State::grant_one(SessionRow row, NodeKey key) {
  Session& session = sessions[row];
  const std::size_t evicted = session.debt ? session.debt->evicted_nodes() : 0;
  const bool full = session.active + evicted >= options.promises_per_session ||
                    holders.holders() >= options.promises;
  if (stopping || (full && !holders.is_active(key, row)))
    return false;
  if (holders.add(key, row, session.queue) != HolderTable::Added::AlreadyActive) {
    ++session.active;
    ++active;
  }
  ++totals.granted;
  grant_stamps.set(grant_hash(row, key), clock);
  tidy_queue(row);
  return true;
}

// Holders that are not active are dropped from the front. An active one among them becomes the
// newest: the order of age is about right.
void PromiseCore::State::tidy_queue(SessionRow row) {
  Session& session = sessions[row];
  for (int i = 0; i < kTidySteps; ++i) {
    if (session.queue.size - session.active <= session.active + kIdleHolders)
      return;
    const auto oldest = holders.oldest(row, session.queue);
    const bool owed = session.debt && session.debt->newest(oldest.key) != 0;
    if (oldest.active || owed) {
      holders.rotate(session.queue);
    } else {
      holders.pop(row, session.queue);
    }
  }
}

void PromiseCore::State::make_room(SessionRow row, std::size_t wanted, PromiseEffects& effects) {
  const Session& session = sessions[row];
  const std::size_t cap = options.promises_per_session;
  const std::size_t at_once = std::max<std::size_t>(1, std::min(options.evict_at_once, cap / 4));
  const std::size_t evicted = session.debt ? session.debt->evicted_nodes() : 0;
  const bool early = buggify(options.buggify, "promise-evict-early");
  if (evicted == 0 && session.active > 0) {
    if (session.active + wanted + at_once > cap) {
      evict(row, at_once, effects);
    } else if (early) {
      evict(row, 1, effects);
    }
  }
  const std::size_t spare = std::min(options.evict_at_once, options.promises / 4);
  if (holders.holders() + wanted + spare <= options.promises || clock < next_eviction)
    return;
  next_eviction = clock + std::min(kGrantsPerSearch, spare);
  if (const SessionRow largest = largest_session(); largest != 0)
    evict(largest, std::max<std::size_t>(1, spare), effects);
}

promises::SessionRow PromiseCore::State::largest_session() const {
  SessionRow largest = 0;
  for (std::size_t row = 1; row < sessions.size(); ++row) {
    const Session& session = sessions[row];
    if (session.state == Session::State::Live && session.queue.size > sessions[largest].queue.size)
      largest = static_cast<SessionRow>(row);
  }
  return largest;
}

// The oldest of a session. They are not in the table any more, but a change of one of them waits
// for the acknowledgement like that of any other.
void PromiseCore::State::evict(SessionRow row, std::size_t count, PromiseEffects& effects) {
  Session& session = sessions[row];
  auto fresh = new_break(session);
  fresh.evicted = true;
  for (std::size_t step = 0; step < 4 * count && fresh.nodes.size() < count; ++step) {
    if (session.queue.size == 0)
      break;
    const auto oldest = holders.oldest(row, session.queue);
    if (!oldest.active && session.debt && session.debt->newest(oldest.key) != 0) {
      holders.rotate(session.queue);
      continue;
    }
    holders.pop(row, session.queue);
    if (!oldest.active)
      continue;
    --session.active;
    --active;
    ++totals.evicted;
    fresh.nodes.push_back(Touched{.node = promises::unpack(oldest.key)});
  }
  if (fresh.nodes.empty() || options.bugs.has(Bug::EvictWithoutBreak))
    return;
  for (const Touched& touched : fresh.nodes)
    evicting.emplace(touched.node, row);
  owe(row, std::move(fresh), effects);
}

void PromiseCore::State::forget_evicted(SessionRow row, const std::vector<Fid>& nodes) {
  for (const Fid node : nodes) {
    const auto [begin, end] = evicting.equal_range(node);
    const auto mine =
        std::find_if(begin, end, [&](const auto& entry) { return entry.second == row; });
    if (mine != end)
      evicting.erase(mine);
  }
}

}  // namespace fileserver
