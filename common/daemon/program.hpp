#pragma once

// The life of every long-running program of this project; README.md tells it as a story.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/config/schema.hpp"
#include "common/daemon/arguments.hpp"
#include "common/daemon/exit_codes.hpp"
#include "common/daemon/heartbeats.hpp"
#include "common/metrics/registry.hpp"
#include "common/result.hpp"

namespace common::daemon {

// What a running program may use; owned by run_program and there until the Application is gone.
struct Foundation {
  const Clock& clock;
  const config::Schema& schema;  // for saying where a value came from
  metrics::Registry& metrics;
  Heartbeats& heartbeats;
  std::vector<std::string> arguments;  // what the command line named beside options
};

// The running program, as the main loop sees it. All calls come from the main thread.
class Application {
 public:
  Application() = default;
  Application(const Application&) = delete;
  Application& operator=(const Application&) = delete;
  virtual ~Application() = default;

  // One line for `systemctl status`.
  [[nodiscard]] virtual std::string status() const = 0;
  // About once a second; must not block.
  virtual void tick() {}
  // SIGHUP. A failure is logged and changes nothing.
  virtual Status reload() { return {}; }
  // Ends all work. Must return well within kStopLimit; what does not end in time is cut off.
  virtual void stop() = 0;
};

// Something to do once instead of running, with no checks before it but that the configuration can
// be read: it is there for days on which little works. A failure is kExitFailure.
struct Task {
  TaskWord word;
  // Returns what is printed: one line.
  std::function<Result<std::string>(const Foundation&, const std::string& value)> run;
};

struct Program {
  std::string_view name;        // "troth-kdc"
  std::string_view about;       // one sentence for --help
  std::string_view usage = {};  // positional arguments as --help shows them: "DIR"
  std::size_t most_positional = 0;
  bool needs_config = true;

  // Declares the program's settings beside [log], which every program has.
  std::function<void(config::Schema&)> settings;
  // Everything that can be found wrong with configuration and certificates without making or
  // changing anything; a failure is kExitUsage. Returns what --check prints: one line.
  std::function<Result<std::string>(const Foundation&)> check;
  // Makes the program run; a failure is kExitFailure and must leave nothing behind. Who is asked to
  // stop meanwhile is cut off after kStopLimit.
  std::function<Result<std::unique_ptr<Application>>(const Foundation&)> start;
  std::vector<Task> tasks = {};
};

// Runs until SIGTERM or SIGINT; returns the exit code. Called by main before it makes any thread.
int run_program(int argc, char** argv, const Program& program);

}  // namespace common::daemon
