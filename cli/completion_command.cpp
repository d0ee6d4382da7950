
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "common/completion/completion.hpp"
#include "common/completion/from_cli11.hpp"

namespace cli {

void add_completion_command(Command app, Session& session) {
  auto command = app.add_command("completion", "Print a shell's completion script.");
  auto shell = std::make_shared<std::string>();
  command.add_option("shell", *shell, "Which shell").type_name("bash|zsh|fish").required();
  command.on_chosen([app, &session, shell] {
    session.action = [app, shell] {
      const auto known = common::completion::shell_from_name(*shell);
      if (!known) {
        print_error("no completion for \"" + *shell + "\"; expected bash, zsh or fish");
        return kExitUsage;
      }
      print(common::completion::script_for(*known, common::completion::from_cli11(app.app())));
      return kExitOk;
    };
  });
}

}  // namespace cli
