// Power losses, simulated.

#include <algorithm>
#include <cstdio>
#include <unordered_set>

#include "common/io/posix_file_io.hpp"
#include "tests/soak/store_crash_parts.hpp"

namespace soak_store {

namespace {

using common::Result;
using common::Status;
using common::sim::Random;

class PowerLoss {
 public:
  explicit PowerLoss(const Soak& soak)
      : soak_(soak),
        random_(soak.seed),
        live_(soak.scratch + "/live"),
        cut_(soak.scratch + "/cut") {}

  void run() {
    // From anywhere, so that several runs together see everything.
    std::size_t number = soak_.seed * 7919 % crash_workloads();
    for (; !soak_.over(); number = (number + 1) % crash_workloads()) {
      CrashWorkload workload = crash_workload(number);
      if (random_.below(20) == 0) {
        workload = {};
        workload.random_steps = 30;
        workload.seed = random_.next();
      }
      explore(workload);
      if (++soak_.tally.workloads % 20 == 0)
        std::fprintf(stderr,
                     "%llu workloads, %llu crash states, %llu rolled back, %llu kills, %llu cuts\n",
                     static_cast<unsigned long long>(soak_.tally.workloads.load()),
                     static_cast<unsigned long long>(soak_.tally.crash_states.load()),
                     static_cast<unsigned long long>(soak_.tally.rolled_back.load()),
                     static_cast<unsigned long long>(soak_.tally.kills.load()),
                     static_cast<unsigned long long>(soak_.tally.power_cuts.load()));
    }
  }

 private:
  using Loss = StoreRecorder::Loss;

  void explore(const CrashWorkload& workload) {
    copy_volume(soak_.base.directory, live_);
    auto files = common::io::PosixFileIo::open_root(live_);
    if (!files)
      std::abort();
    StoreRecorder recorder(**files);
    recorder.start(live_);
    StoreModel model = *soak_.base.model;
    recorder.note({model.last().value, model.last().value});
    CrashRun run;
    run.directory = live_;
    run.probe = &recorder;
    run.io = &recorder;
    run.told = [&](Seq committed, Seq stable) { recorder.note({committed.value, stable.value}); };
    run.close = random_.below(4) == 0;
    // Opening is the same for all: once in a while is enough.
    std::size_t first = 0;
    if (random_.below(16) != 0)
      run.opened = [&] { first = recorder.length(); };
    if (const Status done = run_workload(workload, soak_.base, run, model); !done) {
      soak_.violation(workload.name(), done.error().message);
      return;
    }
    seen_.clear();
    for (std::size_t position = first; position <= recorder.length() && !soak_.over(); ++position)
      at(workload, recorder, model, position);
  }

  void at(const CrashWorkload& workload, const StoreRecorder& recorder, const StoreModel& model,
          std::size_t position) {
    examine(workload, recorder, recorder.make_image(position, Loss::Nothing, random_), model,
            position, false);
    const auto least = recorder.make_image(position, Loss::Everything, random_);
    const std::size_t unsynced = least.unsynced;
    examine(workload, recorder, least, model, position, true);
    constexpr std::size_t kAllSubsets = 3;
    if (unsynced <= kAllSubsets) {
      for (std::uint64_t kept = 1; kept < std::uint64_t{1} << unsynced; ++kept)
        examine(workload, recorder, recorder.make_subset(position, kept), model, position, true);
    }
    for (int i = 0; i < 2 && unsynced != 0; ++i)
      examine(workload, recorder, recorder.make_image(position, Loss::Some, random_), model,
              position, true);
  }

  void examine(const CrashWorkload& workload, const StoreRecorder& recorder,
               const StoreRecorder::Image& image, const StoreModel& model, std::size_t position,
               bool power) {
    if (!seen_.insert(image.signature * 2 + (power ? 1 : 0)).second)
      return;
    write_image(image, cut_);
    CrashCheck check;
    check.directory = cut_;
    check.at_least = Seq{power ? image.notes.stable : image.notes.committed};
    check.given = Seq{image.notes.committed};
    check.machine_restarted = power;
    check.seed = random_.next();
    check.more = check.seed % 32 == 0 ? 100 : 3;
    std::string where = workload.name() + ", step " + std::to_string(position) +
                        (power ? ", power loss" : ", kill");
    if (power && random_.below(12) == 0 && !cut_recovery(check, image.notes, where))
      return;
    ++soak_.tally.crash_states;
    auto verdict = check_after_crash(check, model);
    // A machine so busy that a read did not get its five seconds of time says nothing.
    for (int i = 0; i < 3 && is_starved(verdict); ++i) {
      write_image(image, cut_);
      verdict = check_after_crash(check, model);
    }
    soak_.judge(verdict, verdict ? where : where + " (" + recorder.describe(position) + ")");
  }

  // Opens the image and cuts the power again in the middle of that, up to three times.
  bool cut_recovery(const CrashCheck& check, const StoreRecorder::Notes& notes,
                    std::string& where) {
    const std::uint64_t levels = 1 + random_.below(3);
    for (std::uint64_t i = 0; i < levels; ++i) {
      auto files = common::io::PosixFileIo::open_root(cut_);
      if (!files)
        std::abort();
      StoreRecorder recorder(**files);
      recorder.start(cut_);
      recorder.note(notes);
      {
        ScriptedClock clock;
        auto options = crash_options(check.machine_restarted);
        options.probe = &recorder;
        options.segment_io = &recorder;
        const auto volume = store::Volume::open(cut_, options, clock);
        if (!volume) {
          soak_.violation(where + ", opening", volume.error().message);
          return false;
        }
      }
      const std::size_t position = random_.below(recorder.length() + 1);
      where += ", recovery cut at " + std::to_string(position) + " of " +
               std::to_string(recorder.length());
      write_image(recorder.make_image(
                      position, random_.below(3) == 0 ? Loss::Everything : Loss::Some, random_),
                  cut_);
      ++soak_.tally.recoveries_cut;
    }
    return true;
  }

  const Soak& soak_;
  Random random_;
  const std::string live_;
  const std::string cut_;
  std::unordered_set<std::uint64_t> seen_;
};

}  // namespace

void lose_power(const Soak& soak) {
  PowerLoss(soak).run();
}

}  // namespace soak_store
