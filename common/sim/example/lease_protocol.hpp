#pragma once

// The worked example: one lock, granted by lease, guarding one counter.
//
// A *grantor* gives the lock to one client at a time for `ttl`; the client renews it. A *store*
// keeps the counter and refuses writes that carry an older fencing token than it has seen. A
// *client* takes the lock, reads the counter with its token (which raises the store's floor),
// writes back one more, and is told that it is stable. README.md in the folder above says how to
// read this.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/sim/buggify.hpp"
#include "common/sim/bugs.hpp"

namespace common::sim::example {

using PeerId = std::uint32_t;
using Token = std::uint64_t;    // grows with every grant
using LeaseOp = std::uint64_t;  // one wish for the lock, or one write; unique for ever

// An op is the name of one life of a client, and a number that grows within it: so a store that
// remembers only the newest op of each client knows a late copy of an older one for what it is.
inline constexpr int kOpNumberBits = 20;
constexpr LeaseOp make_op(std::uint64_t life, std::uint64_t number) {
  return life << kOpNumberBits | (number & ((1U << kOpNumberBits) - 1));
}
constexpr bool is_older(LeaseOp op, LeaseOp than) {
  return op >> kOpNumberBits == than >> kOpNumberBits && op < than;
}

inline constexpr PeerId kGrantor = 0;
inline constexpr PeerId kStore = 1;
inline constexpr PeerId kFirstClient = 2;

struct LeaseMessage {
  enum class Kind : std::uint8_t {
    Acquire,  // client to grantor: op, sent_at
    Granted,  // grantor to client: op, token, and sent_at of the request that it answers
    Renew,    // token, sent_at
    Renewed,  // token, sent_at of the renewal
    Lost,     // token: no longer valid
    Release,  // token
    Fence,    // client to store: token; raises the floor and reads
    Value,    // token, version, value, and the last op of this client that took effect
    Write,    // token, op, version it was read at, value, ticket
    Written,  // op, version
    Stale,    // token: an older one than the store has seen
  };
  Kind kind{};
  Token token = 0;
  LeaseOp op = 0;
  std::int64_t sent_at = 0;  // the sender's own clock; only echoed, never compared with another's
  std::uint64_t version = 0;
  std::uint64_t value = 0;
  std::uint64_t ticket = 0;  // which user's request this write fulfils
};
std::uint64_t digest(const LeaseMessage& message);
std::string describe(const LeaseMessage& message);

// What the cores can be made to get wrong.
enum class LeaseBug : std::uint8_t {
  LeaseFromReplyTime,   // client counts its lease from when the reply came, not when it asked
  ReplyToAnyAttempt,    // client takes a reply to an old request for one to its newest
  NoExpiryCheck,        // client trusts a flag that a timer clears; after a pause it is late
  MonotonicClock,       // client measures with a clock that stands still in suspend
  NoMargin,             // grantor waits no margin for clocks that run apart
  WallClockLease,       // grantor measures with wall time
  NoGrace,              // restarted grantor forgets that its former self gave leases
  TokenNotReserved,     // token counter starts again after a crash
  DuplicateGrant,       // a retried request is answered with its old grant, valid or not
  RenewWithoutCheck,    // any renewal is confirmed
  ReleaseWithoutCheck,  // a late release frees somebody else's lock
  StaleTokenAccepted,   // store compares no tokens
  FloorNotRaised,       // store raises its floor at writes only, not when the lock is taken
  FloorNotStored,       // floor is lost when the store restarts
  AckBeforeStable,      // store answers before the record is synced
  OpsNotStored,         // restarted store no longer knows which ops took effect
  SyncErrorRetried,     // a failed sync is tried again and believed
  TornRecordTrusted,    // recovery does not check checksums
  RecoverInPlace,       // recovery trusts bytes that a failed sync left in the page cache
  RenameWithoutSync,    // grantor's state file is renamed into place before it is synced
};
inline constexpr std::size_t kLeaseBugs = 20;
std::vector<std::string> lease_bug_names();

struct LeaseOptions {
  Duration ttl = std::chrono::seconds(10);
  Duration retry = std::chrono::milliseconds(700);
  std::int32_t max_drift_ppm = 500;  // of any clock against true time
  std::uint64_t token_chunk = 32;    // tokens reserved stably at once
  BugSet<LeaseBug> bugs;
  Buggify* buggify = nullptr;

  // How much longer than the client the grantor must wait: both clocks may be wrong, in opposite
  // directions, for a whole lease; and one step of the arithmetic.
  [[nodiscard]] Duration margin() const {
    return ttl * (2 * max_drift_ppm) / 1'000'000 * 11 / 10 + std::chrono::microseconds(10);
  }
};

// Effects that all three cores share.
struct Send {
  PeerId to = 0;
  LeaseMessage message;
};
struct WakeAt {
  Instant when;
};

}  // namespace common::sim::example
