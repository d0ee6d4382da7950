#pragma once

// The three ways in which soak_store_crash ends a volume, and what they share. Each runs in a
// process of its own until the time is over.

#include <atomic>
#include <string>

#include "tests/support/store_crash.hpp"

namespace soak_store {

using namespace test_support;  // NOLINT(google-build-using-namespace): every name here is of it

extern const common::SystemClock kClock;
constexpr std::uint64_t kMostViolations = 10;

// In memory that all processes share.
struct Tally {
  std::atomic<std::uint64_t> crash_states{0};
  std::atomic<std::uint64_t> kills{0};
  std::atomic<std::uint64_t> power_cuts{0};
  std::atomic<std::uint64_t> cuts_on_xfs{0};  // of those
  std::atomic<std::uint64_t> creations{0};    // of kills and cuts, those of a volume in the making
  std::atomic<std::uint64_t> recoveries_cut{0};
  std::atomic<std::uint64_t> rolled_back{0};
  std::atomic<std::uint64_t> not_judged{0};
  std::atomic<std::uint64_t> violations{0};
  std::atomic<std::uint64_t> workloads{0};
  Acknowledged told_by_killed;  // of the processes that are to die
  Acknowledged told_by_cut;
};

struct Soak {
  Tally& tally;
  common::Instant end;
  std::uint64_t seed = 1;
  CrashBase base;
  std::string scratch;  // of this process alone

  [[nodiscard]] bool over() const {
    return kClock.now() >= end || tally.violations >= kMostViolations;
  }
  void violation(const std::string& where, const std::string& why) const;
  // A verdict on a crash: counts what was rolled back, and says what is wrong.
  void judge(const common::Result<StoreVerdict>& verdict, const std::string& where) const;
};

// A machine so busy that a read did not get its five seconds of time says nothing.
[[nodiscard]] bool is_starved(const common::Result<StoreVerdict>& verdict);

// A volume that somebody was making in `directory`: it is there if `made` says so, and if not it
// can be made. Null or what is wrong.
[[nodiscard]] common::Status check_creation(const std::string& directory, bool made,
                                            bool machine_restarted);

// Power losses, simulated: every workload of one and two actions is recorded; at each step of the
// recording, images that keep everything, nothing, and some of what no sync had covered, and all
// subsets where these are few; recovery is itself recorded and cut.
void lose_power(const Soak& soak);

// kill -9 at every operation on a file, of making, opening and closing, too.
class Kills {
 public:
  explicit Kills(const Soak& soak);
  void round();

 private:
  void everywhere(const CrashWorkload& workload);
  [[nodiscard]] bool once(const CrashWorkload& workload, const StoreModel& reference,
                          std::uint64_t at);
  void while_making();
  void kill_recovery();

  const Soak& soak_;
  common::sim::Random random_;
  const std::string directory_;
};

// Power cuts of a real ext4 and xfs in loop-mounted files, shut down without flushing, under a
// volume that is being made or working. Needs root.
class PowerCuts {
 public:
  explicit PowerCuts(const Soak& soak);
  // False: there can be no more, and stderr says why.
  [[nodiscard]] bool round();

 private:
  [[nodiscard]] bool mounted(bool on) const;
  [[nodiscard]] bool cut_and_mount_again(int fd, pid_t child) const;
  [[nodiscard]] bool cut_making(const std::string& kind);
  [[nodiscard]] bool cut(const std::string& kind, const CrashWorkload& workload,
                         const StoreModel& reference);
  void count(const std::string& kind) const;

  const Soak& soak_;
  common::sim::Random random_;
  const std::string image_;
  const std::string mount_;
  std::uint64_t rounds_ = 0;
};

}  // namespace soak_store
