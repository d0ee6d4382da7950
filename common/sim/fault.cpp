#include "common/sim/fault.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

namespace common::sim {
namespace {

constexpr std::array<std::string_view, kFaultKinds> kNames = {
    "Split",         "Isolate",       "OneWayOut",     "OneWayIn",
    "Ring",          "PartialMesh",   "CutLink",       "Lossy",
    "Laggy",         "Pause",         "Suspend",       "SlowNode",
    "Kill",          "PowerCut",      "KillAtEffect",  "PowerCutAtEffect",
    "WallJump",      "Drift",         "SyncErrorOnce", "WriteErrors",
    "ReadErrors",    "DiskFull",      "SlowDisk",      "LostWrite",
    "CorruptSector", "RestoreBackup", "DropMessage",   "DuplicateMessage",
    "DelayMessage"};
static_assert(static_cast<std::size_t>(FaultKind::DelayMessage) + 1 == kFaultKinds);

// Even over the logarithm, by whole steps of two and evenly within a step.
Duration log_even(Random& random, Duration shortest, Duration longest) {
  const auto low = static_cast<std::uint64_t>(std::max<std::int64_t>(shortest.count(), 1));
  const auto high =
      std::max(static_cast<std::uint64_t>(std::max<std::int64_t>(longest.count(), 1)), low);
  const auto steps = static_cast<std::uint64_t>(std::bit_width(high / low));
  const std::uint64_t base = low << random.below(steps);
  return Duration{static_cast<std::int64_t>(std::min(base + random.below(base + 1), high))};
}

// The kind's own number; lengths and nodes are drawn for all alike.
std::int64_t draw_value(Random& random, FaultKind kind, const FaultMix& mix) {
  using std::chrono::nanoseconds;
  switch (kind) {
    case FaultKind::Lossy:
      return random.between(std::int64_t{10'000}, std::int64_t{700'000});
    case FaultKind::Laggy:
      return log_even(random, std::chrono::milliseconds(1), mix.longest).count();
    case FaultKind::SlowNode:
      return log_even(random, std::chrono::microseconds(100), std::chrono::seconds(2)).count();
    case FaultKind::KillAtEffect:
    case FaultKind::PowerCutAtEffect:
      return random.between(std::int64_t{1}, std::int64_t{12});
    case FaultKind::WallJump:
      return random.between(-mix.max_wall_jump, mix.max_wall_jump).count();
    case FaultKind::Drift:
      return random.between(std::int64_t{-mix.max_drift_ppm}, std::int64_t{mix.max_drift_ppm});
    case FaultKind::SlowDisk:
      return std::int64_t{1} << random.between(std::int64_t{1}, std::int64_t{9});
    default:
      return static_cast<std::int64_t>(random.next() >> 1);
  }
}

}  // namespace

std::string_view to_string(FaultKind kind) {
  return kNames[static_cast<std::size_t>(kind)];
}

std::string describe(const Fault& fault) {
  std::string text =
      fmt::format("{:.6f}s {} n{}", in_seconds(fault.at), to_string(fault.kind), fault.node);
  if (fault.kind == FaultKind::CutLink)
    text += fmt::format("->n{}", fault.other);
  switch (fault.kind) {
    case FaultKind::WallJump:
    case FaultKind::Laggy:
    case FaultKind::SlowNode:
      text += fmt::format(" by {:.6f}s", in_seconds(Duration{fault.value}));
      break;
    case FaultKind::Lossy:
    case FaultKind::Drift:
      text += fmt::format(" {} ppm", fault.value);
      break;
    case FaultKind::KillAtEffect:
    case FaultKind::PowerCutAtEffect:
      text += fmt::format(" number {}", fault.value);
      break;
    case FaultKind::SlowDisk:
      text += fmt::format(" {} times", fault.value);
      break;
    case FaultKind::DropMessage:
    case FaultKind::DuplicateMessage:
    case FaultKind::DelayMessage:
      text += fmt::format(" message {}", fault.value);
      break;
    default:
      break;
  }
  return text + fmt::format(" for {:.6f}s", in_seconds(fault.length));
}

std::vector<Fault> make_faults(Random random, const FaultMix& mix, std::uint32_t nodes,
                               Duration length) {
  std::vector<Fault> faults;
  std::uint64_t total = 0;
  for (const auto& choice : mix.choices)
    total += choice.weight;
  if (total == 0 || nodes == 0)
    return faults;
  for (Duration at{};;) {
    at += random.between(Duration{0}, mix.every * 2);
    if (at >= length)
      return faults;
    std::uint64_t ticket = random.below(total);
    const FaultMix::Choice* choice = mix.choices.data();
    while (ticket >= choice->weight)
      ticket -= (choice++)->weight;
    Fault fault{.at = at, .kind = choice->kind};
    const NodeIndex last = std::min(choice->last_node, nodes - 1);
    fault.node = static_cast<NodeIndex>(random.between(choice->first_node, last));
    fault.other = static_cast<NodeIndex>(random.below(nodes));
    fault.value = draw_value(random, fault.kind, mix);
    fault.length = log_even(random, mix.shortest, mix.longest);
    faults.push_back(fault);
  }
}

}  // namespace common::sim
