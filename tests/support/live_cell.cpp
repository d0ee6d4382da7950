#include "tests/support/live_cell.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/random.h>

#include <algorithm>

namespace test_support {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;

constexpr std::string_view kLocalhost = "127.0.0.1";
// What `troth cell init` chooses: one port per role, and a health listener ten above it.
constexpr unsigned kFirstPort = 7480;
constexpr unsigned kHealthOffset = 10;

// A random address of 127.0.0.0/8, all of which the loopback interface answers. 2^22 of them: two
// cells of one run do not meet.
std::string own_loopback_address() {
  std::array<unsigned char, 3> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    std::abort();
  return fmt::format("127.{}.{}.{}", 64 + random[0] % 64, random[1], 2 + random[2] % 250);
}

unsigned port_of(std::string_view role) {
  const auto found = std::find(kRoles.begin(), kRoles.end(), role);
  return kFirstPort + static_cast<unsigned>(found - kRoles.begin());
}

// The health listeners are made for localhost, where cells would meet.
Status move_health(const std::filesystem::path& file, std::string_view address) {
  TROTH_TRY(std::string text, read_file(file));
  for (const std::string_view role : kRoles) {
    const std::string port = fmt::format(":{}", port_of(role) + kHealthOffset);
    const std::string before = fmt::format("{}{}", kLocalhost, port);
    for (auto at = text.find(before); at != std::string::npos; at = text.find(before, at + 1))
      text.replace(at, before.size(), fmt::format("{}{}", address, port));
  }
  return write_file(file, text);
}

}  // namespace

LiveCell::LiveCell(LiveCellOptions options)
    : options_(std::move(options)),
      address_(options_.address.empty() ? own_loopback_address() : options_.address) {}

Result<std::unique_ptr<LiveCell>> LiveCell::create(const LiveCellOptions& options) {
  std::unique_ptr<LiveCell> cell(new LiveCell(options));
  TROTH_TRY_VOID(cell->make());
  return cell;
}

Status LiveCell::make() {
  TROTH_TRY(const auto program, find_program("troth"));
  TROTH_TRY(const auto said,
            run_checked(program,
                        {"cell", "init", directory().string(), "--listen", address_, "--admin",
                         std::string(kAdministrator), "--admin-password-stdin"},
                        {.input = fmt::format("{}\n", kAdministratorPassword)}));
  static_cast<void>(said);
  TROTH_TRY_VOID(move_health(directory() / "cell.toml", address_));
  for (const std::string_view role : kRoles)
    TROTH_TRY_VOID(move_health(config(role), address_));
  return {};
}

std::filesystem::path LiveCell::config(std::string_view role) const {
  return role_directory(role) / fmt::format("troth-{}.toml", role);
}

std::string LiveCell::listen(std::string_view role) const {
  return fmt::format("{}:{}", address_, port_of(role));
}

std::string LiveCell::health_listen(std::string_view role) const {
  return fmt::format("{}:{}", address_, port_of(role) + kHealthOffset);
}

ProcessOptions LiveCell::options_for(std::string_view role) const {
  ProcessOptions options;
  options.environment = options_.environment;
  options.environment["TROTH_RUNTIME_DIR"] = files_ / "run";
  options.environment["TROTH_CELL"] = directory();
  options.without = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
  if (const auto server = servers_.find(role); server != servers_.end() && server->second.notify)
    options.environment["NOTIFY_SOCKET"] = server->second.notify->path();
  return options;
}

Status LiveCell::start(std::string_view role) {
  Server& server = servers_[std::string(role)];
  if (server.process && server.process->running())
    return fail(ErrorCode::AlreadyExists, "the {} is running", role);
  TROTH_TRY(const auto program, find_program(fmt::format("troth-{}", role)));
  TROTH_TRY(auto notify, NotifySocket::open(files_ / fmt::format("{}{}", role, server.starts++)));
  server.notify.emplace(std::move(notify));
  ProcessOptions how = options_for(role);
  how.network_namespace = options_.network_namespace;
  TROTH_TRY(auto process, Process::spawn(program, {"--config", config(role).string()}, how));
  server.process.emplace(std::move(process));
  const auto ready = server.notify->wait_for("READY=1");
  if (!ready)
    return fail(ready.error().code, "the {} is not ready: {}{}", role, ready.error().message,
                server.process->error_output());
  return {};
}

Status LiveCell::start_all() {
  for (const std::string_view role : kRoles)
    TROTH_TRY_VOID(start(role));
  return {};
}

Status LiveCell::terminate(std::string_view role, std::chrono::nanoseconds within) {
  TROTH_TRY_VOID(process(role).signal(SIGTERM));
  TROTH_TRY(const ExitStatus status, process(role).wait(within));
  if (!status.ok())
    return fail(ErrorCode::Internal, "the {} ended with {}: {}", role, status.describe(),
                process(role).error_output());
  return {};
}

Process& LiveCell::process(std::string_view role) {
  return *servers_.find(role)->second.process;
}

NotifySocket& LiveCell::notify(std::string_view role) {
  return *servers_.find(role)->second.notify;
}

Result<CommandResult> LiveCell::troth(const std::vector<std::string>& arguments,
                                      const TrothOptions& troth_options) const {
  TROTH_TRY(const auto program, find_program("troth"));
  ProcessOptions options = options_for("");
  options.environment["TROTH_CREDENTIALS"] = credentials(troth_options.as);
  options.input = troth_options.input;
  return run_command(program, arguments, options);
}

}  // namespace test_support
