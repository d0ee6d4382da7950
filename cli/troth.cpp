#include "cli/troth.hpp"

#include "cli/commands.hpp"
#include "cli/files/files.hpp"
#include "cli/output.hpp"
#include "cli/shell/shell_command.hpp"
#include "common/version.hpp"

namespace cli {
namespace {

constexpr const char* kFooter =
    "Exit codes: 0 done and well; 1 it failed, or something asked about is not well; 2 the "
    "command\n"
    "line is wrong. A cell's directory is taken from --cell, then TROTH_CELL, then /etc/troth, "
    "then\n"
    "~/.config/troth.";

}  // namespace

int run(const std::vector<std::string>& words, const common::Clock& clock) {
  Session session{.clock = clock, .action = nullptr};
  CommandTree tree(
      "troth", "Works with the files of a Troth cell, and looks after it: users, volumes, servers.",
      kFooter);
  const Command app = tree.root();
  bool version = false;
  app.add_flag("-V,--version", version, "Show the version.");
  add_login_commands(app, session);
  add_whoami_commands(app, session);
  const auto files = std::make_shared<FileContext>();
  add_file_commands(app, session, files);
  add_shell_command(app, session);
  add_volume_commands(app, session, files);
  add_complete_path_command(app, session, files);
  add_user_commands(app, session);
  add_group_commands(app, session);
  add_service_commands(app, session);
  add_policy_commands(app, session);
  add_audit_command(app, session);
  add_kdc_commands(app, session);
  add_cell_commands(app, session);
  add_store_commands(app, session);
  add_status_command(app, session);
  add_version_command(app, session);
  add_completion_command(app, session);
  add_help_command(app, session);

  switch (const auto outcome = tree.parse(words); outcome.parsed) {
    case CommandTree::Parsed::Fine:
      break;
    case CommandTree::Parsed::HelpWanted:
      print(tree.chosen().help());
      return kExitOk;
    case CommandTree::Parsed::Wrong:
      // The help of the innermost command that was named belongs to the mistake.
      print_error(outcome.mistake + "; see: " + tree.chosen().path() + " --help");
      return kExitUsage;
  }
  if (version) {
    print("troth " + std::string(common::version()) + "\n");
    return kExitOk;
  }
  if (!session.action) {
    print(tree.chosen().help());
    return kExitUsage;
  }
  return session.action();
}

}  // namespace cli
