// A password typed at a terminal: not shown, and the terminal as before however it ends.

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "fixture.hpp"

using namespace identity_test;

namespace {

// `troth` on a terminal of its own.
class OnTerminal {
 public:
  OnTerminal(const LiveCell& cell, const Words& words) {
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
    pid_ = ::forkpty(&terminal_, nullptr, nullptr, nullptr);
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      ::execve(arguments.front(), arguments.data(), environment.data());
      ::_exit(127);
    }
  }
  ~OnTerminal() {
    ::kill(pid_, SIGKILL);
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
  void signal(int number) const { REQUIRE(::kill(pid_, number) == 0); }
  // How it ended.
  int end() {
    int status = 0;
    if (!ended_ && ::waitpid(pid_, &status, 0) == pid_)
      ended_ = true;
    return status;
  }

 private:
  int terminal_ = -1;
  pid_t pid_ = -1;
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
  OnTerminal troth(*cell, {"login", "admin"});
  troth.read_until(kPrompt);
  // Nobody could wake it here (it is its session's only process), so the kernel lets it go on at
  // once; the way through the program is the same.
  troth.signal(SIGTSTP);
  const std::string twice = std::string(kPrompt) + std::string(kPrompt);
  CHECK(troth.read_until(twice).find(twice) != std::string::npos);
  CHECK_FALSE(troth.echoes());
  troth.type(line(kAdministratorPassword));
  CHECK(troth.read_until("Logged in").find("Logged in") != std::string::npos);
  CHECK(troth.echoes());
}

TEST_CASE("a machine is joined by saying yes, and only by that") {
  const auto cell = running_cell();
  const test_support::TempDir dir;
  const std::string target = dir / "troth";
  std::string fingerprint = succeed(*cell, {"cell", "fingerprint"});
  fingerprint.pop_back();
  for (const std::string answer : {"y\n", "no\n", "\n", "YES\n", "yes\n"}) {
    CAPTURE(answer);
    OnTerminal troth(*cell, {"cell", "join", cell->listen("kdc"), "--dir", target});
    CHECK(troth.read_until("yes or no: ").find(fingerprint) != std::string::npos);
    CHECK(std::filesystem::is_empty(dir.path()));
    troth.type(answer);
    const bool yes = answer == "yes\n";
    const std::string expected = yes ? "Joined the cell home" : "nothing was written";
    CHECK(troth.read_until(expected).find(expected) != std::string::npos);
    static_cast<void>(troth.end());
    CHECK(std::filesystem::exists(target) == yes);
  }
}
