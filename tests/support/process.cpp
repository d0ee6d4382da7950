#include "tests/support/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>
#include <utility>

#include "common/io/unique_fd.hpp"
#include "common/sync/locked.hpp"

extern char** environ;

namespace test_support {
namespace {

using common::ErrorCode;
using common::fail;
using common::fail_errno;
using common::Result;
using common::Status;
using common::UniqueFd;

// A pipe's capacity: so much input fits in without anybody reading.
constexpr std::size_t kMaxInput = 64 * 1024;
// So much of a process's output is quoted when something did not come.
constexpr std::size_t kQuoted = 2000;

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0)
    return fail_errno(errno, "make a pipe");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// What a child has written; filled by the reader thread.
struct Captured {
  std::array<std::string, 2> text;        // standard output, standard error
  std::array<std::size_t, 2> searched{};  // wait_for_line has returned everything before
  bool ended = false;
};

struct Shared {
  common::Locked<Captured> captured;
  common::CondVar changed;
};

// Copies both outputs until they end or `quit` is closed; owns its descriptors.
void reader_main(Shared& shared, const UniqueFd& out, const UniqueFd& error, const UniqueFd& quit) {
  std::array<pollfd, 3> wanted{pollfd{out.get(), POLLIN, 0}, pollfd{error.get(), POLLIN, 0},
                               pollfd{quit.get(), POLLIN, 0}};
  std::array<char, 65536> buffer{};
  while (wanted[0].fd >= 0 || wanted[1].fd >= 0) {
    if (::poll(wanted.data(), wanted.size(), -1) < 0 && errno != EINTR)
      break;
    for (std::size_t i = 0; i < 2; ++i) {
      if (wanted[i].fd < 0 || wanted[i].revents == 0)
        continue;
      const ssize_t n = ::read(wanted[i].fd, buffer.data(), buffer.size());
      if (n > 0)
        shared.captured.lock()->text[i].append(buffer.data(), static_cast<std::size_t>(n));
      else if (n == 0 || errno != EINTR)
        wanted[i].fd = -1;
    }
    shared.changed.notify_all();
    if (wanted[2].revents != 0 && wanted[0].revents == 0 && wanted[1].revents == 0)
      break;  // a grandchild holds the pipes open; what the child wrote has been read
  }
  shared.captured.lock()->ended = true;
  shared.changed.notify_all();
}

std::vector<std::string> environment_of(const ProcessOptions& options) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable(*entry);
    const std::string name(variable.substr(0, variable.find('=')));
    if (!options.environment.contains(name) &&
        std::find(options.without.begin(), options.without.end(), name) == options.without.end())
      result.emplace_back(variable);
  }
  for (const auto& [name, value] : options.environment)
    result.push_back(fmt::format("{}={}", name, value));
  return result;
}

// The command with what has to happen before it; each wrapper replaces itself by the next.
std::vector<std::string> command_of(const std::filesystem::path& program,
                                    const std::vector<std::string>& arguments,
                                    const ProcessOptions& options) {
  std::vector<std::string> command;
  if (options.network_namespace.starts_with('/'))
    command.insert(command.end(), {"nsenter", "--net=" + options.network_namespace, "--"});
  else if (!options.network_namespace.empty())
    command.insert(command.end(), {"ip", "netns", "exec", options.network_namespace});
  if (options.open_files)
    command.insert(command.end(),
                   {"prlimit", fmt::format("--nofile={}", *options.open_files), "--"});
  if (options.as_nobody)
    command.insert(command.end(),
                   {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"});
  command.push_back(program);
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings)
    result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

struct StandardStreams {
  int in;
  int out;
  int error;
};

Result<pid_t> spawn_child(std::vector<std::string> command, std::vector<std::string> environment,
                          const std::filesystem::path& directory, StandardStreams streams) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, streams.in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, streams.out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, streams.error, STDERR_FILENO);
  if (!directory.empty())
    posix_spawn_file_actions_addchdir_np(&actions, directory.c_str());
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, command[0].c_str(), &actions, &attributes,
                                   pointers(command).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0)
    return fail_errno(error, "start {}", command[0]);
  return pid;
}

ExitStatus status_of(const siginfo_t& info) {
  ExitStatus status;
  if (info.si_code == CLD_EXITED)
    status.code = info.si_status;
  else
    status.signal = info.si_status;
  return status;
}

std::string tail(const std::string& text) {
  return text.size() <= kQuoted ? text : "..." + text.substr(text.size() - kQuoted);
}

}  // namespace

std::string ExitStatus::describe() const {
  if (code)
    return fmt::format("exit code {}", *code);
  return fmt::format("killed by signal {}", signal.value_or(0));
}

struct Process::Impl {
  std::string name;
  pid_t pid = -1;
  UniqueFd handle;  // pidfd: can be polled, and never means another process
  std::optional<ExitStatus> ended;
  Shared shared;
  UniqueFd out;
  UniqueFd error;
  UniqueFd quit;       // the reader's end
  UniqueFd quit_hold;  // closing it makes the reader stop
  std::thread reader;

  void finish_reading() {
    quit_hold.reset();
    if (reader.joinable())
      reader.join();
  }
  // Whether the child ended within the time.
  bool await_end(std::chrono::nanoseconds timeout);
  void kill_group();
  void destroy();
};

void Process::Impl::kill_group() {
  ::kill(-pid, SIGKILL);
  if (!await_end(kPatience))
    fmt::print(stderr, "{} ({}) survives SIGKILL\n", name, pid);
  finish_reading();
}

void Process::Impl::destroy() {
  kill_group();
  ::waitpid(pid, nullptr, WNOHANG);
}

bool Process::Impl::await_end(std::chrono::nanoseconds timeout) {
  if (ended)
    return true;
  const auto until = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    pollfd wanted{handle.get(), POLLIN, 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    const int ready = ::poll(&wanted, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready > 0)
      break;
    if (ready == 0)
      return false;
    if (errno != EINTR)
      return false;
  }
  siginfo_t info{};
  // Left uncollected: as long as it is, nobody else can get its number, and kill() means its group.
  if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) != 0)
    return false;
  ended = status_of(info);
  finish_reading();
  return true;
}

Process::Process(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Process::Process(Process&&) noexcept = default;
Process& Process::operator=(Process&& other) noexcept {
  if (this != &other) {
    if (impl_)
      impl_->destroy();
    impl_ = std::move(other.impl_);
  }
  return *this;
}
Process::~Process() {
  if (impl_)
    impl_->destroy();
}

Result<Process> Process::spawn(const std::filesystem::path& program,
                               const std::vector<std::string>& arguments,
                               const ProcessOptions& options) {
  if (options.input.size() > kMaxInput)
    return fail(ErrorCode::TooLarge, "more than {} bytes of input", kMaxInput);
  TROTH_TRY(Pipe in, make_pipe());
  TROTH_TRY(Pipe out, make_pipe());
  TROTH_TRY(Pipe error, make_pipe());
  TROTH_TRY(Pipe quit, make_pipe());
  if (!options.input.empty() &&
      ::write(in.write_end.get(), options.input.data(), options.input.size()) < 0)
    return fail_errno(errno, "write the input of {}", program.string());
  auto impl = std::make_unique<Impl>();
  impl->name = program.filename();
  TROTH_TRY(impl->pid,
            spawn_child(command_of(program, arguments, options), environment_of(options),
                        options.directory,
                        {in.read_end.get(), out.write_end.get(), error.write_end.get()}));
  impl->handle.reset(static_cast<int>(::syscall(SYS_pidfd_open, impl->pid, 0)));
  impl->out = std::move(out.read_end);
  impl->error = std::move(error.read_end);
  impl->quit = std::move(quit.read_end);
  impl->quit_hold = std::move(quit.write_end);
  impl->reader = std::thread(
      [state = impl.get()] { reader_main(state->shared, state->out, state->error, state->quit); });
  return Process(std::move(impl));
}

pid_t Process::pid() const {
  return impl_->pid;
}

bool Process::running() {
  return !impl_->await_end({});
}

Status Process::signal(int number) {
  if (impl_->ended || ::kill(impl_->pid, number) != 0)
    return fail(ErrorCode::NotFound, "{} has ended", impl_->name);
  return {};
}

void Process::kill() {
  impl_->kill_group();
}

Status Process::stop() {
  TROTH_TRY_VOID(signal(SIGSTOP));
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(impl_->pid), &info, WSTOPPED) != 0)
    return fail_errno(errno, "wait until {} stands still", impl_->name);
  return {};
}

Status Process::resume() {
  return signal(SIGCONT);
}

Result<ExitStatus> Process::wait(std::chrono::nanoseconds timeout) {
  if (!impl_->await_end(timeout))
    return fail(ErrorCode::DeadlineExceeded, "{} is still running; it said: {}{}", impl_->name,
                tail(output()), tail(error_output()));
  return *impl_->ended;
}

Result<std::string> Process::wait_for_line(std::string_view text,
                                           std::chrono::nanoseconds timeout) {
  std::optional<std::string> line;
  const auto found = [&](Captured& captured) {
    for (std::size_t i = 0; i < 2 && !line; ++i) {
      std::size_t begin = captured.searched[i];
      for (auto end = captured.text[i].find('\n', begin); end != std::string::npos;
           end = captured.text[i].find('\n', begin)) {
        std::string candidate = captured.text[i].substr(begin, end - begin);
        begin = end + 1;
        if (candidate.find(text) == std::string::npos)
          continue;
        captured.searched[i] = begin;
        line = std::move(candidate);
        break;
      }
    }
    return line.has_value();
  };
  {
    auto captured = impl_->shared.captured.lock();
    captured.wait_for(impl_->shared.changed, timeout,
                      [&](Captured& state) { return found(state) || state.ended; });
  }
  if (line)
    return *std::move(line);
  const bool ended = impl_->shared.captured.lock()->ended;
  return fail(ended ? ErrorCode::Unavailable : ErrorCode::DeadlineExceeded,
              "{} did not print '{}'{}; it said: {}{}", impl_->name, text,
              ended ? " before it ended" : "", tail(output()), tail(error_output()));
}

std::string Process::output() const {
  return impl_->shared.captured.lock()->text[0];
}
std::string Process::error_output() const {
  return impl_->shared.captured.lock()->text[1];
}

Result<CommandResult> run_command(const std::filesystem::path& program,
                                  const std::vector<std::string>& arguments,
                                  const ProcessOptions& options, std::chrono::nanoseconds timeout) {
  TROTH_TRY(Process process, Process::spawn(program, arguments, options));
  TROTH_TRY(const ExitStatus status, process.wait(timeout));
  return CommandResult{status, process.output(), process.error_output()};
}

Result<std::string> run_checked(const std::filesystem::path& program,
                                const std::vector<std::string>& arguments,
                                const ProcessOptions& options) {
  TROTH_TRY(CommandResult result, run_command(program, arguments, options));
  if (!result.status.ok())
    return fail(ErrorCode::Unavailable, "{} {}: {}: {}", program.string(),
                fmt::join(arguments, " "), result.status.describe(), tail(result.error_output));
  return std::move(result.output);
}

Result<std::filesystem::path> find_program(std::string_view name) {
  if (const char* directory = std::getenv("TROTH_BIN_DIR"))
    return std::filesystem::path(directory) / name;
  std::filesystem::path build = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  while (!std::filesystem::exists(build / "build.ninja")) {
    if (!build.has_relative_path())
      return fail(ErrorCode::NotFound, "not in a build directory; set TROTH_BIN_DIR");
    build = build.parent_path();
  }
  for (const char* folder :
       {"kdc", "lockserver", "fileserver", "fuse-client", "cli", "tests/support"})
    if (std::filesystem::exists(build / folder / name))
      return build / folder / name;
  return fail(ErrorCode::NotFound, "{} is not built: ninja -C {} {}", name,
              build.filename().string(), name);
}

}  // namespace test_support
