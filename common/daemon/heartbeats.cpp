#include "common/daemon/heartbeats.hpp"

#include <fmt/format.h>

namespace common::daemon {

Duration Heartbeat::overdue() const {
  const std::int64_t last = last_ns_.load(std::memory_order_relaxed);
  if (last == kResting)
    return Duration{0};
  return Duration(now_ns() - last) - longest_silence_;
}

Heartbeat& Heartbeats::add(std::string name, Duration longest_silence) {
  auto state = state_.lock();
  return state->beats.emplace_back(clock_, std::move(name), longest_silence);
}

void Heartbeats::add_activity(Heartbeat& beat, std::function<std::uint64_t()> count) {
  auto state = state_.lock();
  state->counters.push_back({&beat, std::move(count), std::nullopt});
}

void Heartbeats::sample() {
  auto state = state_.lock();
  for (Counter& counter : state->counters) {
    const std::uint64_t now = counter.count();
    if (counter.last != now)
      counter.beat->beat();
    counter.last = now;
  }
}

std::optional<std::string> Heartbeats::overdue() const {
  auto state = state_.lock();
  const Heartbeat* worst = nullptr;
  for (const Heartbeat& beat : state->beats) {
    if (beat.overdue() <= Duration{0})
      continue;
    if (worst == nullptr || beat.overdue() > worst->overdue())
      worst = &beat;
  }
  if (worst == nullptr)
    return std::nullopt;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(worst->overdue());
  return fmt::format("{} gives no sign of life, {} ms overdue", worst->name(), ms.count());
}

}  // namespace common::daemon
