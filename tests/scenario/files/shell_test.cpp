// troth shell, without a terminal and at one.

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>

#include "common/io/unique_fd.hpp"
#include "fixture.hpp"

using namespace files_test;

TEST_CASE("a script of the shell is run, with places, patterns and quotes") {
  Cell cell;
  const std::string script =
      "mkdir /d; cd /d\n"
      "touch a.c b.c; touch 'c d.h'  # a comment\n"
      "pwd\n"
      "ls *.c\n"
      "ls 'c d.h'\n"
      "ls '*.c'\n"
      "cd ..; pwd\n"
      "stat -c %n d/?.c\n";
  const auto result = cell.troth({"shell"}, "me", script);
  CHECK(result.output == "/d\na.c\nb.c\nc d.h\n/\nd/a.c\nd/b.c\n");
  CHECK(result.error_output == "troth: /d/*.c: no such file or directory\n");
  CHECK(result.status.code == 0);
  CHECK(cell.ok({"shell", "-c", "cd /d; ls"}) == "a.c\nb.c\nc d.h\n");
  CHECK(cell.ok({"shell", "/d", "-c", "pwd"}) == "/d\n");
  CHECK(cell.troth({"shell", "-c", "stat /missing"}).status.code == 1);
  CHECK(cell.troth({"shell", "-c", "nonsense"}).status.code == 2);
  CHECK(cell.troth({"shell", "-c", "ls | wc"}).status.code == 2);
  CHECK(cell.ok({"shell", "-c", "stat /missing; pwd"}) == "/\n");
  const auto stopped = cell.troth({"shell", "-e", "-c", "stat /missing; pwd"});
  CHECK(stopped.status.code == 1);
  CHECK(stopped.output.empty());
  CHECK(cell.troth({"shell", "-c", "exit 7"}).status.code == 7);
  CHECK(cell.ok({"complete-path", "/d/a"}) == "/d/a.c\n");
  CHECK(cell.ok({"complete-path", "/"}) == "/d/\n");
  CHECK(cell.ok({"complete-path", "ro"}) == "root:/\n");
}

TEST_CASE("F61: a pattern of the shell never makes an option or a volume of a name") {
  Cell cell;
  cell.ok({"mkdir", "/d", "/d/sub"});
  cell.ok({"touch", "/d/-r", "/d/root:", "/d/sub/file"});
  // Were "-r" an option, the directory would go.
  CHECK(cell.troth({"shell", "-c", "cd /d; rm *"}).status.code == 1);
  CHECK(cell.ok({"find", "/d"}) == "/d\n/d/sub\n/d/sub/file\n");
}

TEST_CASE("a pattern that cannot be looked up everywhere is not half of itself") {
  Cell cell;
  cell.add_user("alice");
  cell.ok({"mkdir", "-m", "0777", "/open"});
  cell.ok({"mkdir", "-m", "0700", "/open/closed"});
  cell.ok({"mkdir", "-m", "0777", "/open/mine"});
  cell.ok({"touch", "/open/mine/x", "/open/closed/x"});
  const auto result = cell.troth({"shell", "-c", "rm /open/*/x"}, "alice");
  CHECK(result.status.code == 1);
  CHECK(result.error_output.find("/open/closed") != std::string::npos);
  CHECK(cell.ok({"ls", "/open/mine"}) == "x\n");
}

namespace {

// A shell at a terminal of its own.
class Terminal {
 public:
  explicit Terminal(Cell& cell) : master_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    REQUIRE(::grantpt(master_.get()) == 0);
    REQUIRE(::unlockpt(master_.get()) == 0);
    winsize size{};
    size.ws_col = 100;
    size.ws_row = 30;
    ::ioctl(master_.get(), TIOCSWINSZ, &size);
    const std::string name = ::ptsname(master_.get());
    auto program = test_support::find_program("troth");
    REQUIRE_OK(program);
    const std::string credentials = cell.live().credentials();
    const std::string directory = cell.live().directory();
    const std::string home = cell.local();
    child_ = ::fork();
    if (child_ == 0) {
      ::setsid();
      const int terminal = ::open(name.c_str(), O_RDWR);
      for (int fd = 0; fd < 3; ++fd)
        ::dup2(terminal, fd);
      ::setenv("TROTH_CREDENTIALS", credentials.c_str(), 1);
      ::setenv("TROTH_CELL", directory.c_str(), 1);
      ::setenv("HOME", home.c_str(), 1);
      ::unsetenv("XDG_STATE_HOME");
      ::setenv("TERM", "xterm", 1);
      ::execl(program->c_str(), "troth", "shell", nullptr);
      ::_exit(127);
    }
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
  }

  void type(std::string_view text) {
    REQUIRE(::write(master_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  // Reads until that has come since the last call; false: it did not in time.
  bool see(std::string_view text) {
    static_cast<void>(has_come(text, test_support::kPatience));
    const std::size_t at = seen_.find(text);
    INFO(seen_);
    CHECK(at != std::string::npos);
    seen_.erase(0, at == std::string::npos ? seen_.size() : at + text.size());
    return at != std::string::npos;
  }
  // Whether this comes before `other`; the other one is taken if it comes.
  bool see_first(std::string_view text, std::string_view other) {
    const auto until = std::chrono::steady_clock::now() + test_support::kPatience;
    while (std::chrono::steady_clock::now() < until) {
      if (has_come(text, std::chrono::milliseconds(1)))
        return see(text);
      if (has_come(other, std::chrono::milliseconds(1)))
        return !see(other);
    }
    return see(text);
  }
  // A new prompt, and not what is edited behind the last one. Keys typed before it mean what they
  // mean to the terminal.
  bool see_prompt(const std::string& place) {
    const std::string prompt = fmt::format("\rhome {}> ", place);
    const bool seen = see(prompted_ ? "\n" + prompt : prompt);
    prompted_ = true;
    return seen;
  }
  // Ctrl-C, again and again until that has come: a first one may come before there is anything to
  // interrupt.
  bool interrupt_until(std::string_view text) {
    const auto until = std::chrono::steady_clock::now() + test_support::kPatience;
    while (!has_come(text, std::chrono::seconds(1)) && std::chrono::steady_clock::now() < until)
      type("\x03");
    return see(text);
  }
  [[nodiscard]] bool echoes() const {
    termios mode{};
    return ::tcgetattr(master_.get(), &mode) == 0 && (mode.c_lflag & ECHO) != 0;
  }
  void end(int signal) const { ::kill(child_, signal); }
  int wait() {
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  // Reads until it has come, and leaves it there.
  bool has_come(std::string_view text, std::chrono::nanoseconds within) {
    const auto until = std::chrono::steady_clock::now() + within;
    while (seen_.find(text) == std::string::npos) {
      pollfd input{master_.get(), POLLIN, 0};
      if (std::chrono::steady_clock::now() > until || ::poll(&input, 1, 100) < 0)
        return false;
      char bytes[4096];
      const ssize_t got =
          (input.revents & POLLIN) != 0 ? ::read(master_.get(), bytes, sizeof bytes) : 0;
      if (got < 0)
        return false;
      seen_.append(bytes, static_cast<std::size_t>(got));
    }
    return true;
  }

  common::UniqueFd master_;
  pid_t child_ = -1;
  std::string seen_;
  bool prompted_ = false;
};

}  // namespace

TEST_CASE("at a terminal there is a prompt, Tab, history, and Ctrl-C ends the command only") {
  Cell cell;
  cell.ok({"mkdir", "-p", "/documents/letters"});
  Terminal terminal(cell);
  REQUIRE(terminal.see_prompt("/"));
  terminal.type("cd /doc\t");
  REQUIRE(terminal.see("/documents/"));
  terminal.type("\r");
  REQUIRE(terminal.see_prompt("/documents"));
  terminal.type("l\x7Fls\r");
  REQUIRE(terminal.see("letters"));
  REQUIRE(terminal.see_prompt("/documents"));
  // Up twice is `cd /documents/` again; Ctrl-R finds what was typed.
  terminal.type("\x1B[A\x1B[A\r");
  REQUIRE(terminal.see_prompt("/documents"));
  terminal.type("\x12l");
  REQUIRE(terminal.see("(search \"l\") ls"));
  terminal.type("\r");
  REQUIRE(terminal.see("letters"));
  REQUIRE(terminal.see_prompt("/documents"));
  // Names of commands, their parts and options.
  terminal.type("vol\t");
  REQUIRE(terminal.see("volume "));
  terminal.type("det\t");
  REQUIRE(terminal.see("detach "));
  terminal.type("\x03");
  REQUIRE(terminal.see_prompt("/documents"));
  terminal.type("ls --rec\t");
  REQUIRE(terminal.see("--recursive "));
  terminal.type("\x03");
  REQUIRE(terminal.see_prompt("/documents"));
  // A server that does not answer: the command waits, and Ctrl-C ends it.
  REQUIRE_OK(cell.live().process("fileserver").stop());
  terminal.type("mkdir hangs\r");
  REQUIRE(terminal.see("\r\n"));
  REQUIRE(terminal.interrupt_until("\n\rhome /documents> "));
  REQUIRE_OK(cell.live().process("fileserver").resume());
  terminal.type("garbage\x03");
  REQUIRE(terminal.see_prompt("/documents"));
  terminal.type("pwd\r");
  REQUIRE(terminal.see("/documents\r\n\rhome "));
  terminal.type("\x04");
  static_cast<void>(terminal.wait());
  struct stat info {};
  const fs::path history = cell.local(".local/state/troth/shell_history");
  REQUIRE(::stat(history.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(cell.read(".local/state/troth/shell_history").starts_with("cd /documents/\nls\n"));
}

TEST_CASE(
    "odd names are completed so that they are one word again, and cannot play with a terminal") {
  Cell cell;
  cell.ok({"mkdir", "/it's a dir"});
  cell.ok({"touch", "/it's a dir/\x1B[31mred", "/it's a dir/plain"});
  Terminal terminal(cell);
  REQUIRE(terminal.see_prompt("/"));
  terminal.type("ls /it\t\r");
  REQUIRE(terminal.see("\"/it's a dir/\""));
  REQUIRE(terminal.see("$'\\033[31mred'"));
  REQUIRE(terminal.see_prompt("/"));
  terminal.type("\x04");
  CHECK(terminal.wait() == 0);
}

TEST_CASE("the terminal is given back as it was, also when the shell is killed") {
  Cell cell;
  Terminal terminal(cell);
  REQUIRE(terminal.see_prompt("/"));
  CHECK_FALSE(terminal.echoes());
  terminal.end(SIGTERM);
  static_cast<void>(terminal.wait());
  CHECK(terminal.echoes());
}

TEST_CASE("at a terminal a transfer says how far it is, and Ctrl-C keeps what has arrived") {
  Cell cell;
  cell.write("large", std::string(200 << 20, 'x'));
  Terminal terminal(cell);
  REQUIRE(terminal.see_prompt("/"));
  terminal.type("put " + cell.local("large").string() + " big\r");
  if (terminal.see_first(" of 200M", "\n\rhome /> "))
    REQUIRE(terminal.interrupt_until("\n\rhome /> "));
  else
    MESSAGE("too fast to be interrupted here");
  terminal.type("ls\r");
  REQUIRE(terminal.see_prompt("/"));
  terminal.type("put -q " + cell.local("large").string() + " big\r");
  REQUIRE(terminal.see_prompt("/"));
  terminal.type("stat -c %s=%n big\r");
  REQUIRE(terminal.see(std::to_string(200 << 20) + "=big"));
  REQUIRE(terminal.see_prompt("/"));
  terminal.type("\x04");
  CHECK(terminal.wait() == 0);
}
