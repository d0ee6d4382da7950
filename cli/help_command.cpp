#include <algorithm>

#include <CLI/CLI.hpp>

#include "cli/commands.hpp"
#include "cli/output.hpp"

namespace cli {

// CLI11's own App::help() would answer for the command that was parsed, which here is "help".
std::string help_of(const CLI::App& command) {
  std::string path;
  for (const CLI::App* at = &command; at != nullptr; at = at->get_parent())
    path = at->get_name() + (path.empty() ? "" : " ") + path;
  return command.get_formatter()->make_help(&command, path, CLI::AppFormatMode::Normal);
}

void add_help_command(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand("help", "Explain a command.");
  auto words = std::make_shared<std::vector<std::string>>();
  command->add_option("command", *words, "The command, such as: cell init")->type_name("COMMAND");
  command->callback([&app, &session, words] {
    session.action = [&app, words] {
      const CLI::App* at = &app;
      for (const std::string& word : *words) {
        const auto all = at->get_subcommands(nullptr);
        const auto found = std::find_if(
            all.begin(), all.end(), [&](const CLI::App* sub) { return sub->get_name() == word; });
        at = found == all.end() ? nullptr : *found;
        if (at == nullptr) {
          print_error("there is no command \"" + word + "\" here; see: troth help");
          return kExitUsage;
        }
      }
      print(help_of(*at));
      return kExitOk;
    };
  });
}

}  // namespace cli
