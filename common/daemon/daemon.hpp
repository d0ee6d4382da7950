#pragma once

// What the main of every server of a cell calls: run_program (program.hpp) with everything that
// such servers have in common. A main.cpp names the server, its settings and its service.

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/daemon/program.hpp"
#include "common/daemon/server_settings.hpp"
#include "common/rpc/health.hpp"
#include "common/rpc/operations.hpp"

namespace common::daemon {

// What a service may use; outlives it.
struct ServerFoundation {
  const Foundation& program;
  const ServerSettings& settings;
  const std::string& data_directory;  // exists, private, locked
};

// What this server does besides answering status.
class Service {
 public:
  Service() = default;
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  virtual ~Service() = default;

  // Called once before listening. Handlers run in the RPC server's threads until stop().
  virtual Status add_operations(rpc::OperationTable& table) = 0;
  // Whether it can work now. Any thread, must not block.
  [[nodiscard]] virtual rpc::HealthReport health() const = 0;
  // Main thread, about once a second; must not block.
  virtual void tick() {}
  // Main thread, at SIGHUP, after the certificates were read again: what is kept of other files. A
  // failure is logged, and what was kept stays.
  virtual Status reload() { return {}; }
  // Main thread, after the last handler has returned. Bounded by kStopLimit.
  virtual void stop() {}
};

// Something to do with the data directory instead of serving from it: nothing else has it
// meanwhile. Returns what is printed.
struct OfflineTask {
  TaskWord word;
  std::function<Result<std::string>(const ServerFoundation&, const std::string& value)> run;
};

struct Daemon {
  std::string_view name;   // "troth-kdc"
  std::string_view role;   // "kdc": in the configuration, the certificate and the wire
  std::string_view about;  // one sentence for --help
  config::Endpoint listen;
  config::Endpoint health_listen;
  // It has a keytab, offers `auth`, and every operation but that and status needs a session.
  bool demands_tickets = false;
  // Passwords or keys are sent to it.
  bool receives_secrets = false;
  // Settings beyond those of every server; may be empty.
  std::function<void(config::Schema&)> settings = {};
  // Builds the service; the data directory is locked and nothing listens yet. A failure must leave
  // nothing behind that was not there before.
  std::function<Result<std::unique_ptr<Service>>(const ServerFoundation&)> make;
  std::vector<OfflineTask> tasks = {};
};

// Runs until told to stop; returns the exit code.
int run_daemon(int argc, char** argv, const Daemon& daemon);

// A service that offers no operations of its own yet and says so in its status message.
std::unique_ptr<Service> health_only_service(std::string message);

}  // namespace common::daemon
