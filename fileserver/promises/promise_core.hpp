#pragma once

// Who has been promised what, and when a change may go on: sessions, leases, grants, marks, breaks
// (PROTOCOL.md 1 and 2), as a pure step function: calls and time in, answers and effects out. No
// socket, thread, clock, disk, randomness; the simulator drives what production runs.
//
// How to drive it, whoever does:
//   1. one call at a time (production: one lock, held for the call only), `now` from BOOTTIME and
//      never backwards; act on the effects in order, after giving the lock back if need be, but so
//      that messages of one session leave in the order of their effects;
//   2. call on_time() at next_deadline(), and before every commit (F17: a server that was stopped
//      for minutes must see that leases are over before it goes on);
//   3. a read: `ReadToken token = begin_read()`, read the store, then grant(session, nodes, token);
//   4. a change: begin_change(), wait for its Ready or Expired effect, commit inside
//      (check_touched: marked()), extend_change() if that failed, and always end_change().

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "common/clock.hpp"
#include "common/ids.hpp"
#include "common/result.hpp"
#include "common/sim/buggify.hpp"
#include "common/sim/bugs.hpp"

namespace fileserver {

using common::Fid;
using common::Instant;
using common::Result;
using common::SessionId;
using common::Status;

// What a break withdraws, as bits: the mount need not drop what did not change.
namespace what {
inline constexpr std::uint8_t kBytes = 1;
inline constexpr std::uint8_t kAttributes = 2;
inline constexpr std::uint8_t kEntries = 4;
inline constexpr std::uint8_t kAccess = 8;
inline constexpr std::uint8_t kGone = 16;
}  // namespace what

struct Touched {
  Fid node;
  std::uint8_t what = 0;
  // Of a change only: the call names this node, so its mount has withdrawn it before it sent the
  // call. False for what the server alone finds (a replaced file, the list of a node's other
  // names): then the caller's own session is asked as well.
  bool named = true;
  friend bool operator==(const Touched&, const Touched&) = default;
};

// What the core can be made to get wrong; see common/sim/bugs.hpp.
enum class PromiseBug : std::uint8_t {
  NoMargin,                // a session counts as dead when its lease ends, without the margin
  BreakAfterCommit,        // a change is ready at once, breaks go out when it has ended
  GrantDuringChange,       // marks do not refuse grants
  GrantOverRead,           // a grant is not refused when its node was changed since the read
  RestartWithoutGrace,     // a restarted server lets changes go on at once
  GraceByGuess,            // grace lasts the configured lease, not the longest ever granted
  GraceEndsWithAny,        // grace ends when the first session has come back
  RenewWithoutAck,         // renewals are acknowledged though breaks are outstanding for long
  NoReplayOfBreaks,        // a stream that comes back is not sent what is unacknowledged
  AckOfAnyNumber,          // an acknowledgement counts for all breaks, later ones too
  FlushingForEver,         // "flushing" extends without bound
  OwnSessionBroken,        // the caller's session is asked as well, and the change waits for it
  DeadSessionKept,         // a session that missed a break goes on when it is heard of again
  MarksNotCounted,         // the first of two changes of a node takes the mark of both
  ExtendWithoutBreak,      // nodes added to a change are marked, but nobody is asked
  EvictWithoutBreak,       // above the cap, promises are forgotten, not broken
  ClockNotRaised,          // a break carries the grant clock of an earlier moment
  UpdateGrantsDuringMark,  // an update grants though another change marks the node
  StreamEndEndsLease,      // a session whose stream broke is not waited for
  ReadyTwice,              // a change's deadline is ignored once it has waited
  LateOwnGrantKept,      // the caller's session is not asked for what it was granted after it sent
  OutstandingForgotten,  // a second change does not wait for what the first has asked for
  RedialWithoutLease,    // a stream's Welcome begins a lease that is not counted
  HelloWhileOverdue,     // a stream is welcome, and a lease begun, while a break is overdue
  LastMarkIgnored,       // a change grants though another has committed since it was ready
  FlushersWait,          // who flushes waits for others' flushing
  ReplacedAtOnce,        // a session whose mount opened another is not waited for
};
inline constexpr std::size_t kPromiseBugs = 27;
[[nodiscard]] std::vector<std::string> promise_bug_names();

struct PromiseOptions {
  std::chrono::milliseconds lease{10'000};
  // The server waits so much longer than a mount trusts: clocks that run apart.
  std::chrono::milliseconds margin{2'000};
  std::size_t sessions = 20'000;
  std::size_t promises = 4'000'000;
  std::size_t promises_per_session = 1'000'000;
  std::size_t evict_at_once = 1'000;  // oldest first, when a session is at its cap
  std::size_t parked_changes = 10'000;
  std::size_t parked_per_session = 256;
  // Nodes in unacknowledged breaks of one session; beyond, its stream is closed.
  std::size_t unacknowledged_nodes = 10'000;
  // Of those, sent and not acknowledged at a time: what a stream holds; more wait their turn.
  std::size_t nodes_under_way = 3'000;
  std::size_t nodes_per_break = 1'000;
  // Slots in the two tables of stamps (8 bytes each), a power of two: nodes that share one are
  // sometimes refused a grant, or broken, for nothing.
  std::size_t stamps = 32'768;
  // Random in production: callers that choose node ids must not choose the places in our tables.
  std::uint64_t hash_seed = 0;
  common::sim::BugSet<PromiseBug> bugs;
  common::sim::Buggify* buggify = nullptr;
};

using ChangeId = std::uint64_t;
using ReadToken = std::uint64_t;

// --- effects ---

struct SendBreak {
  SessionId session;
  std::uint64_t number = 0;
  std::uint64_t grant_clock = 0;
  std::vector<Touched> nodes;  // none: everything
};
// What has become of nodes, to those who were asked. `grant_clock` holds for the granted ones.
struct SendUpdate {
  SessionId session;
  ChangeId change = 0;
  std::uint64_t grant_clock = 0;
  std::vector<Fid> nodes;
  std::vector<bool> granted;  // as nodes
};
struct AcknowledgeRenewal {
  SessionId session;
  std::uint64_t number = 0;
};
// All that a change waits for has happened: commit it now, on some thread.
struct ChangeReady {
  ChangeId change = 0;
};
// Its deadline came first. Its marks are gone already; end_change() is not to be called.
struct ChangeExpired {
  ChangeId change = 0;
};
// The session is over: its pins and reservations go, its calls are `stale`, its stream is closed.
struct SessionOver {
  SessionId session;
  enum class Why : std::uint8_t { Closed, Replaced, Lease, Misbehaved, Revoked } why = Why::Closed;
  bool owing = false;  // an acknowledgement, when its lease was over
};
// Nobody trusts what it was promised any more: it may be taken off the stored list, not before
// (R10). Comes with its SessionOver, or later when that was for another reason than being closed.
struct ForgetSession {
  SessionId session;
};
// Its stream is to be closed; the session goes on.
struct CloseStream {
  SessionId session;
  std::string text;
};
struct GraceOver {};

using PromiseEffect =
    std::variant<SendBreak, SendUpdate, AcknowledgeRenewal, ChangeReady, ChangeExpired, SessionOver,
                 ForgetSession, CloseStream, GraceOver>;
using PromiseEffects = std::vector<PromiseEffect>;

// Whose change it is. A caller's own session is not asked for what its mount has withdrawn itself:
// grants up to `seen`, the newest grant clock that the mount knew when it sent the call, on the
// nodes that the call names. Grants made later are asked for like everybody else's: the call may be
// a late copy of one that the mount has given up.
struct ChangeOrigin {
  SessionId session;
  std::uint64_t seen = 0;
};

// What a restarted server knows of its former self.
struct FormerLife {
  // It was stopped in order, when clean_to_stop() held, and recorded so.
  bool clean = true;
  std::vector<SessionId> sessions;             // of the stably stored list
  std::chrono::milliseconds longest_lease{0};  // ever granted
};

struct PromiseCounts {
  std::size_t sessions = 0;
  std::size_t promises = 0;
  std::size_t marked = 0;
  std::size_t waiting_changes = 0;
  std::uint64_t granted = 0;
  std::uint64_t breaks = 0;
  std::uint64_t evicted = 0;
  std::uint64_t sessions_lost = 0;
  bool grace = false;
};

class PromiseCore {
 public:
  PromiseCore(const PromiseOptions& options, const FormerLife& former, Instant started);
  ~PromiseCore();
  PromiseCore(const PromiseCore&) = delete;
  PromiseCore& operator=(const PromiseCore&) = delete;

  // --- sessions ---
  // Stored stably by the caller before it asks (R10). ResourceExhausted at the cap; AlreadyExists.
  [[nodiscard]] Status open_session(SessionId session, Instant now);
  // Its mount says that nothing is trusted any more, and goes on with the session: one of the
  // former life, or a live one, whose promises and debts go and whose stream is closed. Stale: it
  // is over.
  [[nodiscard]] Status resume_session(SessionId session, Instant now, PromiseEffects& effects);
  // Closed: its mount says that nothing is trusted any more, and nobody waits for it. For any other
  // reason it is over for its mount at once, and changes wait until its lease is over.
  void end_session(SessionId session, SessionOver::Why why, Instant now, PromiseEffects& effects);
  // All that it has been promised is asked for; what is granted later is not.
  void break_session(SessionId session, Instant now, PromiseEffects& effects);
  // Stale: it is over (or never was): open another.
  [[nodiscard]] Status check_session(SessionId session) const;

  // --- its stream ---
  // Its Hello is to be answered by a Welcome, which begins a lease; all unacknowledged breaks are
  // sent again. Stale as above, and while a break is overdue: then the mount must resume (R11).
  [[nodiscard]] Status stream_up(SessionId session, Instant now, PromiseEffects& effects);
  void stream_down(SessionId session, Instant now);
  // Answered by an AcknowledgeRenewal now, later, or never (R11).
  void on_renewal(SessionId session, std::uint64_t number, Instant now, PromiseEffects& effects);
  // Protocol: it acknowledges what was not sent.
  [[nodiscard]] Status on_acknowledge(SessionId session, std::uint64_t number, Instant now,
                                      PromiseEffects& effects);
  // It is withdrawn, and the session has changes of its own to these nodes: changes of others let
  // them go first, for a lease in all (R29). `may_write`: the session has a handle for writing on
  // one of them; else it is a plain acknowledgement of this number.
  [[nodiscard]] Status on_flushing(SessionId session, std::uint64_t number,
                                   std::chrono::milliseconds more, bool may_write, Instant now,
                                   PromiseEffects& effects);

  // --- reads ---
  [[nodiscard]] ReadToken begin_read() const;
  // Which of these are promised to the session from now on: not if marked, changed since the token,
  // or the session has no stream. `clock` is set to the session's grant clock (0: nothing granted).
  // One entry for each node; false everywhere for a session that is over. Volumes from 2^24 and
  // nodes from 2^40 on are never promised: they fit into no mount's inode number.
  std::vector<bool> grant(SessionId session, std::span<const Fid> nodes, ReadToken token,
                          Instant now, std::uint64_t& clock, PromiseEffects& effects);

  // --- changes ---
  // Marks all nodes in one step and asks all other holders. `origin`: the caller's own, if any.
  // Its Ready may be among the effects of this very call. Fails without having done anything:
  // Overloaded at the caps, DeadlineExceeded, Stale if the origin is over, Unavailable if the grace
  // after a restart lasts beyond the deadline (`retry_after` is the rest of it).
  [[nodiscard]] Status begin_change(ChangeId change, std::optional<ChangeOrigin> origin,
                                    std::span<const Touched> nodes, Instant deadline, Instant now,
                                    PromiseEffects& effects);
  // More nodes of a change that was Ready; it becomes Ready (or Expired) once more.
  [[nodiscard]] Status extend_change(ChangeId change, std::span<const Touched> nodes, Instant now,
                                     PromiseEffects& effects);
  // Whether this change has marked the node: asked inside the transaction (R17), by its thread.
  [[nodiscard]] bool marked(ChangeId change, Fid node) const;
  // It was committed (then updates go to those who were asked) or given up. At any time but after
  // its ChangeExpired. What the caller's own session is promised anew, for the change's reply: its
  // nodes that no other change has marked or committed since it was ready, if it was committed and
  // the session has a stream. `clock` belongs into the reply also when nothing is granted: it voids
  // older grants on the nodes.
  struct Ended {
    std::uint64_t clock = 0;  // 0: there is no such session any more
    std::vector<Fid> granted;
  };
  Ended end_change(ChangeId change, bool committed, Instant now, PromiseEffects& effects);

  // --- time ---
  void on_time(Instant now, PromiseEffects& effects);
  [[nodiscard]] Instant next_deadline() const;

  [[nodiscard]] PromiseCounts counts() const;
  // Before a stop in order: nothing is granted any more, and every session is asked for everything.
  void break_everything(Instant now, PromiseEffects& effects);
  // Nobody trusts anything: a stop now may be recorded as clean.
  [[nodiscard]] bool clean_to_stop() const;
  // Of all tables, as allocated.
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fileserver
