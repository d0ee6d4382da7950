#include "tests/soak/promises/isolated.hpp"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/support/soak_scratch.hpp"

namespace promises_real {

namespace {

constexpr int kSkipped = 77;  // for tests/run.py

int first_process(const std::function<int(const std::string&)>& inside) {
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("proc", "/proc", "proc", 0, nullptr) != 0) {
    std::perror("mounting /proc");
    return 1;
  }
  const test_support::SoakScratch scratch;
  ::setenv("TMPDIR", scratch.path().c_str(), 1);
  return inside(scratch.path());
}

// Forks, and waits: the exit code.
int in_child(const std::function<int()>& what) {
  const pid_t child = ::fork();
  if (child < 0) {
    std::perror("fork");
    return 1;
  }
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int code = what();
    std::fflush(nullptr);
    // Nothing of the parent's is this process's to end.
    ::_exit(code);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status))
    return WEXITSTATUS(status);
  std::fprintf(stderr, "the run ended with signal %d\n", WTERMSIG(status));
  return 1;
}

}  // namespace

// Two processes are between: a new process namespace begins with the next child, and whoever made
// it can have no threads any more.
int run_isolated(const std::function<int(const std::string& scratch)>& inside) {
  return in_child([&] {
    if (::unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET) != 0) {
      std::printf("SKIPPED: promises-real: no namespaces can be made: %s\n", std::strerror(errno));
      return kSkipped;
    }
    return in_child([&] { return first_process(inside); });
  });
}

}  // namespace promises_real
