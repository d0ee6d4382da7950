#include "common/completion/completion.hpp"

#include <CLI/CLI.hpp>

#include "common/completion/from_cli11.hpp"
#include "tests/support/test.hpp"

using namespace common::completion;

namespace {

Command sample() {
  return {.name = "tool",
          .help = "A tool.",
          .options = {{.names = {"--help", "-h"}, .help = "It's help.", .value = {}}},
          .positionals = {},
          .subcommands = {
              {.name = "run",
               .help = "Run: [now]",
               .options = {{.names = {"--in"},
                            .help = "Where",
                            .value = {.kind = ValueKind::Directory, .words = {}}},
                           {.names = {"--mode"},
                            .help = "How",
                            .value = {.kind = ValueKind::Words, .words = {"fast", "slow"}}}},
               .positionals = {{.kind = ValueKind::File, .words = {}}},
               .subcommands = {}}}};
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a bash script knows commands, options and values") {
  const std::string script = script_for(Shell::Bash, sample());
  CHECK(contains(script, "'tool'|'tool run'"));
  CHECK(contains(script, "'tool run --in')\n      COMPREPLY=($(compgen -d"));
  CHECK(contains(script, "compgen -W 'fast slow'"));
  CHECK(contains(script, "complete -o filenames -F _tool tool"));
}

TEST_CASE("text is escaped as each shell needs it") {
  CHECK(contains(script_for(Shell::Zsh, sample()), "'--help[It'\\''s help.]'"));
  CHECK(contains(script_for(Shell::Zsh, sample()), "'run:Run\\: \\[now\\]'"));
  CHECK(contains(script_for(Shell::Fish, sample()), "-l help -s h -d 'It\\'s help.'"));
  CHECK(contains(script_for(Shell::Fish, sample()),
                 "-n '__tool_at tool run' -l mode -x -a 'fast slow' -d 'How'"));
}

TEST_CASE("paths of the cell are asked of the program, and nothing else is") {
  Command program = sample();
  for (const Shell shell : {Shell::Bash, Shell::Zsh, Shell::Fish})
    CHECK_FALSE(contains(script_for(shell, program), "complete-path"));
  program.subcommands[0].positionals = {{.kind = ValueKind::Remote, .words = {}}};
  CHECK(contains(script_for(Shell::Bash, program), "tool complete-path -- \"$word\""));
  CHECK(contains(script_for(Shell::Bash, program), "_troth_remote_paths \"$cur\""));
  CHECK(script_for(Shell::Zsh, program).starts_with("#compdef tool"));
  CHECK(contains(script_for(Shell::Zsh, program), "*:value:_troth_remote_paths"));
  CHECK(contains(script_for(Shell::Fish, program), "-a '(__troth_remote_paths)'"));
}

TEST_CASE("shells are known by name") {
  CHECK(shell_from_name("bash") == Shell::Bash);
  CHECK(shell_from_name("zsh") == Shell::Zsh);
  CHECK(shell_from_name("fish") == Shell::Fish);
  CHECK(shell_from_name("sh") == std::nullopt);
}

TEST_CASE("a CLI11 tree becomes a command tree") {
  CLI::App app("A tool.", "tool");
  std::string text;
  bool flag = false;
  auto* run = app.add_subcommand("run", "Run.");
  run->add_option("file", text, "Which")->type_name("FILE");
  run->add_option("--mode", text, "How")->type_name("fast|slow");
  run->add_option("--in,-i", text, "Where")->type_name("DIR");
  run->add_flag("--loud", flag, "Noise");
  run->add_option("--secret", text, "Hidden")->group("");
  app.add_subcommand("hidden", "Hidden.")->group("");

  const Command tree = from_cli11(app);
  REQUIRE(tree.subcommands.size() == 1);
  const Command& command = tree.subcommands[0];
  REQUIRE(command.positionals.size() == 1);
  CHECK(command.positionals[0].kind == ValueKind::File);
  std::vector<std::string> names;
  for (const Option& option : command.options)
    names.push_back(option.names.at(0));
  CHECK(names == std::vector<std::string>{"--help", "--mode", "--in", "--loud"});
  CHECK(command.options[1].value.words == std::vector<std::string>{"fast", "slow"});
  CHECK(command.options[2].value.kind == ValueKind::Directory);
  CHECK(command.options[2].names == std::vector<std::string>{"--in", "-i"});
  CHECK(command.options[3].value.kind == ValueKind::None);
}
