#include <CLI/CLI.hpp>

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/status_report.hpp"
#include "common/cell/locate.hpp"

namespace cli {
namespace {

struct Arguments {
  std::string cell;
  bool json = false;
  unsigned timeout_s = 5;
};

// A mount answers from memory: one that takes longer is stuck.
constexpr std::chrono::milliseconds kMountPatience{1000};
constexpr unsigned kMaxTimeout = 3600;

int run_status(const Arguments& arguments, common::WallTime now) {
  if (arguments.timeout_s < 1 || arguments.timeout_s > kMaxTimeout) {
    print_error(fmt::format("--timeout is 1 to {} seconds", kMaxTimeout));
    return kExitUsage;
  }
  StatusReport report;
  report.parts = ask_mounts(mount_directory(), kMountPatience);
  const auto directory = common::cell::find_cell(arguments.cell);
  // A machine that only mounts needs no cell directory, unless one was asked for.
  if (!directory && report.parts.empty()) {
    print_error(directory.error().message);
    return kExitFailure;
  }
  if (directory) {
    const auto description = common::cell::load_description(*directory);
    if (!description) {
      print_error(description.error().message);
      return kExitFailure;
    }
    report.cell = description->name;
    auto servers = ask_servers(*description, std::chrono::seconds(arguments.timeout_s));
    report.parts.insert(report.parts.begin(), std::make_move_iterator(servers.begin()),
                        std::make_move_iterator(servers.end()));
  }
  print(arguments.json ? to_json(report, now) : to_text(report, now));
  return report.all_well() ? kExitOk : kExitFailure;
}

}  // namespace

void add_status_command(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<Arguments>();
  auto* command = app.add_subcommand(
      "status", "Show how every server of the cell and every mount here is, and why.");
  command->add_option("--cell", arguments->cell, "The cell's directory.")->type_name("DIR");
  command->add_option("--timeout", arguments->timeout_s, "How long to wait for answers.")
      ->capture_default_str()
      ->type_name("SECONDS");
  command->add_flag("--json", arguments->json, "One JSON object.");
  command->callback([&session, arguments] {
    session.action = [&session, arguments] {
      return run_status(*arguments, session.clock.wall_now());
    };
  });
}

}  // namespace cli
