// A password typed at a terminal: not shown, and the terminal as before however it ends.

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <thread>

#include "common/io/unique_fd.hpp"
#include "fixture.hpp"

using namespace identity_test;

namespace {

// `troth` on a terminal of its own.
class OnTerminal {
 public:
  enum class Under : std::uint8_t { Nobody, Shell };

  OnTerminal(const LiveCell& cell, const Words& words, Under under = Under::Nobody) {
    const auto program = test_support::find_program("troth");
    REQUIRE_OK(program);
    const auto options = cell.options_for("");
    std::vector<std::string> strings{program->string()};
    strings.insert(strings.end(), words.begin(), words.end());
    std::vector<char*> arguments;
    for (std::string& text : strings)
      arguments.push_back(text.data());
    arguments.push_back(nullptr);
    std::vector<std::string> variables{"TROTH_CELL=" + cell.directory().string(),
                                       "TROTH_CREDENTIALS=" + cell.credentials().string()};
    std::vector<char*> environment;
    for (std::string& text : variables)
      environment.push_back(text.data());
    environment.push_back(nullptr);
    std::array<int, 2> told{};
    REQUIRE(::pipe2(told.data(), O_CLOEXEC) == 0);
    const common::UniqueFd from(told[0]);
    common::UniqueFd to(told[1]);
    child_ = ::forkpty(&terminal_, nullptr, nullptr, nullptr);
    REQUIRE(child_ >= 0);
    if (child_ == 0) {
      // Whoever runs tests in the background has some of them ignored.
      for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP})
        ::signal(number, SIG_DFL);
      if (under == Under::Shell)
        be_a_shell(to.get());
      ::execve(arguments.front(), arguments.data(), environment.data());
      ::_exit(127);
    }
    to.reset();
    pid_ = child_;
    if (under == Under::Shell)
      REQUIRE(::read(from.get(), &pid_, sizeof pid_) == sizeof pid_);
  }
  ~OnTerminal() {
    ::kill(pid_, SIGKILL);
    ::kill(child_, SIGKILL);
    static_cast<void>(end());
    ::close(terminal_);
  }
  OnTerminal(const OnTerminal&) = delete;
  OnTerminal& operator=(const OnTerminal&) = delete;

  // Reads until the text has appeared, or the end; everything that was shown so far.
  const std::string& read_until(std::string_view text) {
    const auto deadline = soon();
    while (shown_.find(text) == std::string::npos && common::rpc::now() < deadline) {
      pollfd events{terminal_, POLLIN, 0};
      if (::poll(&events, 1, 100) <= 0)
        continue;
      std::array<char, 512> some{};
      const ssize_t got = ::read(terminal_, some.data(), some.size());
      if (got <= 0)
        break;
      shown_.append(some.data(), static_cast<std::size_t>(got));
    }
    return shown_;
  }
  void type(std::string_view text) const {
    REQUIRE(::write(terminal_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  [[nodiscard]] bool echoes() const {
    termios now{};
    REQUIRE(::tcgetattr(terminal_, &now) == 0);
    return (now.c_lflag & ECHO) != 0;
  }
  // Whether the text appears once more than it has been seen by now.
  bool read_until_again(std::string_view text) {
    shown_.clear();
    return read_until(text).find(text) != std::string::npos;
  }
  [[nodiscard]] std::string proc(const char* file) const {
    return fmt::format("/proc/{}/{}", pid_, file);
  }
  // Waits for the state that the kernel shows for it.
  [[nodiscard]] bool becomes(char state) const {
    const auto deadline = soon();
    for (;;) {
      const std::string stat = test_support::read_file(proc("stat")).value_or("");
      const auto at = stat.rfind(')');
      if (at != std::string::npos && at + 2 < stat.size() && stat[at + 2] == state)
        return true;
      if (common::rpc::now() >= deadline)
        return false;
      std::this_thread::yield();
    }
  }
  void signal(int number) const { REQUIRE(::kill(pid_, number) == 0); }
  // How it ended.
  int end() {
    int status = 0;
    const auto deadline = soon();
    while (!ended_) {
      if (::waitpid(child_, &status, WNOHANG) == child_) {
        ended_ = true;
      } else if (common::rpc::now() >= deadline) {
        ::kill(child_, SIGKILL);
        FAIL_CHECK("it did not end");
        ended_ = ::waitpid(child_, &status, 0) == child_;
      } else {
        std::this_thread::yield();
      }
    }
    return status;
  }

 private:
  // In the terminal's first process: returns in another one, which has the terminal as a job of a
  // shell has it, while this one waits for it.
  static void be_a_shell(int tell) {
    const pid_t job = ::fork();
    if (job == 0) {
      ::setpgid(0, 0);
      ::signal(SIGTTOU, SIG_IGN);
      ::tcsetpgrp(STDIN_FILENO, ::getpid());
      ::signal(SIGTTOU, SIG_DFL);
      const pid_t self = ::getpid();
      static_cast<void>(!::write(tell, &self, sizeof self));
      return;
    }
    int status = 0;
    while (::waitpid(job, &status, 0) < 0 && errno == EINTR) {
    }
    ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 126);
  }

  int terminal_ = -1;
  pid_t child_ = -1;  // ours; the terminal's first process
  pid_t pid_ = -1;    // troth
  bool ended_ = false;
  std::string shown_;
};

constexpr std::string_view kPrompt = "Password of admin in cell home: ";

}  // namespace

TEST_CASE("a password is typed unseen, and the terminal echoes again") {
  const auto cell = running_cell();
  OnTerminal troth(*cell, {"login", "admin"});
  CHECK(troth.read_until(kPrompt).find(kPrompt) != std::string::npos);
  CHECK_FALSE(troth.echoes());
  troth.type(line(kAdministratorPassword));
  const std::string shown = troth.read_until("Logged in");
  CHECK(shown.find("Logged in") != std::string::npos);
  CHECK(shown.find("horse") == std::string::npos);
  CHECK(troth.echoes());
}

TEST_CASE("a new password is typed twice, and must be the same") {
  const auto cell = running_cell();
  log_in_administrator(*cell);
  OnTerminal troth(*cell, {"passwd"});
  troth.read_until("Present password of admin: ");
  troth.type(line(kAdministratorPassword));
  troth.read_until("New password of admin: ");
  CHECK_FALSE(troth.echoes());
  troth.type("something new here\n");
  troth.read_until("The same again: ");
  troth.type("something new there\n");
  CHECK(troth.read_until("differ").find("differ; nothing was done") != std::string::npos);
  CHECK(troth.echoes());
  log_in_administrator(*cell);
}

TEST_CASE("a password is changed at the terminal, and the wrong one changes nothing") {
  const auto cell = running_cell();
  log_in_administrator(*cell);
  {
    OnTerminal troth(*cell, {"passwd"});
    troth.read_until("Present password of admin: ");
    troth.type("a wrong one\n");
    CHECK(troth.read_until("wrong password").find("wrong password") != std::string::npos);
    CHECK(WEXITSTATUS(troth.end()) == 1);
  }
  OnTerminal troth(*cell, {"passwd"});
  troth.read_until("Present password of admin: ");
  CHECK_FALSE(troth.echoes());
  troth.type(line(kAdministratorPassword));
  troth.read_until("New password of admin: ");
  CHECK_FALSE(troth.echoes());
  troth.type("something new here\n");
  troth.read_until("The same again: ");
  CHECK_FALSE(troth.echoes());
  troth.type("something new here\n");
  const std::string shown = troth.read_until("is changed");
  CHECK(shown.find("is changed") != std::string::npos);
  CHECK(shown.find("something new") == std::string::npos);
  CHECK(shown.find("horse") == std::string::npos);
  CHECK(troth.echoes());
  CHECK(troth.end() == 0);
  log_in(*cell, "admin", "something new here");
}

TEST_CASE("what handles passwords leaves no core file and is no other process's to look into") {
  const auto cell = running_cell({});
  OnTerminal troth(*cell, {"login", "admin"});
  troth.read_until(kPrompt);
  const std::string limits = test_support::read_file(troth.proc("limits")).value();
  const auto core = limits.find("Max core file size");
  REQUIRE(core != std::string::npos);
  CHECK(limits.substr(core, 60).find(" 0 ") != std::string::npos);
  troth.signal(SIGQUIT);
  CHECK_FALSE(WCOREDUMP(troth.end()));
}

TEST_CASE("a signal at the prompt leaves the terminal as it was") {
  const auto cell = running_cell({});
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    CAPTURE(number);
    OnTerminal troth(*cell, {"login", "admin"});
    troth.read_until(kPrompt);
    CHECK_FALSE(troth.echoes());
    troth.signal(number);
    const int status = troth.end();
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == number);
    CHECK(troth.echoes());
  }
}

TEST_CASE("stopped at the prompt it gives the terminal back, and asks again when it goes on") {
  const auto cell = running_cell();
  // With somebody above who could wake it, as a shell does: else the kernel lets nothing stop.
  OnTerminal troth(*cell, {"login", "admin"}, OnTerminal::Under::Shell);
  troth.read_until(kPrompt);
  CHECK_FALSE(troth.echoes());
  for (int i = 0; i < 2; ++i) {
    if (i == 0) {
      troth.signal(SIGTSTP);
    } else {
      troth.type("half a password\x1A");  // control-Z
    }
    REQUIRE(troth.becomes('T'));
    CHECK(troth.echoes());
    troth.signal(SIGCONT);
    CHECK(troth.read_until_again(kPrompt));
    CHECK_FALSE(troth.echoes());
  }
  troth.type(line(kAdministratorPassword));
  const std::string shown = troth.read_until("Logged in");
  CHECK(shown.find("Logged in") != std::string::npos);
  CHECK(shown.find("half a") == std::string::npos);
  CHECK(troth.echoes());
}

TEST_CASE("a machine is joined by typing how the fingerprint begins, and only by that") {
  const auto cell = running_cell();
  const test_support::TempDir dir;
  const std::string target = dir / "troth";
  const std::string fingerprint = succeed(*cell, {"cell", "fingerprint"});
  const std::string begin = fingerprint.substr(0, 5 * 4 + 4);
  std::string wrong = begin;
  wrong.back() = wrong.back() == '0' ? '1' : '0';
  const std::string right = " " + begin.substr(0, 4) + ":" + begin.substr(5);
  for (const std::string& answer :
       {std::string("yes"), std::string(), fingerprint.substr(0, 5 * 4 - 1), wrong,
        begin + fingerprint.substr(0, 4), right}) {
    CAPTURE(answer);
    OnTerminal troth(*cell, {"cell", "join", cell->listen("kdc"), "--dir", target});
    const std::string shown = troth.read_until("or more: ");
    CHECK(shown.find("that it is the cell home") != std::string::npos);
    // Nothing to copy from.
    CHECK(shown.find(begin.substr(0, 4)) == std::string::npos);
    CHECK(std::filesystem::is_empty(dir.path()));
    troth.type(answer + "\n");
    const std::string expected = answer == right ? "Joined the cell home" : "nothing was written";
    CHECK(troth.read_until(expected).find(expected) != std::string::npos);
    static_cast<void>(troth.end());
    CHECK(std::filesystem::exists(target) == (answer == right));
  }
}
