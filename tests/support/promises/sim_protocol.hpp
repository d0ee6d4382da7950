#pragma once

// The cell in which promises are simulated: one file server, and mounts that open, change and close
// files in it. Each file is a register: what stands in it is the operation that wrote it.

#include <array>
#include <cstdint>
#include <string>

#include "common/clock.hpp"
#include "common/fileclient/promise_book.hpp"
#include "common/sim/plan.hpp"
#include "fileserver/promises/promise_core.hpp"

namespace promise_sim {

using common::Duration;
using common::Fid;
using common::Instant;
using common::SessionId;
using common::sim::NodeIndex;

inline constexpr NodeIndex kServer = 0;
inline constexpr NodeIndex kFirstMount = 1;

// Files that all use, directories with one entry that can be replaced, and one file for each mount.
inline constexpr std::uint32_t kFiles = 5;
inline constexpr std::uint32_t kDirectories = 2;
inline constexpr std::uint32_t kShared = kFiles + kDirectories;
inline constexpr std::uint32_t kRegisters = 16;
inline constexpr std::uint32_t kAllRegisters = (1U << kRegisters) - 1;  // a bit for each
constexpr bool is_directory(std::uint32_t node) {
  return node >= kFiles && node < kShared;
}
constexpr std::uint32_t private_file(NodeIndex mount) {
  return kShared + mount;
}
inline Fid fid_of(std::uint32_t node) {
  return {common::VolumeId{1}, common::NodeId{node + 1}};
}
inline std::uint32_t register_of(Fid node) {
  return static_cast<std::uint32_t>(node.node.value - 1);
}

enum class OpKind : std::uint8_t {
  Read,     // open and read
  Stat,     // the same, and the kernel may answer it by itself
  Write,    // of a directory: create in it
  Replace,  // of a directory: another entry takes the place of the one there, which changes, too
};

// What came of a call. In the order of what a mount does about it.
enum class Answer : std::uint8_t { Done, Later, StaleSession };

// State of one register as a message tells it.
struct Told {
  std::uint32_t node = 0;
  bool there = false;
  bool granted = false;
  std::uint64_t epoch = 0;
  std::uint64_t version = 0;
  std::uint64_t value = 0;
};

struct SimMessage {
  enum class Kind : std::uint8_t {
    // Calls and their answers: datagrams, each bound to one life of the server, as a connection is.
    Open,       // node: mount id; number: of the opening
    Resume,     // node, session, number: of the resuming
    Opened,     // session, number
    Fetch,      // call, session, node
    Fetched,    // call, clock, told[0]
    Change,     // call, session, op, op_kind, node, number: seen, deadline_ms
    Changed,    // call, op, clock, told
    Refused,    // call or number, answer
    Elsewhere,  // the server lives another life: `life`
    // The stream.
    Hello,
    Welcome,  // lease_ms
    HelloRefused,
    Break,  // number, clock, nodes
    Acknowledge,
    Flushing,  // number, deadline_ms
    Update,    // clock, told[0]
    Renew,
    Renewed,
    Ended,
  };
  Kind kind{};
  Answer answer = Answer::Done;
  OpKind op_kind = OpKind::Read;
  std::uint32_t node = 0;
  std::uint32_t nodes = 0;  // one bit for each
  std::uint64_t life = 0;
  std::uint64_t call = 0;
  std::uint64_t session = 0;
  std::uint64_t op = 0;
  std::uint64_t number = 0;
  std::uint64_t clock = 0;
  std::int64_t milliseconds = 0;
  std::array<Told, 2> told{};
};
std::uint64_t digest(const SimMessage& message);
std::string describe(const SimMessage& message);

// What both sides are set to, from the plan.
struct Settings {
  std::chrono::milliseconds lease{10'000};
  std::chrono::milliseconds later_lease{
      10'000};  // of the server's second life, and of all after it
  std::chrono::milliseconds deadline{30'000};
  fileserver::PromiseOptions core;
  common::fileclient::BookOptions book;

  // As the protocol says: a fifth of the lease.
  static std::chrono::milliseconds margin_of(std::chrono::milliseconds lease) { return lease / 5; }
};

}  // namespace promise_sim
