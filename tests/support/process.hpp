#pragma once

// Child processes of tests: started without a shell, in a process group of their own, watched, and
// certainly gone when the object is.

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"
#include "tests/support/patience.hpp"

namespace test_support {

struct ProcessOptions {
  std::map<std::string, std::string> environment;  // added to, or replacing, our own
  std::vector<std::string> without;                // variables it shall not see
  std::filesystem::path directory;                 // empty: ours
  std::string input;                               // its whole standard input, at most 64 KiB
  bool as_nobody = false;              // drop root: root may write everywhere, so it proves nothing
  std::string network_namespace;       // by name, as of `ip netns`, or a path
  std::optional<unsigned> open_files;  // its limit of descriptors
};

// How a process ended: by exit code, or by a signal.
struct ExitStatus {
  std::optional<int> code;
  std::optional<int> signal;

  [[nodiscard]] bool ok() const { return code == 0; }
  [[nodiscard]] std::string describe() const;  // "exit code 2", "killed by signal 9"
};

// A child process. Not safe from several threads, apart from what its own reader thread does. The
// destructor kills the whole group and waits for the child.
class Process {
 public:
  // `program` is a path, or a name looked up in PATH. NotFound if there is none.
  [[nodiscard]] static common::Result<Process> spawn(const std::filesystem::path& program,
                                                     const std::vector<std::string>& arguments,
                                                     const ProcessOptions& options = {});
  Process(Process&&) noexcept;
  Process& operator=(Process&&) noexcept;
  ~Process();

  // Of the program itself: all wrappers replace themselves by it.
  [[nodiscard]] pid_t pid() const;
  [[nodiscard]] bool running();

  // To the process only. Failing means that it is gone.
  common::Status signal(int number);
  // SIGKILL to the whole group; returns when the child is gone.
  void kill();
  // SIGSTOP, and returns when the process stands still; resume() lets it go on.
  common::Status stop();
  common::Status resume();

  // Waits for the end. DeadlineExceeded leaves the process running.
  [[nodiscard]] common::Result<ExitStatus> wait(std::chrono::nanoseconds timeout = kPatience);

  // Waits for the next complete line on either output that contains `text` and was not yet returned
  // by this function. DeadlineExceeded or Unavailable (the process ended without it) quote the end
  // of what it did print.
  [[nodiscard]] common::Result<std::string> wait_for_line(
      std::string_view text, std::chrono::nanoseconds timeout = kPatience);

  // What it has written so far; everything, once wait() succeeded.
  [[nodiscard]] std::string output() const;
  [[nodiscard]] std::string error_output() const;

 private:
  struct Impl;
  explicit Process(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct CommandResult {
  ExitStatus status;
  std::string output;
  std::string error_output;
};

// Runs a command to its end; failing means that it could not be started or took too long.
[[nodiscard]] common::Result<CommandResult> run_command(
    const std::filesystem::path& program, const std::vector<std::string>& arguments,
    const ProcessOptions& options = {}, std::chrono::nanoseconds timeout = kPatience);

// The same, and an exit code other than zero is a failure that quotes standard error.
[[nodiscard]] common::Result<std::string> run_checked(const std::filesystem::path& program,
                                                      const std::vector<std::string>& arguments,
                                                      const ProcessOptions& options = {});

// Where the programs under test are: TROTH_BIN_DIR if set (an installed tree), else the build
// directory that this program lies in. NotFound says what to build.
[[nodiscard]] common::Result<std::filesystem::path> find_program(std::string_view name);

}  // namespace test_support
