// Processes that die.

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <functional>

#include "common/io/faulty_file_io.hpp"
#include "common/io/posix_file_io.hpp"
#include "tests/soak/store_crash_parts.hpp"

namespace soak_store {

namespace {

using common::Result;
using common::Status;

constexpr std::uint64_t kNever = std::uint64_t{1} << 62;

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
  [[nodiscard]] std::uint64_t left() const { return left_.load(); }
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

}  // namespace

Kills::Kills(const Soak& soak)
    : soak_(soak), random_(soak.seed + 1), directory_(soak.scratch + "/killed") {}

void Kills::round() {
  if (random_.below(20) == 0)
    return while_making();
  CrashWorkload workload;
  if (random_.below(3) == 0) {
    workload.random_steps = 20;
    workload.seed = random_.next();
  } else {
    workload = crash_workload(random_.below(crash_workloads()));
  }
  everywhere(workload);
}

void Kills::everywhere(const CrashWorkload& workload) {
  // The same without dying tells the history, and how many operations opening takes, which is the
  // same for all workloads: once in a while is enough.
  StoreModel reference = *soak_.base.model;
  copy_volume(soak_.base.directory, directory_);
  DeathAt never(kNever);
  auto files = common::io::PosixFileIo::open_root(directory_);
  if (!files)
    return soak_.violation("the harness", files.error().message);
  common::io::FaultyFileIo watched(**files);
  never.watch(watched);
  CrashRun run;
  run.directory = directory_;
  run.probe = &never;
  run.io = &watched;
  std::uint64_t first = 1;
  if (random_.below(16) != 0)
    run.opened = [&] { first = kNever - never.left(); };
  if (const Status done = run_workload(workload, soak_.base, run, reference); !done)
    return soak_.violation(workload.name(), done.error().message);
  for (std::uint64_t at = first; !soak_.over(); ++at) {
    if (!once(workload, reference, at))
      return;
  }
}

// False when the workload ended before it could be killed.
bool Kills::once(const CrashWorkload& workload, const StoreModel& reference, std::uint64_t at) {
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
  soak_.judge(verdict, where);
  if (verdict && verdict->rolled_back != 0)
    soak_.violation(where, "commits were rolled back though the machine went on");
  return true;
}

void Kills::while_making() {
  for (std::uint64_t at = 1; !soak_.over(); ++at) {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directory(directory_);
    Acknowledged& told = soak_.tally.told_by_killed;
    told.committed = 0;
    const std::string where = "making a volume, killed at operation " + std::to_string(at);
    std::string wrong;
    const bool killed = run_child(
        [&]() -> Status {
          DeathAt death(at);
          TROTH_TRY(auto files, common::io::PosixFileIo::open_root(directory_));
          common::io::FaultyFileIo watched(*files);
          death.watch(watched);
          const ScriptedClock clock;
          auto options = crash_options(false);
          options.probe = &death;
          options.segment_io = &watched;
          TROTH_TRY(auto volume,
                    store::Volume::create(directory_, common::VolumeId{1}, options, clock));
          told.committed = 1;
          return volume->close();
        },
        wrong);
    if (!wrong.empty())
      soak_.violation(where, wrong);
    if (!killed)
      return;
    ++soak_.tally.kills;
    ++soak_.tally.creations;
    if (const Status sound = check_creation(directory_, told.committed != 0, false); !sound)
      soak_.violation(where, sound.error().message);
  }
}

void Kills::kill_recovery() {
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

}  // namespace soak_store
