#include "common/sim/shrink.hpp"

namespace common::sim {
namespace {

// Every message takes this long once the noise has become single messages.
constexpr Duration kQuietDelay = std::chrono::milliseconds(1);
constexpr int kHalvings = 12;

class Shrinker {
 public:
  Shrinker(const Experiment& experiment, Plan plan, std::uint64_t bugs, std::uint64_t max_runs)
      : experiment_(experiment),
        best_(std::move(plan)),
        options_{.bugs = bugs},
        max_runs_(max_runs) {
    const RunReport report = run(best_, options_);
    failure_ = report.failure;
    violated_at_ = report.violated_at;
  }

  Shrunk shrink() {
    if (failure_ != Failure::None) {
      shorten();
      reduce_faults();
      reduce_work();
      simplify();
      spell_out_noise();
      reduce_faults();
      halve_lengths();
      reduce_work();
      shorten();
    }
    RunOptions tracing = options_;
    tracing.trace = true;
    return Shrunk{.plan = best_, .report = run(best_, tracing), .runs = runs_};
  }

 private:
  RunReport run(const Plan& plan, const RunOptions& options) {
    ++runs_;
    return experiment_.run(plan, options);
  }

  // Adopts `plan` if it fails in the same way.
  bool try_plan(const Plan& plan) {
    if (runs_ >= max_runs_)
      return false;
    const RunReport report = run(plan, options_);
    if (report.failure != failure_)
      return false;
    best_ = plan;
    violated_at_ = report.violated_at;
    return true;
  }

  // Tries the best plan with one change.
  template <typename Change>
  bool try_with(Change change) {
    Plan plan = best_;
    change(plan);
    return try_plan(plan);
  }

  void shorten() {
    if (failure_ == Failure::Safety && violated_at_ < best_.length) {
      try_with([&](Plan& plan) { cut_at(plan, violated_at_ + Duration{1}); });
    }
    for (int i = 0; i < kHalvings; ++i) {
      if (!try_with([](Plan& plan) { cut_at(plan, plan.length / 2); }))
        break;
    }
  }

  static void cut_at(Plan& plan, Duration length) {
    const Duration old_length = plan.length;
    plan.length = length;
    std::erase_if(plan.faults, [&](const Fault& fault) {
      return fault.at >= length && fault.kind < FaultKind::DropMessage;
    });
    std::erase_if(plan.work,
                  [&](const WorkItem& item) { return item.at >= length && item.at < old_length; });
    // Work that probes the healed cell keeps its distance from the healing.
    for (auto& item : plan.work) {
      if (item.at >= old_length)
        item.at -= old_length - length;
    }
  }

  void reduce_faults() {
    minimise(best_.faults, [&](const std::vector<Fault>& fewer) {
      return try_with([&](Plan& plan) { plan.faults = fewer; });
    });
  }

  void reduce_work() {
    minimise(best_.work, [&](const std::vector<WorkItem>& fewer) {
      return try_with([&](Plan& plan) { plan.work = fewer; });
    });
  }

  void simplify() {
    try_with([](Plan& plan) { plan.buggify = false; });
    try_with([](Plan& plan) { plan.noise = NetworkNoise{}; });
    try_with([](Plan& plan) { plan.noise.straggle = 0; });
    try_with([](Plan& plan) { plan.noise.duplicate = 0; });
    try_with([](Plan& plan) { plan.noise.drop = 0; });
    for (std::size_t i = 0; i < best_.nodes.size(); ++i) {
      try_with([&](Plan& plan) { plan.nodes[i].drift_ppm = 0; });
      try_with([&](Plan& plan) { plan.nodes[i].wall_error = Duration{0}; });
    }
    for (std::size_t i = 0; i < best_.settings.size(); ++i) {
      if (best_.settings[i].value == best_.settings[i].usual)
        continue;
      try_with([&](Plan& plan) { plan.settings[i].value = plan.settings[i].usual; });
    }
  }

  // Replaces the seeded noise by a list of what it did to each message, which can be shrunk.
  void spell_out_noise() {
    RunOptions recording = options_;
    recording.record_fates = true;
    const RunReport report = run(best_, recording);
    try_with([&](Plan& plan) {
      std::erase_if(plan.faults, [](const Fault& f) { return f.kind >= FaultKind::DropMessage; });
      plan.faults.insert(plan.faults.end(), report.fates.begin(), report.fates.end());
      plan.noise.drop = plan.noise.duplicate = plan.noise.straggle = 0;
      plan.noise.delay_min = plan.noise.delay_max = kQuietDelay;
    });
  }

  void halve_lengths() {
    for (std::size_t i = 0; i < best_.faults.size(); ++i) {
      for (int n = 0; n < kHalvings; ++n) {
        if (!try_with([&](Plan& plan) { plan.faults[i].length /= 2; }))
          break;
      }
    }
  }

  const Experiment& experiment_;
  Plan best_;
  RunOptions options_;
  std::uint64_t max_runs_;
  std::uint64_t runs_ = 0;
  Failure failure_ = Failure::None;
  TrueTime violated_at_{};
};

}  // namespace

Shrunk shrink(const Experiment& experiment, const Plan& plan, std::uint64_t bugs,
              std::uint64_t max_runs) {
  return Shrinker(experiment, plan, bugs, max_runs).shrink();
}

}  // namespace common::sim
