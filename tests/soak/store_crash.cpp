// Crashes of a volume, of every kind that can be made on one machine; after each, the volume must
// be what the model says it was at some commit, not older than what was acknowledged.
//
//   soak_store_crash [--seconds N] [--seed S] [--images DIRECTORY]
//
// Three parts share the time, each in a process of its own:
//  - power losses, simulated: all workloads of one and two actions, recorded; at each step of the
//    recording, images that keep everything, nothing, and some of what no sync had covered, and all
//    subsets where these are few; recovery is itself recorded and cut;
//  - kill -9 at every operation on a file, of opening and closing, too;
//  - power cuts of a real ext4 and xfs in loop-mounted files (shut down without flushing), under a
//    volume that is working. Needs root; without it, none are made and the count says so.
// The file is long because these are three programs that share a model and a verdict.
//
// Last line:
// {"crash_states":..,"kills":..,"power_cuts":..,"recoveries_cut":..,"rolled_back":..,"violations":..}

#include "tests/support/store_crash.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <unordered_set>

#include "common/io/faulty_file_io.hpp"
#include "common/io/posix_file_io.hpp"
#include "tests/support/db_crash_check.hpp"
#include "tests/support/process.hpp"

namespace {

using namespace test_support;
using common::Instant;
using common::Result;
using common::Status;
using common::sim::Random;

const common::SystemClock kClock;
constexpr std::uint64_t kMostViolations = 10;

// In memory that all parts share.
struct Tally {
  std::atomic<std::uint64_t> crash_states{0};
  std::atomic<std::uint64_t> kills{0};
  std::atomic<std::uint64_t> power_cuts{0};
  std::atomic<std::uint64_t> recoveries_cut{0};
  std::atomic<std::uint64_t> rolled_back{0};
  std::atomic<std::uint64_t> violations{0};
  std::atomic<std::uint64_t> workloads{0};
  Acknowledged told_by_killed;  // of the processes that are to die
  Acknowledged told_by_cut;
};

struct Scratch {
  std::string path;
  explicit Scratch(const std::string& below) : path(below + "/troth-soak-crash-XXXXXX") {
    if (::mkdtemp(path.data()) == nullptr)
      std::abort();
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

struct Soak {
  Tally& tally;
  Instant end;
  std::uint64_t seed = 1;
  CrashBase base;
  std::string scratch;

  [[nodiscard]] bool over() const {
    return kClock.now() >= end || tally.violations >= kMostViolations;
  }
  void violation(const std::string& where, const std::string& why) const {
    ++tally.violations;
    std::fprintf(stderr, "violation: %s: %s\n", where.c_str(), why.c_str());
  }
};

bool is_starved(const Result<StoreVerdict>& verdict) {
  return !verdict && verdict.error().code == common::ErrorCode::DeadlineExceeded;
}

// --- simulated power losses ---

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
        std::fprintf(stderr, "%llu workloads, %llu crash states, %llu rolled back\n",
                     static_cast<unsigned long long>(soak_.tally.workloads.load()),
                     static_cast<unsigned long long>(soak_.tally.crash_states.load()),
                     static_cast<unsigned long long>(soak_.tally.rolled_back.load()));
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
    if (const Status done = run_workload(workload, soak_.base, run, model); !done) {
      soak_.violation(workload.name(), done.error().message);
      return;
    }
    seen_.clear();
    for (std::size_t position = 0; position <= recorder.length() && !soak_.over(); ++position)
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
    check.more = check.seed % 16 == 0 ? 100 : 4;
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
    if (!verdict)
      return soak_.violation(where,
                             verdict.error().message + " (" + recorder.describe(position) + ")");
    soak_.tally.rolled_back += verdict->rolled_back != 0 ? 1 : 0;
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

// --- processes that die ---

// Dies of SIGKILL at the operation number `at`, counted over the database's files and the segments.
class DeathAt final : public common::db::DiskProbe {
 public:
  explicit DeathAt(std::uint64_t at) : left_(at) {}
  void hit() {
    if (left_.fetch_sub(1) == 1)
      ::kill(::getpid(), SIGKILL);
  }
  int on_write(common::db::DiskFile, std::uint64_t, std::span<const std::byte>) override {
    hit();
    return 0;
  }
  int on_sync(common::db::DiskFile) override {
    hit();
    return 0;
  }
  int on_truncate(common::db::DiskFile, std::uint64_t) override {
    hit();
    return 0;
  }
  void watch(common::io::FaultyFileIo& files) {
    using common::io::Operation;
    for (const Operation operation :
         {Operation::Open, Operation::Write, Operation::Append, Operation::Sync,
          Operation::Truncate, Operation::Unlink, Operation::SyncDirectory}) {
      common::io::Fault fault;
      fault.operation = operation;
      fault.times = UINT64_MAX / 2;
      fault.before = [this] { hit(); };
      files.add(fault);
    }
  }

 private:
  std::atomic<std::uint64_t> left_;
};

// Carries the workload out in a child; whether it was killed. The child fails with a message if
// the volume does something wrong.
bool run_child(const std::function<Status()>& work, std::string& wrong) {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0)
    std::abort();
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const Status done = work();
    if (!done) {
      const std::string& text = done.error().message;
      if (::write(pipe[1], text.data(), std::min<std::size_t>(text.size(), 4000)) < 0)
        ::_exit(3);
    }
    ::_exit(done ? 0 : 1);
  }
  ::close(pipe[1]);
  std::array<char, 4096> text{};
  const ssize_t length = pid < 0 ? -1 : ::read(pipe[0], text.data(), text.size());
  ::close(pipe[0]);
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid)
    std::abort();
  if (length > 0)
    wrong.assign(text.data(), static_cast<std::size_t>(length));
  return WIFSIGNALED(status);
}

class Kills {
 public:
  explicit Kills(const Soak& soak)
      : soak_(soak), random_(soak.seed + 1), directory_(soak.scratch + "/killed") {}

  void run() {
    while (!soak_.over()) {
      CrashWorkload workload;
      if (random_.below(3) == 0) {
        workload.random_steps = 20;
        workload.seed = random_.next();
      } else {
        workload = crash_workload(random_.below(crash_workloads()));
      }
      everywhere(workload);
    }
  }

 private:
  void everywhere(const CrashWorkload& workload) {
    // The same without dying tells the history.
    StoreModel reference = *soak_.base.model;
    copy_volume(soak_.base.directory, directory_);
    CrashRun run;
    run.directory = directory_;
    if (const Status done = run_workload(workload, soak_.base, run, reference); !done)
      return soak_.violation(workload.name(), done.error().message);
    for (std::uint64_t at = 1; !soak_.over(); ++at) {
      if (!once(workload, reference, at))
        return;
    }
  }

  // False when the workload ended before it could be killed.
  bool once(const CrashWorkload& workload, const StoreModel& reference, std::uint64_t at) {
    copy_volume(soak_.base.directory, directory_);
    Acknowledged& told = soak_.tally.told_by_killed;
    told.committed = told.stable = soak_.base.model->last().value;
    const std::string where = workload.name() + ", killed at operation " + std::to_string(at);
    std::string wrong;
    const bool killed = run_child(
        [&]() -> Status {
          StoreModel model = *soak_.base.model;
          DeathAt death(at);
          TROTH_TRY(auto files, common::io::PosixFileIo::open_root(directory_));
          common::io::FaultyFileIo watched(*files);
          death.watch(watched);
          CrashRun run;
          run.directory = directory_;
          run.probe = &death;
          run.io = &watched;
          run.told = [&](Seq committed, Seq) { told.committed = committed.value; };
          return run_workload(workload, soak_.base, run, model);
        },
        wrong);
    if (!wrong.empty())
      soak_.violation(where, wrong);
    if (!killed)
      return false;
    ++soak_.tally.kills;
    if (random_.below(3) == 0)
      kill_recovery();
    CrashCheck check;
    check.directory = directory_;
    check.at_least = check.given = Seq{told.committed.load()};
    check.seed = random_.next();
    check.more = 3;
    const auto verdict = check_after_crash(check, reference);
    if (is_starved(verdict))
      std::fprintf(stderr, "not judged: %s\n", where.c_str());
    else if (!verdict)
      soak_.violation(where, verdict.error().message);
    else if (verdict->rolled_back != 0)
      soak_.violation(where, "commits were rolled back though the machine went on");
    return true;
  }

  void kill_recovery() {
    std::string wrong;
    const std::uint64_t at = 1 + random_.below(20);
    const bool killed = run_child(
        [&]() -> Status {
          DeathAt death(at);
          TROTH_TRY(auto files, common::io::PosixFileIo::open_root(directory_));
          common::io::FaultyFileIo watched(*files);
          death.watch(watched);
          ScriptedClock clock;
          auto options = crash_options(false);
          options.probe = &death;
          options.segment_io = &watched;
          TROTH_TRY(auto volume, store::Volume::open(directory_, options, clock));
          return volume->close();
        },
        wrong);
    soak_.tally.kills += killed ? 1 : 0;
    soak_.tally.recoveries_cut += killed ? 1 : 0;
    if (!wrong.empty())
      soak_.violation("recovery after a kill", wrong);
  }

  const Soak& soak_;
  Random random_;
  const std::string directory_;
};

// --- real file systems ---

class PowerCuts {
 public:
  explicit PowerCuts(const Soak& soak)
      : soak_(soak),
        random_(soak.seed + 2),
        image_(soak.scratch + "/disk"),
        mount_(soak.scratch + "/mount") {}

  void run() {
    std::filesystem::create_directory(mount_);
    if (::geteuid() != 0) {
      std::fprintf(stderr, "no power cuts: they need root\n");
      return;
    }
    for (int i = 0; !soak_.over(); ++i) {
      if (!round(i % 2 == 0 ? "ext4" : "xfs"))
        return;
    }
  }

 private:
  static bool run_program(const std::vector<std::string>& words) {
    const auto done = run_command(words[0], {words.begin() + 1, words.end()});
    if (done && done->status.ok())
      return true;
    std::fprintf(stderr, "no power cuts: %s: %s\n", words[0].c_str(),
                 done ? done->error_output.c_str() : done.error().message.c_str());
    return false;
  }

  [[nodiscard]] bool mounted(bool on) const {
    if (on)
      return run_program({"mount", "-o", "loop", image_, mount_});
    return run_program({"umount", mount_});
  }

  // One workload, cut ten times at random moments, each time from its beginning.
  bool round(const std::string& kind) {
    std::filesystem::remove(image_);
    if (!run_program({"truncate", "-s", kind == "xfs" ? "320M" : "96M", image_}) ||
        !run_program(kind == "xfs" ? std::vector<std::string>{"mkfs.xfs", "-q", "-f", image_}
                                   : std::vector<std::string>{"mkfs.ext4", "-q", "-F", image_}) ||
        !mounted(true))
      return false;
    CrashWorkload workload;
    workload.random_steps = 400;
    workload.seed = random_.next();
    StoreModel reference = *soak_.base.model;
    CrashRun run;
    run.directory = soak_.scratch + "/reference";
    copy_volume(soak_.base.directory, run.directory);
    if (const Status done = run_workload(workload, soak_.base, run, reference); !done) {
      soak_.violation(workload.name(), done.error().message);
    } else {
      for (int i = 0; i < 10 && !soak_.over(); ++i) {
        if (!cut(kind, workload, reference))
          return false;
      }
    }
    return mounted(false);
  }

  // Until the child has ended, or so long.
  static void wait_for(pid_t child, std::chrono::microseconds delay) {
    const int handle = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
    pollfd ended{handle, POLLIN, 0};
    const timespec time{0, delay.count() * 1000};
    if (handle < 0 || ::ppoll(&ended, 1, &time, nullptr) < 0)
      std::abort();
    ::close(handle);
  }

  bool cut(const std::string& kind, const CrashWorkload& workload, const StoreModel& reference) {
    const std::string directory = mount_ + "/volume";
    copy_volume(soak_.base.directory, directory);
    const int fd = ::open(mount_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || ::syncfs(fd) != 0)
      std::abort();
    Acknowledged& told = soak_.tally.told_by_cut;
    told.committed = told.stable = soak_.base.model->last().value;
    const auto delay = std::chrono::microseconds(500 + random_.below(150'000));
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      StoreModel model = *soak_.base.model;
      CrashRun run;
      run.directory = directory;
      run.told = [&](Seq committed, Seq stable) {
        told.committed = committed.value;
        told.stable = stable.value;
      };
      const Status done = run_workload(workload, soak_.base, run, model);
      ::_exit(done ? 0 : 1);  // what fails after the cut fails for that reason
    }
    wait_for(child, delay);
    // Before the power goes: what is told from now on may be lost.
    const std::uint64_t stable = told.stable.load();
    const std::uint64_t committed = told.committed.load();
    std::uint32_t without_flushing = 2;
    constexpr unsigned long kShutdown = _IOR('X', 125, std::uint32_t);
    if (::ioctl(fd, kShutdown, &without_flushing) != 0) {
      std::fprintf(stderr, "no power cuts: %s cannot be shut down\n", kind.c_str());
      return false;
    }
    ::close(fd);
    ::kill(child, SIGKILL);
    int status = 0;
    if (::waitpid(child, &status, 0) != child || !mounted(false) || !mounted(true))
      return false;
    ++soak_.tally.power_cuts;
    CrashCheck check;
    check.directory = directory;
    check.at_least = Seq{stable};
    check.given = Seq{committed};
    check.machine_restarted = true;
    check.seed = random_.next();
    check.more = 20;
    const auto verdict = check_after_crash(check, reference);
    const std::string where =
        kind + " cut after " + std::to_string(delay.count()) + " us of " + workload.name();
    if (is_starved(verdict))
      std::fprintf(stderr, "not judged: %s\n", where.c_str());
    else if (!verdict)
      soak_.violation(where, verdict.error().message);
    else
      soak_.tally.rolled_back += verdict->rolled_back != 0 ? 1 : 0;
    return true;
  }

  const Soak& soak_;
  Random random_;
  const std::string image_;
  const std::string mount_;
};

// --- together ---

template <typename Part>
pid_t start_part(const Soak& soak) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    {
      const Scratch scratch(soak.scratch);
      Soak mine = soak;
      mine.scratch = scratch.path;
      Part(mine).run();
    }
    ::_exit(0);
  }
  return pid;
}

std::uint64_t argument(int count, char** values, const char* name, std::uint64_t fallback) {
  for (int i = 1; i + 1 < count; ++i) {
    if (std::strcmp(values[i], name) == 0)
      return std::strtoull(values[i + 1], nullptr, 10);
  }
  return fallback;
}

}  // namespace

int main(int argc, char** argv) {
  void* const shared =
      ::mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED)
    std::abort();
  Tally& tally = *new (shared) Tally;
  const Scratch scratch(scratch_directory());
  const auto base = make_crash_base(scratch.path + "/base");
  if (!base) {
    std::fprintf(stderr, "no volume to begin with: %s\n", base.error().message.c_str());
    return 1;
  }
  const Instant end = kClock.now() + std::chrono::seconds(argument(argc, argv, "--seconds", 60));
  const Soak soak{tally, end, argument(argc, argv, "--seed", 1), *base, scratch.path};
  std::vector<pid_t> parts;
  const std::uint64_t which = argument(argc, argv, "--parts", 7);
  if ((which & 1) != 0)
    parts.push_back(start_part<PowerLoss>(soak));
  if ((which & 2) != 0)
    parts.push_back(start_part<Kills>(soak));
  if ((which & 4) != 0)
    parts.push_back(start_part<PowerCuts>(soak));
  for (const pid_t part : parts) {
    int status = 0;
    if (part < 0 || ::waitpid(part, &status, 0) != part || status != 0) {
      std::fprintf(stderr, "violation: a part of the soak died\n");
      ++tally.violations;
    }
  }
  const auto number = [](const std::atomic<std::uint64_t>& value) {
    return static_cast<unsigned long long>(value.load());
  };
  std::printf(
      "{\"crash_states\":%llu,\"kills\":%llu,\"power_cuts\":%llu,\"recoveries_cut\":%llu,"
      "\"workloads\":%llu,\"rolled_back\":%llu,\"violations\":%llu}\n",
      number(tally.crash_states), number(tally.kills), number(tally.power_cuts),
      number(tally.recoveries_cut), number(tally.workloads), number(tally.rolled_back),
      number(tally.violations));
  return tally.violations == 0 ? 0 : 1;
}
