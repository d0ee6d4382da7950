#include "cli/prompt.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "common/crypto/hash.hpp"
#include "common/io/unique_fd.hpp"

namespace cli {
namespace {

using common::ErrorCode;
using common::fail;
using common::fail_errno;
using common::Result;
using common::Status;
using common::UniqueFd;
using common::crypto::Secret;

// What would end or stop us while the terminal is not as it was.
constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

// Takes kSignals as events instead of interruptions, until destroyed.
class HeldSignals {
 public:
  HeldSignals() {
    sigemptyset(&set_);
    for (const int signal : kSignals)
      sigaddset(&set_, signal);
    ::pthread_sigmask(SIG_BLOCK, &set_, &before_);
    fd_ = UniqueFd(::signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  ~HeldSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  // The signal that came, or 0.
  [[nodiscard]] int next() const {
    signalfd_siginfo info{};
    return ::read(fd_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo)
                                                                : 0;
  }
  // Lets it do what it would have done; returns if that was only to stop us for a while.
  void let_through(int signal) const {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signal);
    ::raise(signal);
    ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
    ::pthread_sigmask(SIG_BLOCK, &one, nullptr);
  }

 private:
  sigset_t set_{};
  sigset_t before_{};
  UniqueFd fd_;
};

// Echo off, until destroyed.
class Silence {
 public:
  explicit Silence(int terminal) : terminal_(terminal) {
    known_ = ::tcgetattr(terminal_, &before_) == 0;
    begin();
  }
  ~Silence() { end(); }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

  void begin() const {
    if (!known_)
      return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHOE | ECHOK);
    silent.c_lflag |= ICANON | ECHONL;
    ::tcsetattr(terminal_, TCSAFLUSH, &silent);
  }
  void end() const {
    if (known_)
      ::tcsetattr(terminal_, TCSAFLUSH, &before_);
  }
  [[nodiscard]] bool works() const { return known_; }

 private:
  int terminal_;
  bool known_ = false;
  termios before_{};
};

Result<UniqueFd> open_terminal() {
  UniqueFd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (!terminal.valid()) {
    return fail(ErrorCode::Unavailable,
                "there is no terminal to ask for a password; give it with --password-stdin or use "
                "--keytab");
  }
  return terminal;
}

void say(int terminal, std::string_view text) {
  // If the terminal is gone, reading from it says so.
  static_cast<void>(!::write(terminal, text.data(), text.size()));
}

// One line into `line`; how many bytes. `again` is called after the program was stopped.
template <typename Before, typename Again>
Result<std::size_t> read_line(int terminal, const HeldSignals& signals, std::span<std::byte> line,
                              Before before_signal, Again again) {
  std::array<pollfd, 2> events{{{terminal, POLLIN, 0}, {signals.fd(), POLLIN, 0}}};
  constexpr int kPatienceMs = static_cast<int>(std::chrono::milliseconds(kPromptPatience).count());
  for (;;) {
    const int ready = ::poll(events.data(), events.size(), kPatienceMs);
    if (ready == 0)
      return fail(ErrorCode::DeadlineExceeded, "nobody answered");
    if (const int signal = signals.next(); signal != 0) {
      before_signal();
      signals.let_through(signal);
      again();
      continue;
    }
    if ((events[0].revents & (POLLIN | POLLHUP | POLLERR)) == 0)
      continue;
    const ssize_t got = ::read(terminal, line.data(), line.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
      continue;
    if (got <= 0)
      return fail(ErrorCode::Cancelled, "the terminal was closed");
    return static_cast<std::size_t>(got);
  }
}

Result<Secret> as_password(common::ByteView line) {
  while (!line.empty() && (line.back() == std::byte{'\n'} || line.back() == std::byte{'\r'}))
    line = line.first(line.size() - 1);
  if (line.empty())
    return fail(ErrorCode::InvalidArgument, "an empty password; nothing was done");
  if (line.size() > kMaxPasswordBytes)
    return fail(ErrorCode::InvalidArgument, "a password has at most {} bytes", kMaxPasswordBytes);
  return Secret::copy_of(line);
}

}  // namespace

Result<Secret> ask_password(const std::string& prompt) {
  TROTH_TRY(const UniqueFd terminal, open_terminal());
  Secret line(kMaxPasswordBytes + 2);
  std::size_t got = 0;
  {
    const HeldSignals signals;
    const Silence silence(terminal.get());
    if (!silence.works())
      return fail_errno(errno, "cannot switch the terminal's echo off");
    say(terminal.get(), prompt);
    const auto read = read_line(
        terminal.get(), signals, line.writable(), [&] { silence.end(); },
        [&] {
          silence.begin();
          say(terminal.get(), prompt);
        });
    if (!read)
      return tl::unexpected(read.error());
    got = *read;
  }
  return as_password(line.bytes().first(got));
}

Result<Secret> ask_new_password(const std::string& prompt) {
  TROTH_TRY(Secret first, ask_password(prompt));
  TROTH_TRY(const Secret second, ask_password("The same again: "));
  if (!common::crypto::constant_time_equal(first.bytes(), second.bytes()))
    return fail(ErrorCode::InvalidArgument, "the two passwords differ; nothing was done");
  return first;
}

Result<Secret> read_password_line() {
  Secret line(kMaxPasswordBytes + 1);
  std::size_t used = 0;
  while (used < line.size()) {
    const ssize_t got = ::read(STDIN_FILENO, line.writable().data() + used, 1);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return fail_errno(errno, "cannot read a password from standard input");
    if (got == 0 || line.bytes()[used] == std::byte{'\n'})
      break;
    ++used;
  }
  return as_password(line.bytes().first(used));
}

Result<std::string> ask_line(const std::string& question) {
  TROTH_TRY(const UniqueFd terminal, open_terminal());
  const HeldSignals signals;
  say(terminal.get(), question);
  std::array<std::byte, 128> line{};
  TROTH_TRY(const std::size_t got, read_line(
                                       terminal.get(), signals, line, [] {}, [] {}));
  std::string_view text = common::as_text(common::ByteView(line).first(got));
  if (text.ends_with('\n'))
    text.remove_suffix(1);
  return std::string(text);
}

}  // namespace cli
