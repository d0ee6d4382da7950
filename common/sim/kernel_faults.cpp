// Faults coming and going, and what becomes of each message.

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "common/sim/kernel.hpp"
#include "common/sim/kernel_node.hpp"

namespace common::sim {
namespace {

// A healed network is a good local one.
constexpr Duration kHealedSpread = std::chrono::milliseconds(2);

bool is_network_rule(FaultKind kind) {
  return kind <= FaultKind::Laggy;
}

// Whether two nodes are on different sides when `value` decides.
bool split(std::uint64_t value, NodeIndex a, NodeIndex b) {
  return (mix(value, a) & 1) != (mix(value, b) & 1);
}

bool neighbours(NodeIndex a, NodeIndex b, std::uint32_t nodes) {
  const std::uint32_t distance = a > b ? a - b : b - a;
  return distance <= 1 || distance == nodes - 1;
}

bool rule_cuts(const Fault& fault, NodeIndex from, NodeIndex to, std::uint32_t nodes) {
  const auto value = static_cast<std::uint64_t>(fault.value);
  switch (fault.kind) {
    case FaultKind::Split:
      return split(value, from, to);
    case FaultKind::Isolate:
      return from == fault.node || to == fault.node;
    case FaultKind::OneWayOut:
      return from == fault.node;
    case FaultKind::OneWayIn:
      return to == fault.node;
    case FaultKind::Ring:
      return !neighbours(from, to, nodes);
    case FaultKind::PartialMesh:
      return (mix(value, std::uint64_t{std::min(from, to)} << 32 | std::max(from, to)) & 1) != 0;
    case FaultKind::CutLink:
      return from == fault.node && to == fault.other;
    default:
      return false;
  }
}

std::uint64_t message_key(NodeIndex from, std::uint64_t ordinal) {
  return mix(from, ordinal);
}

}  // namespace

bool Kernel::cut(NodeIndex from, NodeIndex to) const {
  return std::any_of(rules_.begin(), rules_.end(), [&](std::uint32_t index) {
    return rule_cuts(plan_.faults[index], from, to, nodes());
  });
}

Kernel::Fate Kernel::noise_of(std::uint64_t bits) const {
  const NetworkNoise& noise = plan_.noise;
  Fate fate;
  Ppm drop = healed_ ? 0 : noise.drop;
  Duration lag{};
  for (std::uint32_t index : rules_) {
    const Fault& fault = plan_.faults[index];
    if (fault.kind == FaultKind::Lossy)
      drop += static_cast<Ppm>(fault.value);
    if (fault.kind == FaultKind::Laggy)
      lag = std::max(lag, Duration{fault.value});
  }
  const auto draw = [&](std::uint64_t purpose, Duration range) {
    return Duration{static_cast<std::int64_t>(
        scale(mix(bits, purpose), static_cast<std::uint64_t>(range.count()) + 1))};
  };
  const auto chance = [&](std::uint64_t purpose, Ppm probability) {
    return probability > 0 && scale(mix(bits, purpose), kAlways) < probability;
  };
  fate.drop = chance(1, drop);
  const Duration slowest =
      healed_ ? std::min(noise.delay_max, noise.delay_min + kHealedSpread) : noise.delay_max;
  fate.delay = noise.delay_min + draw(2, slowest - noise.delay_min);
  if (lag.count() > 0)
    fate.delay += draw(3, lag);
  if (healed_)
    return fate;
  // The square of an even draw: many a little late, few very.
  if (chance(4, noise.straggle)) {
    const Duration once = draw(5, noise.straggle_max);
    fate.delay += Duration{static_cast<std::int64_t>(
        scale(mix(bits, 6), static_cast<std::uint64_t>(once.count()) + 1))};
  }
  fate.duplicate = chance(7, noise.duplicate);
  if (fate.duplicate) {
    const bool late = chance(8, kAlways / 4);
    fate.copy_delay = noise.delay_min + draw(9, late ? noise.straggle_max : noise.delay_max);
  }
  return fate;
}

void Kernel::index_message_faults() {
  for (std::uint32_t i = 0; i < plan_.faults.size(); ++i) {
    const Fault& fault = plan_.faults[i];
    if (fault.kind < FaultKind::DropMessage)
      continue;
    // The first of its message; the others of the same message follow it directly.
    auto& first =
        message_faults_.at(message_key(fault.node, static_cast<std::uint64_t>(fault.value)));
    if (first == 0)
      first = i + 1;
    has_message_faults_ = true;
  }
}

Kernel::Fate Kernel::fate_of(NodeIndex from, NodeIndex to, std::uint64_t ordinal) {
  Fate fate = noise_of(mix(plan_.seed ^ ordinal, std::uint64_t{from} << 32 | to));
  if (has_message_faults_ && !healed_) {
    const std::uint32_t* first = message_faults_.find(message_key(from, ordinal));
    for (std::size_t i = first != nullptr ? *first - 1 : plan_.faults.size();
         i < plan_.faults.size(); ++i) {
      const Fault& fault = plan_.faults[i];
      if (fault.node != from || static_cast<std::uint64_t>(fault.value) != ordinal)
        break;
      if (fault.kind == FaultKind::DropMessage)
        fate.drop = true;
      if (fault.kind == FaultKind::DelayMessage)
        fate.delay = fault.length;
      if (fault.kind == FaultKind::DuplicateMessage) {
        fate.duplicate = true;
        fate.copy_delay = fault.length;
      }
    }
  }
  if (options_.record_fates && !healed_)
    record_fate(from, ordinal, fate);
  return fate;
}

void Kernel::record_fate(NodeIndex from, std::uint64_t ordinal, const Fate& fate) {
  const auto add = [&](FaultKind kind, Duration length) {
    report_.fates.push_back(Fault{.at = now_,
                                  .kind = kind,
                                  .node = from,
                                  .value = static_cast<std::int64_t>(ordinal),
                                  .length = length});
  };
  if (fate.drop)
    add(FaultKind::DropMessage, Duration{0});
  if (fate.duplicate && !fate.drop)
    add(FaultKind::DuplicateMessage, fate.copy_delay);
  if (!fate.drop)
    add(FaultKind::DelayMessage, fate.delay);
}

void Kernel::begin_fault(std::uint32_t index) {
  const Fault& fault = plan_.faults[index];
  if (healed_)
    return;
  if (tracing())
    lines_.add(fmt::format("{:>14.6f}  FAULT {}", static_cast<double>(now_.count()) / 1e9,
                           describe(fault)));
  hash_.add(mix(static_cast<std::uint64_t>(fault.kind), index));
  ++report_.faults;
  fault_active_[index] = 1;
  if (is_network_rule(fault.kind))
    rules_.push_back(index);
  apply_fault(fault, true);
  push(now_ + fault.length, EventKind::FaultEnd, 0, 0, index);
}

void Kernel::end_fault(std::uint32_t index) {
  if (fault_active_[index] == 0)
    return;
  fault_active_[index] = 0;
  const Fault& fault = plan_.faults[index];
  if (tracing() && fault.length.count() > 0) {
    lines_.add(fmt::format("{:>14.6f}  end of {}", static_cast<double>(now_.count()) / 1e9,
                           describe(fault)));
  }
  std::erase(rules_, index);
  apply_fault(fault, false);
}

void Kernel::arm_death(Node& node, const Fault& fault) {
  if (!node.is_up)
    return;
  const bool power = fault.kind == FaultKind::PowerCut || fault.kind == FaultKind::PowerCutAtEffect;
  if (fault.kind == FaultKind::Kill || fault.kind == FaultKind::PowerCut)
    return die(node, power, fault.length);
  node.effects_left = static_cast<std::uint64_t>(std::max<std::int64_t>(fault.value, 1));
  node.death_by_power = power;
  node.back_after = fault.length;
}

void Kernel::apply_fault(const Fault& fault, bool begin) {
  Node& node = *nodes_[fault.node];
  const int sign = begin ? 1 : -1;
  switch (fault.kind) {
    case FaultKind::Suspend:
      node.suspended += sign;
      if (begin)
        node.clock.suspend(now_);
      if (node.suspended == 0)
        node.clock.resume(now_);
      [[fallthrough]];
    case FaultKind::Pause:
      node.stopped += sign;
      if (node.stopped == 0)
        resume(node);
      return;
    case FaultKind::SlowNode:
      node.slow_ns += sign * fault.value;
      return;
    case FaultKind::SlowDisk:
      node.disk_factor = std::max<std::int64_t>(
          begin ? node.disk_factor * fault.value : node.disk_factor / fault.value, 1);
      return;
    case FaultKind::Drift:
      return node.clock.set_drift(
          now_, begin ? static_cast<std::int32_t>(fault.value) : plan_.nodes[fault.node].drift_ppm);
    case FaultKind::WriteErrors:
      return node.disk.set_write_errors(begin);
    case FaultKind::ReadErrors:
      return node.disk.set_read_errors(begin);
    case FaultKind::DiskFull:
      return node.disk.set_full(begin);
    case FaultKind::RestoreBackup:
      if (begin) {
        node.backup = node.disk.stable_image();
      } else if (!healed_) {
        die(node, true, std::chrono::seconds(1));
        node.disk.restore(node.backup);
      }
      return;
    default:
      break;
  }
  if (!begin)
    return;
  switch (fault.kind) {
    case FaultKind::Kill:
    case FaultKind::PowerCut:
    case FaultKind::KillAtEffect:
    case FaultKind::PowerCutAtEffect:
      return arm_death(node, fault);
    case FaultKind::WallJump:
      return node.clock.jump_wall(Duration{fault.value});
    case FaultKind::SyncErrorOnce:
      return node.disk.fail_next_sync();
    case FaultKind::LostWrite:
      return node.disk.lose_next_write();
    case FaultKind::CorruptSector:
      static_cast<void>(node.disk.corrupt(static_cast<std::uint64_t>(fault.value)));
      return;
    default:
      return;
  }
}

void Kernel::heal() {
  if (tracing())
    lines_.add(fmt::format("{:>14.6f}  EVERYTHING HEALS", static_cast<double>(now_.count()) / 1e9));
  healed_ = true;
  buggify_.stop();
  for (std::uint32_t i = 0; i < fault_active_.size(); ++i)
    end_fault(i);
  for (auto& node : nodes_) {
    node->effects_left = 0;
    node->disk.clear_one_shot_faults();
    if (!node->is_up)
      push(now_, EventKind::Boot, node->index, node->life, 0);
  }
}

}  // namespace common::sim
