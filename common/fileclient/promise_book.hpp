#pragma once

// What a mount has been promised, and whether it may trust it now: the mount's side of sessions,
// leases, grants and breaks (fileserver/PROTOCOL.md 1 and 2), for one file server. Pure: no socket,
// thread or clock; `now` is BOOTTIME. The simulator drives what production runs.
//
// How to drive it, whoever does (one call at a time; act on the effects in order):
//   1. session-open answered: opened(). A stream is dialled: hello_sent(), and on_welcome() when
//   its
//      Welcome has come; before that nothing is trusted;
//      A stream on which no renewal has been answered for a lease is dead: dial another;
//   2. each call: begin_call() when it is sent, take() for each node in its reply;
//   3. each change: begin_change() with the nodes that it names, just before the call is sent, on
//      every attempt; what it answers travels with the call as `seen`. Its reply:
//      change_answered(), then take();
//   4. nothing is answered from a cache unless promised(node, now) says so then and there;
//   5. Withdraw and WithdrawAll: make the kernel's copies unreachable, then say withdrawn(). No
//   call
//      to any server may be waited for meanwhile. Where the kernel would wait for a request in
//      flight, advance the entry's epoch instead and invalidate it later (R6). What the kernel may
//      answer by itself must time out with the lease: a stopped process invalidates nothing;
//   6. `stale`, an Ended message, a Hello that is refused, another life of the server:
//      session_lost(). Then wait for MayOpen before resuming or opening: that says that nothing is
//      trusted any more.

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "common/clock.hpp"
#include "common/ids.hpp"
#include "common/sim/buggify.hpp"
#include "common/sim/bugs.hpp"

namespace common::fileclient {

// What the book can be made to get wrong; see common/sim/bugs.hpp.
enum class BookBug : std::uint8_t {
  LeaseFromReply,      // the lease is counted from when the answer came, not from when it was asked
  LeaseNotChecked,     // promises are trusted until a timer clears them; after a pause it is late
  OvertakenReplyKept,  // a grant is taken though a break has overtaken it
  GoesBackwards,       // older attributes replace newer ones
  AckBeforeWithdrawn,  // a break is acknowledged when it comes, not when all is out of reach
  AckOutOfOrder,       // an acknowledgement covers an earlier break that is still being withdrawn
  ReplayAcknowledged,  // a break that comes again is acknowledged though it is being withdrawn
  ReopenBeforeWithdrawn,  // a new session is opened while the promises of the old are trusted
  OldLifeGrantsTaken,     // grants in replies to calls of an earlier session are taken
  OwnChangeKept,          // a change is sent while its own nodes go on being trusted
  SeenTooHigh,            // a change says that it has seen grants that it cannot have seen
  UpdateWithoutVersion,   // an update grants, and the attributes stay those of before
  EverythingForgotten,    // a break of everything withdraws nothing
  InvalidationWaits,      // a name is withdrawn by waiting for the requests in its directory (R6)
};
inline constexpr std::size_t kBookBugs = 14;
[[nodiscard]] std::vector<std::string> book_bug_names();

struct BookOptions {
  // Nodes that are remembered, promised or not; beyond, some are forgotten.
  std::size_t nodes = 1'000'000;
  sim::BugSet<BookBug> bugs;
  sim::Buggify* buggify = nullptr;
};

// In which order states of a node came to be.
struct NodeVersion {
  Epoch epoch;
  Seq seq;
  friend constexpr auto operator<=>(const NodeVersion&, const NodeVersion&) = default;
};

// A call in flight: what was known when it was sent.
struct CallInFlight {
  std::uint64_t order = 0;
  std::uint32_t life = 0;
};

using Withdrawal = std::uint64_t;

struct BrokenNode {
  Fid node;
  std::uint8_t what = 0;
};

// --- effects ---

struct Withdraw {
  Withdrawal id = 0;
  std::vector<BrokenNode> nodes;
};
struct WithdrawAll {
  Withdrawal id = 0;
};
// Messages for the stream.
struct SendRenewal {
  std::uint64_t number = 0;
};
struct SendAcknowledge {
  std::uint64_t number = 0;
};
struct SendFlushing {
  std::uint64_t number = 0;
  std::chrono::milliseconds more{0};
};
// Nothing is trusted any more: a session may be opened or resumed.
struct MayOpen {};

using BookEffect =
    std::variant<Withdraw, WithdrawAll, SendRenewal, SendAcknowledge, SendFlushing, MayOpen>;
using BookEffects = std::vector<BookEffect>;

class PromiseBook {
 public:
  explicit PromiseBook(const BookOptions& options) : options_(options) {}

  // --- session ---
  // session-open or its resume has been answered. Grants count in calls sent from now on.
  void opened();
  // It is over, or the server is another; nothing is trusted from now on. MayOpen follows when the
  // kernel's copies are out of reach. Once more while that lasts: nothing happens.
  void session_lost(Instant now, BookEffects& effects);
  [[nodiscard]] bool is_open() const { return state_ == State::Open; }

  // --- stream ---
  void hello_sent(Instant now);
  // The lease counts from when its Hello was sent.
  void on_welcome(std::chrono::milliseconds lease, Instant now, BookEffects& effects);
  void stream_down();
  void on_renewed(std::uint64_t number, Instant now);
  void on_break(std::uint64_t number, std::uint64_t clock, std::span<const BrokenNode> nodes,
                BookEffects& effects);  // no nodes: everything
  // What a Withdraw or WithdrawAll named is out of reach now.
  void withdrawn(Withdrawal id, BookEffects& effects);
  // As withdrawn(), but there are changes of this mount to these nodes, which others should let go
  // first (R29): those that have not been sent. flushed() when they are done.
  void withdrawn_flushing(Withdrawal id, std::chrono::milliseconds more, BookEffects& effects);
  void flushed(Withdrawal id, BookEffects& effects);

  // --- calls ---
  [[nodiscard]] CallInFlight begin_call() { return {++order_, life_}; }
  enum class Taken : std::uint8_t {
    Older,     // not to be used: something newer has been seen
    Known,     // good for the call that asked, and to be revalidated
    Promised,  // good until promised() says otherwise
  };
  // A node in the reply of a call; `clock` is the reply's `grants`, 0 if it has none.
  Taken take(const CallInFlight& call, std::uint64_t clock, Fid node, NodeVersion version,
             bool granted);
  // A node in an update.
  Taken take_update(std::uint64_t clock, Fid node, NodeVersion version, bool granted);
  // Withdraws what the change names, and answers what the call must say that it has seen.
  std::uint64_t begin_change(std::span<const Fid> nodes);
  // It was answered: older grants on what it touched are void.
  void change_answered(const CallInFlight& call, std::uint64_t clock, std::span<const Fid> nodes);

  // --- questions ---
  [[nodiscard]] bool promised(Fid node, Instant now) const;
  // The newest that was taken; it may be old unless it is promised.
  [[nodiscard]] std::optional<NodeVersion> known(Fid node) const;
  // Known but not promised: what to revalidate after a new session, at most `limit`.
  [[nodiscard]] std::vector<std::pair<Fid, NodeVersion>> to_revalidate(std::size_t limit) const;
  [[nodiscard]] Instant lease_end() const { return lease_end_; }

  // --- time ---
  void on_time(Instant now, BookEffects& effects);
  [[nodiscard]] Instant next_deadline() const;

 private:
  enum class State : std::uint8_t { Clean, Open, Withdrawing };
  // A grant counts if `trust` is the present one, a void if `life` is.
  struct Entry {
    Fid node;
    NodeVersion version;
    std::uint64_t grant = 0;   // clock; 0: none
    std::uint64_t voided = 0;  // grants up to this clock are
    std::uint32_t trust = 0;
    std::uint32_t life = 0;
    bool has_version = false;
  };
  struct Pending {
    std::uint64_t number = 0;
    Withdrawal id = 0;
    enum class Stage : std::uint8_t { Withdrawing, Flushing, Done } stage = Stage::Withdrawing;
    std::chrono::milliseconds more{0};  // of flushing, as said last
  };
  struct Sent {
    std::uint64_t number = 0;
    Instant at;
  };

  [[nodiscard]] const Entry* find(Fid node) const;
  Entry& entry_of(Fid node);
  void forget(const Entry& entry);
  void refresh(Entry& entry) const;
  void void_grants(Fid node, std::uint64_t clock);
  void drop_everything(BookEffects& effects);
  [[nodiscard]] Pending* find_pending(Withdrawal id);
  void acknowledge(BookEffects& effects);
  void acknowledge_again(std::uint64_t number, BookEffects& effects);
  void renew(Instant now, BookEffects& effects);
  void extend_lease(Instant from, Instant now);

  BookOptions options_;
  State state_ = State::Clean;
  std::uint32_t life_ = 1;    // counts sessions, and the times between them
  std::uint32_t trust_ = 1;   // counts the times when everything was withdrawn
  std::uint64_t order_ = 0;   // of calls
  std::uint64_t seen_ = 0;    // the newest clock of this life
  std::uint64_t voided_ = 0;  // grants on whatever node up to this clock are void
  // Forgotten nodes may be unknown to calls sent until then, and have voids up to that clock.
  std::uint64_t forgotten_ = 0;
  std::uint64_t forgotten_voided_ = 0;  // of this life

  Duration lease_{};
  Instant hello_at_;
  Instant lease_end_;
  bool lapsed_ = false;
  bool stream_ = false;
  Instant next_renewal_;
  std::uint64_t renewal_ = 0;
  std::deque<Sent> renewals_;  // unanswered, the newest few

  std::uint64_t last_break_ = 0;
  std::deque<Pending> pending_;  // being withdrawn, in order of number
  Withdrawal last_withdrawal_ = 0;
  Withdrawal withdrawing_all_ = 0;  // for the session's end; 0: none

  std::vector<Entry> entries_;
  std::unordered_map<Fid, std::uint32_t> index_;
  std::size_t hand_ = 0;  // the next to be forgotten
};

}  // namespace common::fileclient
