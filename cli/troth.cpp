#include "cli/troth.hpp"

#include <algorithm>

#include <CLI/CLI.hpp>

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "common/version.hpp"

namespace cli {
namespace {

constexpr const char* kFooter =
    "Exit codes: 0 done and well; 1 it failed, or something asked about is not well; 2 the "
    "command\n"
    "line is wrong. A cell's directory is taken from --cell, then TROTH_CELL, then /etc/troth, "
    "then\n"
    "~/.config/troth.";

// The innermost command that was named: whose help belongs to a mistake.
const CLI::App* chosen(const CLI::App* app) {
  const auto parsed = app->get_subcommands();
  return parsed.empty() ? app : chosen(parsed.front());
}

int parse_failure(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
    print(help_of(*chosen(&app)));
    return kExitOk;
  }
  std::string path;
  for (const CLI::App* at = chosen(&app); at != nullptr; at = at->get_parent())
    path = at->get_name() + (path.empty() ? "" : " ") + path;
  print_error(std::string(error.what()) + "; see: " + path + " --help");
  return kExitUsage;
}

}  // namespace

int run(const std::vector<std::string>& words, const common::Clock& clock) {
  Session session{.clock = clock, .action = nullptr};
  CLI::App app("Logs in to a Troth cell, and looks after it: users, groups, servers, certificates.",
               "troth");
  app.require_subcommand(0, 1);
  app.set_help_flag("-h,--help", "Show this help.");
  app.footer(kFooter);
  bool version = false;
  app.add_flag("-V,--version", version, "Show the version.");
  add_login_commands(app, session);
  add_whoami_commands(app, session);
  add_user_commands(app, session);
  add_group_commands(app, session);
  add_service_commands(app, session);
  add_policy_commands(app, session);
  add_audit_command(app, session);
  add_cell_commands(app, session);
  add_status_command(app, session);
  add_version_command(app, session);
  add_completion_command(app, session);
  add_help_command(app, session);

  // CLI11 takes the words from the back.
  std::vector<std::string> reversed(words.rbegin(), words.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    return parse_failure(app, error);
  }
  if (version) {
    print("troth " + std::string(common::version()) + "\n");
    return kExitOk;
  }
  if (!session.action) {
    print(help_of(*chosen(&app)));
    return kExitUsage;
  }
  return session.action();
}

}  // namespace cli
