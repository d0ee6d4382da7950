// troth shell

#include "cli/shell/shell_command.hpp"

#include <unistd.h>

#include "cli/output.hpp"
#include "cli/shell/shell.hpp"

namespace cli {
namespace {

struct ShellArguments {
  std::string cell;
  std::string commands;
  std::string directory;
  bool stop = false;
};

int run(const ShellArguments& arguments, const common::Clock& clock) {
  auto files = Files::open(arguments.cell);
  if (!files)
    return failed(files.error());
  if (!arguments.directory.empty()) {
    const auto top = (*files)->find(arguments.directory);
    if (!top)
      return failed(top.error());
    auto path = fileclient::parse_remote_path(top->path);
    if (!path)
      return failed(path.error());
    (*files)->go(*std::move(path));
  }
  Shell shell(*std::move(files), clock);
  if (arguments.stop)
    shell.stop_at_failure();
  if (!arguments.commands.empty())
    return shell.run_script(arguments.commands);
  return can_edit() ? shell.interact() : shell.run_input();
}

}  // namespace

void add_shell_command(Command app, Session& session) {
  auto arguments = std::make_shared<ShellArguments>();
  auto command = app.add_command(
      "shell", "Work with files: the commands above, with a place, patterns, Tab and history.");
  command.add_option("directory", arguments->directory, "Where to begin").type_name("REMOTE");
  command
      .add_option("-c,--command", arguments->commands,
                  "Run these commands, and end; without a terminal they come from standard "
                  "input.")
      .type_name("COMMANDS");
  command.add_flag("-e,--stop", arguments->stop, "End at the first command that fails.");
  command.add_option("--cell", arguments->cell, "The cell's directory.").type_name("DIR");
  command.on_chosen([&session, arguments] {
    session.action = [arguments, &session] { return run(*arguments, session.clock); };
  });
}

}  // namespace cli
