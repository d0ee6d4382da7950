#include <iterator>
#include <thread>

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/status_report.hpp"
#include "common/cell/locate.hpp"

namespace cli {
namespace {

using common::Result;

struct StatusArguments {
  std::string cell;
  bool json = false;
  unsigned timeout_s = 5;
};

constexpr unsigned kMaxTimeout = 3600;

int run_status(const StatusArguments& arguments, const Session& session) {
  const common::WallTime now = session.clock.wall_now();
  if (arguments.timeout_s < 1 || arguments.timeout_s > kMaxTimeout) {
    print_error(fmt::format("--timeout is 1 to {} seconds", kMaxTimeout));
    return kExitUsage;
  }
  const common::Instant deadline = session.clock.now() + std::chrono::seconds(arguments.timeout_s);
  const auto directory = common::cell::find_cell(arguments.cell);
  Result<common::cell::Description> description =
      directory ? common::cell::load_description(*directory)
                : tl::unexpected<common::Error>(directory.error());
  // A machine that only mounts needs no cell directory, unless one was asked for.
  if (!description && (directory || !arguments.cell.empty())) {
    print_error(description.error().message);
    return kExitFailure;
  }
  StatusReport report;
  // Mounts and servers at the same time: who does not answer uses up nobody else's.
  std::vector<PartStatus> mounts;
  std::thread asking([&] { mounts = ask_mounts(mount_directory(), deadline); });
  if (description) {
    report.cell = description->name;
    report.parts = ask_servers(*description, deadline);
  }
  asking.join();
  report.parts.insert(report.parts.end(), std::make_move_iterator(mounts.begin()),
                      std::make_move_iterator(mounts.end()));
  if (!description && report.parts.empty()) {
    print_error(description.error().message);
    return kExitFailure;
  }
  print(arguments.json ? to_json(report, now) : to_text(report, now));
  return report.all_well() ? kExitOk : kExitFailure;
}

}  // namespace

void add_status_command(Command app, Session& session) {
  auto arguments = std::make_shared<StatusArguments>();
  auto command = app.add_command(
      "status", "Show how every server of the cell and every mount here is, and why.");
  command.add_option("--cell", arguments->cell, "The cell's directory.").type_name("DIR");
  command.add_option("--timeout", arguments->timeout_s, "How long to wait for answers.")
      .show_default()
      .type_name("SECONDS");
  command.add_flag("--json", arguments->json, "One JSON object.");
  command.on_chosen([&session, arguments] {
    session.action = [&session, arguments] { return run_status(*arguments, session); };
  });
}

}  // namespace cli
