#pragma once

// Everything that decides a run. Two runs of one plan are equal event by event.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/sim/fault.hpp"

namespace common::sim {

// How the network misbehaves all the time, faults apart.
struct NetworkNoise {
  Ppm drop = 0;
  Ppm duplicate = 0;
  Ppm straggle = 0;  // messages that take up to `straggle_max`
  Duration delay_min = std::chrono::microseconds(200);
  Duration delay_max = std::chrono::milliseconds(2);
  Duration straggle_max = std::chrono::seconds(30);
  // A stream whose bytes have not got through for this long is reset on both sides.
  Duration stream_timeout = std::chrono::seconds(15);
};

// What a healthy disk costs; SlowDisk multiplies it.
struct DiskTimes {
  Duration read = std::chrono::microseconds(20);
  Duration write = std::chrono::microseconds(10);
  Duration sync = std::chrono::milliseconds(1);
};

struct NodeSettings {
  std::int32_t drift_ppm = 0;
  Duration uptime = std::chrono::hours(1);  // BOOTTIME when the run begins
  Duration wall_error{};
  Duration boots_at{};  // true time; later than zero for one that joins a running cell
};

// One request put to a node from outside: a user's open, a client's wish for the lock. What kind,
// a and b mean is the scenario's business. Explicit, so that the shrinker can leave entries out.
struct WorkItem {
  Duration at{};
  NodeIndex node = 0;
  std::uint32_t kind = 0;
  std::uint64_t a = 0;
  std::uint64_t b = 0;
};

// One configured value of the code under test: usually its usual value, in some runs a skewed one
// (a cache of two entries, a lease of one second).
struct Setting {
  std::string name;
  std::int64_t value = 0;
  std::int64_t usual = 0;
};

struct Plan {
  std::uint64_t seed = 0;
  std::vector<NodeSettings> nodes;
  // Faults come in [0, length); then everything is healed. Work may come later, to probe.
  Duration length = std::chrono::seconds(60);
  // After healing, the scenario must be settled within this.
  Duration settle_within = std::chrono::seconds(120);
  NetworkNoise noise;
  DiskTimes disk_times;
  std::vector<Fault> faults;
  std::vector<WorkItem> work;
  std::vector<Setting> settings;
  bool buggify = true;
  std::vector<std::string> buggify_off;  // points that the shrinker found not to matter

  // The value of a setting that skew() has added before; `name` must exist.
  [[nodiscard]] std::int64_t setting(std::string_view name) const;
};

// Adds a setting: its usual value in half of all plans, else one of `skewed`. The draw depends on
// the plan's seed and the name alone.
std::int64_t skew(Plan& plan, std::string_view name, std::int64_t usual,
                  std::initializer_list<std::int64_t> skewed);

// `count` nodes with drift within +-max_drift_ppm, any uptime, and wall clocks off by up to an
// hour.
std::vector<NodeSettings> make_nodes(Random random, std::uint32_t count,
                                     std::int32_t max_drift_ppm);

// Noise of a random strength: none, some or a lot.
NetworkNoise make_noise(Random random);

// All of it, one thing per line, for people.
std::string describe(const Plan& plan);

}  // namespace common::sim
