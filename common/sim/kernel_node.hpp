#pragma once

// Private to the kernel: one machine, and one stream between two of them.

#include <array>
#include <vector>

#include "common/sim/kernel.hpp"

namespace common::sim {

struct Kernel::Node final : DiskHost {
  struct Timer {
    std::uint64_t order = 0;  // of the event that will fire it; 0: not armed
    Instant deadline{};
    TrueTime at{};                    // the deadline, as it seemed when it was set
    std::uint32_t clock_changes = 0;  // until then
    friend bool operator==(const Timer&, const Timer&) = default;
  };

  Node(Kernel& kernel_in, NodeIndex index_in, std::uint64_t seed, const NodeSettings& settings)
      : kernel(kernel_in),
        index(index_in),
        clock(settings.uptime, settings.wall_error, settings.drift_ppm),
        random(seed),
        disk(mix(seed, hash_text("disk")), this) {}

  bool before(DiskOp op, std::uint64_t bytes) override;

  Kernel& kernel;
  NodeIndex index;
  NodeClock clock;
  Random random;
  SimDisk disk;
  bool is_up = false;
  bool in_step = false;
  std::uint32_t life = 0;        // counts deaths
  std::vector<TrueTime> deaths;  // when each life ended
  TrueTime busy_until{};
  std::uint64_t sent = 0;
  KeyTable<Timer> timers;
  std::vector<Event> waiting;     // arrived while stopped
  std::vector<Event> held;        // arrived while busy, in order
  std::vector<Event> held_spare;  // its memory
  TrueTime release_at{-1};        // when they are looked at again; -1: there are none
  std::vector<std::pair<std::uint64_t, std::pair<SimDisk::File, std::uint64_t>>> syncs;
  SimDisk::Image backup;
  std::vector<StreamId> streams;    // of this life, closed ones among them
  std::size_t streams_checked = 0;  // size after closed ones were last dropped

  // Counts of faults in force.
  int stopped = 0;
  int suspended = 0;
  std::int64_t slow_ns = 0;
  std::int64_t disk_factor = 1;
  // Death at an effect: 0 is not armed.
  std::uint64_t effects_left = 0;
  bool death_by_power = false;
  Duration back_after{};
  bool dying = false;  // the step goes on, to no effect
  TrueTime dying_at{};
};

// Slots in order of arrival. Costs nothing while empty: a cell may have opened a million streams.
class SlotQueue {
 public:
  [[nodiscard]] bool empty() const { return slots_.empty(); }
  [[nodiscard]] std::uint32_t front() const { return slots_[head_]; }
  void push(std::uint32_t slot) { slots_.push_back(slot); }
  void pop() {
    if (++head_ == slots_.size())
      *this = SlotQueue{};
  }

 private:
  std::vector<std::uint32_t> slots_;
  std::size_t head_ = 0;
};

// Bytes in order and whole, or a reset: TCP as far as a protocol can tell.
struct Kernel::Stream {
  // In place of a slot: the dialling, and an orderly close.
  static constexpr std::uint32_t kHello = ~std::uint32_t{0} - 1;
  static constexpr std::uint32_t kEnd = ~std::uint32_t{0};
  struct Side {
    NodeIndex node = 0;
    std::uint32_t life = 0;
    bool open = false;  // as this side believes
    SlotQueue inbox;    // slots on their way to this side
    TrueTime last_arrival{};
    TrueTime stuck_since{-1};  // first failed try of the head; -1: none
  };
  std::array<Side, 2> sides;  // [0] dialled
  std::uint64_t sent = 0;
};

template <typename Body>
void Kernel::step(Node& node, Body body) {
  begin_step(node);
  body();
  end_step(node);
}

}  // namespace common::sim
