#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "cli/output.hpp"

namespace cli {

void add_help_command(Command app, Session& session) {
  auto command = app.add_command("help", "Explain a command.");
  auto words = std::make_shared<std::vector<std::string>>();
  command.add_option("command", *words, "The command, such as: cell init").type_name("COMMAND");
  command.on_chosen([app, &session, words] {
    session.action = [app, words] {
      std::optional<Command> at = app;
      for (const std::string& word : *words) {
        at = at->find(word);
        if (!at) {
          print_error("there is no command \"" + word + "\" here; see: troth help");
          return kExitUsage;
        }
      }
      print(at->help());
      return kExitOk;
    };
  });
}

}  // namespace cli
