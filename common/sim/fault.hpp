#pragma once

// What goes wrong in a run, as data: made from the seed before the run starts, so that a failing
// run can be shrunk by leaving entries out and running again.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/sim/random.hpp"

namespace common::sim {

using NodeIndex = std::uint32_t;

// For texts.
inline double in_seconds(Duration d) {
  return static_cast<double>(d.count()) / 1e9;
}

// `node`, `other` and `value` mean what the comment says; `length` is how long it lasts.
enum class FaultKind : std::uint8_t {
  // Network. A partition takes messages both ways unless it says otherwise.
  Split,        // the cell falls into two parts; `value` decides who is where
  Isolate,      // `node` alone is cut off
  OneWayOut,    // what `node` sends is lost, it still hears
  OneWayIn,     // `node` hears nothing, it is still heard
  Ring,         // each node reaches only its neighbours by number
  PartialMesh,  // each pair is cut or not; `value` decides
  CutLink,      // what `node` sends to `other` is lost
  Lossy,        // `value` ppm more of all messages are lost
  Laggy,        // every message takes up to `value` ns longer: reorders heavily
  // Nodes.
  Pause,         // SIGSTOP: nothing runs, messages wait, clocks go on
  Suspend,       // as Pause, but MONOTONIC stands still: a laptop's lid
  SlowNode,      // every step takes `value` ns
  Kill,          // the process dies, the kernel's page cache does not; back after `length`
  PowerCut,      // the machine dies, unsynced data may; BOOTTIME starts anew; back after `length`
  KillAtEffect,  // Kill at the `value`-th effect (send or disk operation) from now
  PowerCutAtEffect,
  // Clocks.
  WallJump,  // wall time steps by `value` ns
  Drift,     // the clock runs `value` ppm fast (or slow) from now on, for `length`
  // Disks.
  SyncErrorOnce,  // the next sync fails; what it should have written may be lost though a later
                  // sync succeeds
  WriteErrors,
  ReadErrors,
  DiskFull,
  SlowDisk,       // each operation takes `value` times as long
  LostWrite,      // the next write is acknowledged, also by sync, but never reaches the medium
  CorruptSector,  // one bit of stored data flips; `value` decides where
  RestoreBackup,  // the disk is copied now; after `length` the machine dies and gets the copy back
  // Single messages, by the how-many-th message of that sender. Made by the shrinker out of the
  // run's background noise.
  DropMessage,       // `node`'s message number `value`
  DuplicateMessage,  // the copy arrives `length` after sending
  DelayMessage,      // arrives `length` after sending
};
inline constexpr std::size_t kFaultKinds = 29;

std::string_view to_string(FaultKind kind);

struct Fault {
  Duration at{};
  FaultKind kind{};
  NodeIndex node = 0;
  NodeIndex other = 0;
  std::int64_t value = 0;
  Duration length{};
  friend bool operator==(const Fault&, const Fault&) = default;
};

// One line for people: "12.5s Pause n3 for 4.2s".
std::string describe(const Fault& fault);

// Which faults a protocol claims to survive, and how often they come.
struct FaultMix {
  struct Choice {
    FaultKind kind;
    std::uint32_t weight;
    // The nodes that may be hit: [first, last]; `last` beyond the last node means it.
    NodeIndex first_node = 0;
    NodeIndex last_node = ~NodeIndex{0};
  };
  std::vector<Choice> choices;
  // Mean time from one fault to the next; the gaps vary evenly between nothing and twice this.
  Duration every = std::chrono::seconds(5);
  // Lengths are drawn log-evenly: short and long ones equally often.
  Duration shortest = std::chrono::milliseconds(50);
  Duration longest = std::chrono::seconds(30);
  std::int32_t max_drift_ppm = 500;
  Duration max_wall_jump = std::chrono::hours(24 * 3652);
};

// Faults over [0, length), in order of time.
std::vector<Fault> make_faults(Random random, const FaultMix& mix, std::uint32_t nodes,
                               Duration length);

}  // namespace common::sim
