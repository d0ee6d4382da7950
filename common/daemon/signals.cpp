#include "common/daemon/signals.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

namespace common::daemon {

Result<Signals> Signals::take_over() {
  if (::signal(SIGPIPE, SIG_IGN) == SIG_ERR)
    return fail_errno(errno, "cannot ignore SIGPIPE");
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) {
    // Started by nohup or a shell's background job, these may be ignored; we want them.
    ::signal(number, SIG_DFL);
    ::sigaddset(&set, number);
  }
  if (const int error = ::pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0) {
    return fail_errno(error, "cannot block signals");
  }
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid())
    return fail_errno(errno, "cannot listen for signals");
  return Signals(std::move(fd));
}

std::optional<Signal> Signals::next() {
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof(info)) != static_cast<ssize_t>(sizeof(info))) {
    return std::nullopt;
  }
  return info.ssi_signo == SIGHUP ? Signal::Reload : Signal::Stop;
}

}  // namespace common::daemon
