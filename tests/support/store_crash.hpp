#pragma once

// Workloads on a volume, and what must be true of it after a crash in any of them. Shared by the
// tests and by the soak program.

#include <atomic>

#include "tests/support/store_driver.hpp"
#include "tests/support/store_recorder.hpp"

namespace test_support {

// What is known outside of the process that is about to be killed.
struct Acknowledged {
  std::atomic<std::uint64_t> committed{0};
  std::atomic<std::uint64_t> stable{0};
};

// One thing that a workload does. Deterministic: what it asks depends on the model's state alone.
struct CrashAction {
  enum class Kind : std::uint8_t { Commit, Sync, Upkeep, Reopen };
  std::string name;
  Kind kind = Kind::Commit;
  std::function<ModelStep(const ModelState&)> step;  // Commit
};
[[nodiscard]] const std::vector<CrashAction>& crash_actions();

struct CrashWorkload {
  std::vector<const CrashAction*> actions;
  bool stable_between = false;     // waits for each to be stable
  std::uint64_t random_steps = 0;  // instead: so many steps of a driver, with upkeep and syncs
  std::uint64_t seed = 1;
  [[nodiscard]] std::string name() const;
};
// Every one of one action and every two, in a fixed order.
[[nodiscard]] std::size_t crash_workloads();
[[nodiscard]] CrashWorkload crash_workload(std::size_t number);

// A volume with a bit of everything, and its model. The directory can be copied and used again.
struct CrashBase {
  std::string directory;
  std::shared_ptr<const StoreModel> model;
  std::int64_t wall = 0;
};
[[nodiscard]] common::Result<CrashBase> make_crash_base(const std::string& directory);

// Small limits, so that checkpoints, new segments and reserving happen in short workloads.
[[nodiscard]] store::VolumeOptions crash_options(bool machine_restarted);

// Opens the volume and carries the workload out; `model` is the base's and follows. Wherever
// something was acknowledged, `told` is called with (committed, stable). `probe` and `io` may be
// null. Without `close`, the volume is left as it is.
struct CrashRun {
  std::string directory;
  common::db::DiskProbe* probe = nullptr;
  common::io::FileIo* io = nullptr;
  std::function<void(Seq committed, Seq stable)> told;
  std::function<void()> opened;
  bool close = true;
};
[[nodiscard]] common::Status run_workload(const CrashWorkload& workload, const CrashBase& base,
                                          const CrashRun& run, StoreModel& model);

struct StoreVerdict {
  Seq survived;
  std::uint64_t rolled_back = 0;
};
// Opens what a crash left and checks everything: the state is one of the history of `reference`,
// not older than `at_least`; nothing is damaged; ids and seqs are new; and it goes on working for
// `more` random steps. `recorder` may watch.
struct CrashCheck {
  std::string directory;
  Seq at_least;
  Seq given;  // neither this nor an older one, nor a node id that it made, is ever given again
  bool machine_restarted = false;
  std::uint64_t seed = 1;
  int more = 6;
};
[[nodiscard]] common::Result<StoreVerdict> check_after_crash(const CrashCheck& check,
                                                             const StoreModel& reference);

// A whole directory, files only one level deep and segments/.
void copy_volume(const std::string& from, const std::string& to);

}  // namespace test_support
