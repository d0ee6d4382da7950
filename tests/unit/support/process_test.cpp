#include "tests/support/process.hpp"

#include <signal.h>

#include <fstream>

#include "tests/support/leak_check.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using common::ErrorCode;
using namespace std::chrono_literals;
using namespace test_support;

namespace {

common::Result<Process> shell(const std::string& script, const ProcessOptions& options = {}) {
  return Process::spawn("/bin/sh", {"-c", script}, options);
}

char state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  return text.empty() ? '-' : text[text.rfind(')') + 2];
}

}  // namespace

TEST_CASE("a command's outputs and exit code come back apart") {
  const auto result = run_command("/bin/sh", {"-c", "echo out; echo error >&2; exit 3"});
  REQUIRE_OK(result);
  CHECK(result->status.code == 3);
  CHECK(result->output == "out\n");
  CHECK(result->error_output == "error\n");
  CHECK(result->status.describe() == "exit code 3");
}

TEST_CASE("arguments, input, environment and directory reach the child as they are") {
  const TempDir directory;
  const auto result =
      run_command("/bin/sh", {"-c", "cat; pwd; echo \"$1:$MINE:${HOME-none}\"", "sh", "a b;*"},
                  {.environment = {{"MINE", "x=y"}},
                   .without = {"HOME"},
                   .directory = directory.path(),
                   .input = "given\n"});
  REQUIRE_OK(result);
  CHECK(result->output == "given\n" + directory.path().string() + "\na b;*:x=y:none\n");
}

TEST_CASE("more output than a pipe holds is all there") {
  const auto result = run_command("/bin/sh", {"-c", "head -c 3000000 /dev/zero"});
  REQUIRE_OK(result);
  CHECK(result->output.size() == 3'000'000);
}

TEST_CASE("a program that does not exist is an error, not a child") {
  CHECK_FAILS(Process::spawn("/no/such/program", {}), ErrorCode::NotFound);
}

TEST_CASE("lines are waited for one after the other") {
  auto process = shell("echo ready one; echo ready two >&2; read x; echo ready three; exec cat",
                       {.input = "go\n"});
  REQUIRE_OK(process);
  CHECK(process->wait_for_line("three").value_or("") == "ready three");
  CHECK(process->wait_for_line("ready").value_or("") == "ready two");
}

TEST_CASE("a line that never comes fails at the end of the process or at the deadline") {
  auto ended = shell("echo something else");
  REQUIRE_OK(ended);
  const auto missing = ended->wait_for_line("ready");
  CHECK_FAILS(missing, ErrorCode::Unavailable);
  CHECK(missing.error().message.find("something else") != std::string::npos);
  auto hanging = Process::spawn("/bin/sleep", {"1000"});
  REQUIRE_OK(hanging);
  CHECK_FAILS(hanging->wait_for_line("ready", 10ms), ErrorCode::DeadlineExceeded);
  CHECK_FAILS(hanging->wait(10ms), ErrorCode::DeadlineExceeded);
  CHECK(hanging->running());
}

TEST_CASE("signals arrive, and their victims say so") {
  auto process = shell("trap 'echo caught; exit 7' TERM; sleep 1000 & echo set; wait");
  REQUIRE_OK(process);
  REQUIRE_OK(process->wait_for_line("set"));
  CHECK_OK(process->signal(SIGTERM));
  const auto status = process->wait();
  REQUIRE_OK(status);
  CHECK(status->code == 7);
  CHECK(process->output() == "set\ncaught\n");
  CHECK_FAILS(process->signal(SIGTERM), ErrorCode::NotFound);
}

TEST_CASE("a stopped process stands still until it may go on") {
  auto process = Process::spawn("/bin/sleep", {"1000"});
  REQUIRE_OK(process);
  CHECK_OK(process->stop());
  CHECK(state_of(process->pid()) == 'T');
  CHECK_OK(process->resume());
  CHECK(state_of(process->pid()) != 'T');
  process->kill();
  CHECK(process->wait().value_or(ExitStatus{}).signal == SIGKILL);
}

TEST_CASE("the destructor ends the process and its children, and keeps nothing") {
  const LeakCheck leaks;
  pid_t child = 0;
  {
    auto process = shell("sleep 1000 & echo child $!; wait");
    REQUIRE_OK(process);
    const auto line = process->wait_for_line("child");
    REQUIRE_OK(line);
    child = std::stoi(line->substr(6));
    CHECK(::kill(child, 0) == 0);
  }
  // Its parent is gone, so somebody else collects it; a zombie is dead enough.
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (::kill(child, 0) == 0 && state_of(child) != 'Z' &&
         std::chrono::steady_clock::now() < until) {
  }
  CHECK((::kill(child, 0) != 0 || state_of(child) == 'Z'));
  CHECK(leaks.found() == "");
}

TEST_CASE("a grandchild that holds the pipes open delays nobody") {
  auto process = shell("sleep 1000 & echo said");
  REQUIRE_OK(process);
  REQUIRE_OK(process->wait());
  CHECK(process->output() == "said\n");
}

TEST_CASE("a limit of descriptors and another user hold for the program") {
  const auto limited = run_command("/bin/sh", {"-c", "ulimit -n"}, {.open_files = 64});
  REQUIRE_OK(limited);
  CHECK(limited->output == "64\n");
  if (::geteuid() != 0)
    SKIP_TEST("dropping root needs root");
  const auto nobody = run_command("/usr/bin/id", {"-u"}, {.as_nobody = true});
  REQUIRE_OK(nobody);
  CHECK(nobody->output == "65534\n");
}
