// Real file systems whose power is cut.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "common/io/unique_fd.hpp"
#include "tests/soak/store_crash_parts.hpp"
#include "tests/support/process.hpp"

namespace soak_store {

namespace {

using common::Result;
using common::Status;

constexpr int kCutsOfOneFileSystem = 10;

bool run_program(const std::vector<std::string>& words) {
  const auto done = run_command(words[0], {words.begin() + 1, words.end()});
  if (done && done->status.ok())
    return true;
  std::fprintf(stderr, "no power cuts: %s: %s\n", words[0].c_str(),
               done ? done->error_output.c_str() : done.error().message.c_str());
  return false;
}

// Until the child has ended, or so long.
void wait_for(pid_t child, std::chrono::microseconds delay) {
  const common::UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  pollfd ended{handle.get(), POLLIN, 0};
  const timespec time{0, delay.count() * 1000};
  if (!handle.valid() || ::ppoll(&ended, 1, &time, nullptr) < 0)
    std::abort();
}

template <typename Work>
pid_t start_child(Work&& work) {
  const pid_t child = ::fork();
  if (child < 0)
    std::abort();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    work();  // what fails after the cut fails for that reason
    ::_exit(0);
  }
  return child;
}

}  // namespace

PowerCuts::PowerCuts(const Soak& soak)
    : soak_(soak),
      random_(soak.seed + 2),
      image_(soak.scratch + "/disk"),
      mount_(soak.scratch + "/mount") {
  std::filesystem::create_directory(mount_);
}

// A file system that is shut down stays so for as long as anybody has it mounted, and mounting it
// again then joins the old one: only writing tells.
bool PowerCuts::mounted(bool on) const {
  if (!on)
    return run_program({"umount", mount_});
  if (!run_program({"mount", "-o", "loop", image_, mount_}))
    return false;
  const std::string probe = mount_ + "/probe";
  const common::UniqueFd fd(::open(probe.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  if (fd.valid() && ::unlink(probe.c_str()) == 0)
    return true;
  std::fprintf(stderr, "no power cuts: the file system was not mounted anew: %s\n",
               std::strerror(errno));
  return false;
}

// One file system: volumes in the making, and one workload, cut ten times at random moments, each
// time from its beginning.
bool PowerCuts::round() {
  if (::geteuid() != 0) {
    std::fprintf(stderr, "no power cuts: they need root\n");
    return false;
  }
  const std::string kind = rounds_++ % 2 == 0 ? "ext4" : "xfs";
  std::filesystem::remove(image_);
  if (!run_program({"truncate", "-s", kind == "xfs" ? "320M" : "96M", image_}) ||
      !run_program(kind == "xfs" ? std::vector<std::string>{"mkfs.xfs", "-q", "-f", image_}
                                 : std::vector<std::string>{"mkfs.ext4", "-q", "-F", image_}) ||
      !mounted(true))
    return false;
  if (!cut_making(kind))
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
    for (int i = 0; i < kCutsOfOneFileSystem && !soak_.over(); ++i) {
      if (!cut(kind, workload, reference))
        return false;
    }
  }
  return mounted(false);
}

void PowerCuts::count(const std::string& kind) const {
  ++soak_.tally.power_cuts;
  soak_.tally.cuts_on_xfs += kind == "xfs" ? 1 : 0;
}

// The power goes: nothing that the file system has in memory reaches its disk. Then it is there
// again. `fd` is its root.
bool PowerCuts::cut_and_mount_again(int fd, pid_t child) const {
  std::uint32_t without_flushing = 2;
  constexpr unsigned long kShutdown = _IOR('X', 125, std::uint32_t);
  const bool shut_down = ::ioctl(fd, kShutdown, &without_flushing) == 0;
  ::close(fd);
  ::kill(child, SIGKILL);
  int status = 0;
  if (!shut_down)
    std::fprintf(stderr, "no power cuts: the file system cannot be shut down\n");
  return ::waitpid(child, &status, 0) == child && shut_down && mounted(false) && mounted(true);
}

bool PowerCuts::cut_making(const std::string& kind) {
  const std::string directory = mount_ + "/made";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directory(directory);
  const int fd = ::open(mount_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || ::syncfs(fd) != 0)
    std::abort();
  Acknowledged& told = soak_.tally.told_by_cut;
  told.committed = 0;
  const auto delay = std::chrono::microseconds(200 + random_.below(20'000));
  const pid_t child = start_child([&] {
    const ScriptedClock clock;
    const auto volume =
        store::Volume::create(directory, common::VolumeId{1}, crash_options(false), clock);
    if (volume)
      told.committed = 1;
  });
  wait_for(child, delay);
  const bool made = told.committed != 0;
  if (!cut_and_mount_again(fd, child))
    return false;
  count(kind);
  ++soak_.tally.creations;
  if (const Status sound = check_creation(directory, made, true); !sound)
    soak_.violation(kind + " cut after " + std::to_string(delay.count()) + " us of making a volume",
                    sound.error().message);
  return true;
}

bool PowerCuts::cut(const std::string& kind, const CrashWorkload& workload,
                    const StoreModel& reference) {
  const std::string directory = mount_ + "/volume";
  copy_volume(soak_.base.directory, directory);
  const int fd = ::open(mount_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || ::syncfs(fd) != 0)
    std::abort();
  Acknowledged& told = soak_.tally.told_by_cut;
  told.committed = told.stable = soak_.base.model->last().value;
  const auto delay = std::chrono::microseconds(500 + random_.below(150'000));
  const pid_t child = start_child([&] {
    StoreModel model = *soak_.base.model;
    CrashRun run;
    run.directory = directory;
    run.told = [&](Seq committed, Seq stable) {
      told.committed = committed.value;
      told.stable = stable.value;
    };
    static_cast<void>(run_workload(workload, soak_.base, run, model));
  });
  wait_for(child, delay);
  // Before the power goes: what is told from now on may be lost.
  const std::uint64_t stable = told.stable.load();
  const std::uint64_t committed = told.committed.load();
  if (!cut_and_mount_again(fd, child))
    return false;
  count(kind);
  CrashCheck check;
  check.directory = directory;
  check.at_least = Seq{stable};
  check.given = Seq{committed};
  check.machine_restarted = true;
  check.seed = random_.next();
  check.more = 20;
  soak_.judge(check_after_crash(check, reference),
              kind + " cut after " + std::to_string(delay.count()) + " us of " + workload.name());
  return true;
}

}  // namespace soak_store
