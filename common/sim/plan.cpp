#include "common/sim/plan.hpp"

#include <fmt/format.h>

#include <cassert>
#include <cstdlib>
#include <iterator>
#include <span>

namespace common::sim {
namespace {

constexpr Ppm kSkewChance = kAlways / 2;

}  // namespace

std::int64_t Plan::setting(std::string_view name) const {
  for (const auto& entry : settings) {
    if (entry.name == name)
      return entry.value;
  }
  assert(false && "a setting is read that no skew() has added");
  std::abort();
}

std::int64_t skew(Plan& plan, std::string_view name, std::int64_t usual,
                  std::initializer_list<std::int64_t> skewed) {
  Random random(mix(plan.seed, hash_text(name)));
  Setting setting{.name = std::string(name), .value = usual, .usual = usual};
  if (skewed.size() > 0 && random.chance(kSkewChance)) {
    setting.value = random.pick(std::span<const std::int64_t>(skewed.begin(), skewed.size()));
  }
  plan.settings.push_back(setting);
  return setting.value;
}

std::vector<NodeSettings> make_nodes(Random random, std::uint32_t count,
                                     std::int32_t max_drift_ppm) {
  std::vector<NodeSettings> nodes(count);
  for (auto& node : nodes) {
    // A third at each end of what is allowed and a third between: the ends are where margins break.
    const std::uint64_t third = random.below(3);
    const auto between = static_cast<std::int32_t>(
        random.between(std::int64_t{-max_drift_ppm}, std::int64_t{max_drift_ppm}));
    node.drift_ppm = third == 0 ? max_drift_ppm : third == 1 ? -max_drift_ppm : between;
    node.uptime =
        random.between(Duration(std::chrono::seconds(20)), Duration(std::chrono::hours(1000)));
    node.wall_error =
        random.between(Duration(-std::chrono::hours(1)), Duration(std::chrono::hours(1)));
  }
  return nodes;
}

NetworkNoise make_noise(Random random) {
  NetworkNoise noise;
  const std::uint64_t strength = random.below(3);
  if (strength == 0)
    return noise;
  const std::uint64_t scale = strength == 1 ? 1 : 10;
  noise.drop = static_cast<Ppm>(random.below(20'000 * scale));
  noise.duplicate = static_cast<Ppm>(random.below(20'000 * scale));
  noise.straggle = static_cast<Ppm>(random.below(5'000 * scale));
  noise.delay_max = random.between(Duration(std::chrono::milliseconds(1)),
                                   Duration(std::chrono::milliseconds(50 * scale)));
  return noise;
}

std::string describe(const Plan& plan) {
  std::string text;
  auto out = std::back_inserter(text);
  fmt::format_to(out, "plan of seed {}: {} nodes, {:.3f}s, then {:.3f}s to settle\n", plan.seed,
                 plan.nodes.size(), in_seconds(plan.length), in_seconds(plan.settle_within));
  const auto& noise = plan.noise;
  fmt::format_to(
      out, "  network: drop {} ppm, duplicate {} ppm, straggle {} ppm, delay {:.6f}-{:.6f}s\n",
      noise.drop, noise.duplicate, noise.straggle, in_seconds(noise.delay_min),
      in_seconds(noise.delay_max));
  for (std::size_t i = 0; i < plan.nodes.size(); ++i) {
    if (plan.nodes[i].drift_ppm != 0) {
      fmt::format_to(out, "  n{} drifts {} ppm\n", i, plan.nodes[i].drift_ppm);
    }
  }
  for (const auto& setting : plan.settings) {
    if (setting.value != setting.usual) {
      fmt::format_to(out, "  setting {} = {} (usually {})\n", setting.name, setting.value,
                     setting.usual);
    }
  }
  if (!plan.buggify)
    fmt::format_to(out, "  no buggify points\n");
  for (const auto& fault : plan.faults)
    fmt::format_to(out, "  fault {}\n", describe(fault));
  for (const auto& item : plan.work) {
    fmt::format_to(out, "  work {:.6f}s n{} kind {} a {} b {}\n", in_seconds(item.at), item.node,
                   item.kind, item.a, item.b);
  }
  return text;
}

}  // namespace common::sim
