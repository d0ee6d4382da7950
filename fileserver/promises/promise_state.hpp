#pragma once

// Private to the core: all that it knows, and the steps that its parts share. promise_core.cpp has
// sessions, streams and time; promise_grants.cpp what is given and taken back for room;
// promise_changes.cpp what a change waits for.

#include <compare>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fileserver/promises/debt.hpp"
#include "fileserver/promises/holder_table.hpp"
#include "fileserver/promises/promise_core.hpp"
#include "fileserver/promises/segmented.hpp"
#include "fileserver/promises/stamps.hpp"

namespace fileserver::promises {

struct Session {
  enum class State : std::uint8_t {
    Free,
    Live,
    Doomed,    // over for everybody, but its mount may still trust: changes wait for its lease
    Draining,  // nobody trusts it; its promises are taken out of the table bit by bit
  };
  SessionId id;
  Instant expires;  // with margin
  std::unique_ptr<Debt> debt;
  std::uint64_t next_break = 1;
  std::uint64_t sent = 0;  // breaks up to this number, on whatever stream
  HolderQueue queue;
  std::uint32_t active = 0;    // of the queue, those that are promised
  std::uint32_t parked = 0;    // its own changes that wait
  std::uint32_t close_at = 0;  // nodes in unacknowledged breaks at which its stream is closed
  std::uint32_t life = 0;      // of the row: counts sessions
  State state = State::Free;
  bool stream = false;
};

// The newest renewal that could not be acknowledged when it came.
struct HeldRenewal {
  std::uint64_t number = 0;
  Instant received;
};

struct Change {
  SessionRow origin = 0;
  std::uint32_t origin_life = 0;  // of the row: resumed twice, a session may be in it again
  SessionId origin_id;
  std::uint64_t seen = 0;
  Instant deadline;
  std::uint64_t ready_clock = 0;  // when it was ready last
  std::uint32_t round = 0;        // counts its waits
  std::size_t pending = 0;        // breaks to be acknowledged
  bool waiting = false;
  bool counted = false;      // among the parked changes of its session
  bool after_grace = false;  // waits for the end of grace, too
  std::vector<Touched> nodes;
  std::vector<bool> last;  // as nodes, at its end: nobody has committed them since it was ready
  // Who was asked for what: `nodes[node]`. In order of session.
  struct Asked {
    SessionRow row = 0;
    SessionId id;
    std::uint32_t node = 0;
  };
  std::vector<Asked> asked;
};

}  // namespace fileserver::promises

namespace fileserver {

struct PromiseCore::State {
  using Bug = PromiseBug;
  using SessionRow = promises::SessionRow;
  using NodeKey = promises::NodeKey;
  using Session = promises::Session;
  using Change = promises::Change;

  State(const PromiseOptions& options, const FormerLife& former, Instant started);

  // --- promise_core.cpp ---
  // Every step begins with it: whose time has come, goes.
  void advance(Instant to, PromiseEffects& effects);
  Status add_session(SessionId id);
  [[nodiscard]] SessionRow row_of(SessionId id) const;  // 0: not live
  void renew(SessionRow row, std::uint64_t number, Instant received, PromiseEffects& effects);
  void renew_held(SessionRow row, PromiseEffects& effects);
  void send_breaks(SessionRow row, PromiseEffects& effects);
  void settled(SessionRow row, const promises::Debt::Released& free, PromiseEffects& effects);
  void end_flushing(SessionRow row, PromiseEffects& effects);
  void exempt_from_flushing(PromiseEffects& effects);
  [[nodiscard]] bool flushes(SessionRow row) const;
  void finish_session(SessionRow row, PromiseEffects& effects);
  [[nodiscard]] Status renew_row(SessionRow row, PromiseEffects& effects);
  void doom_session(SessionRow row);
  void lease_over(SessionRow row, PromiseEffects& effects);
  void former_session_is_back(SessionId id, PromiseEffects& effects);
  void end_grace(PromiseEffects& effects);
  void drain(std::size_t budget);
  [[nodiscard]] common::Duration trusted() const;  // how long after a renewal a mount may trust
  void schedule_lease(SessionRow row);

  // --- promise_grants.cpp ---
  [[nodiscard]] bool changed_since(Fid node, std::uint64_t token) const;
  // Gives `clock` to it. False at the session's cap, or if there is no room.
  bool grant_one(SessionRow row, NodeKey key);
  // So that `wanted` more can be granted, now or when the mount has answered.
  void make_room(SessionRow row, std::size_t wanted, PromiseEffects& effects);
  void evict(SessionRow row, std::size_t count, PromiseEffects& effects);
  void tidy_queue(SessionRow row);
  [[nodiscard]] SessionRow largest_session() const;
  [[nodiscard]] std::uint64_t grant_hash(SessionRow row, NodeKey key) const;
  void forget_evicted(SessionRow row, const std::vector<Fid>& nodes);

  // --- promise_changes.cpp ---
  struct Ask {
    SessionRow row = 0;
    std::uint32_t node = 0;    // of the change
    std::uint64_t number = 0;  // an outstanding break that will do, or one of these:
    static constexpr std::uint64_t kNew = 0;
    static constexpr std::uint64_t kItself = ~std::uint64_t{0};  // the mount has withdrawn it
    friend auto operator<=>(const Ask&, const Ask&) = default;
  };
  void collect(const Change& change, std::size_t first, std::vector<Ask>& asks) const;
  [[nodiscard]] SessionRow living_origin(const Change& change) const;  // 0: none
  [[nodiscard]] bool withdrew_itself(const Change& change, const Touched& touched,
                                     NodeKey key) const;
  void ask(ChangeId id, Change& change, std::vector<Ask> asks, PromiseEffects& effects);
  void ask_one(ChangeId id, Change& change, std::span<const Ask> asks, PromiseEffects& effects);
  void wait_for(ChangeId id, Change& change, Session& session, std::uint64_t number);
  [[nodiscard]] promises::Break new_break(const Session& session) const;
  void owe(SessionRow row, promises::Break fresh, PromiseEffects& effects);
  void mark(std::span<const Touched> nodes);
  void unmark(std::span<const Touched> nodes);
  void released(SessionRow row, const promises::Debt::Released& released, PromiseEffects& effects);
  Change take_change(ChangeId id);
  void ready_if_done(ChangeId id, Change& change, PromiseEffects& effects);
  void set_waiting(ChangeId id, Change& change);
  void stop_waiting(Change& change);
  void expire_change(ChangeId id, PromiseEffects& effects);
  [[nodiscard]] Status room_to_wait(const Change& change) const;
  // Which of its nodes may be granted as far as others' commits go: asked before its marks go.
  [[nodiscard]] std::vector<bool> last_marked(const Change& change) const;
  void send_updates(ChangeId id, Change& change, PromiseEffects& effects);
  std::vector<Fid> grant_anew(const Change& change);
  void make_ready(ChangeId id, Change& change, PromiseEffects& effects);

  // Earliest first; entries of what is no more are dropped when they come up.
  template <typename Id>
  struct Due {
    Instant when;
    Id id;
    friend bool operator>(const Due& a, const Due& b) { return a.when > b.when; }
  };

  PromiseOptions options;
  Instant now;
  // Grows with every mark, grant and update; read tokens, grant clocks and stamps are its values.
  std::uint64_t clock = 0;
  promises::HolderTable holders;
  promises::Stamps mark_stamps;
  promises::Stamps grant_stamps;

  promises::Segmented<Session, 64> sessions;  // [0] is none
  std::vector<SessionRow> free_rows;
  std::vector<SessionRow> draining;
  std::unordered_map<SessionId, SessionRow> rows;  // live ones
  std::unordered_map<SessionRow, promises::HeldRenewal> held_renewals;
  // A heap; one entry for each that is live or doomed, and left-overs.
  struct Leaseholder {
    SessionRow row = 0;
    std::uint32_t life = 0;
  };
  std::vector<Due<Leaseholder>> leases;
  std::vector<Due<Leaseholder>> flush_ends;  // a heap, with left-overs
  std::vector<SessionRow> flushers;          // in order of beginning; some may have ended
  // Who has been asked to give back what, for room: not in the table any more, not acknowledged.
  std::unordered_multimap<Fid, SessionRow> evicting;
  std::size_t active = 0;           // promises of live and doomed sessions
  std::uint64_t next_eviction = 0;  // from the largest session: not before this clock

  std::unordered_map<ChangeId, Change> changes;
  std::unordered_map<Fid, std::uint32_t> marks;
  std::vector<Due<ChangeId>> deadlines;  // a heap, of waiting changes and left-overs
  std::vector<ChangeId> grace_changes;   // in order of coming
  std::size_t parked = 0;                // changes that wait

  bool stopping = false;
  bool grace = false;
  Instant grace_end;
  std::vector<SessionId> absent;  // of the former life, sorted
  PromiseCounts totals;           // its sums; the present numbers are filled in when asked
};

}  // namespace fileserver
