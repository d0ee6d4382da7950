#include "common/completion/from_cli11.hpp"

#include <CLI/CLI.hpp>

namespace common::completion {
namespace {

Value value_of(const CLI::Option& option) {
  if (option.get_items_expected_max() == 0)
    return {};
  const std::string type = option.get_type_name();
  if (type == "FILE")
    return {.kind = ValueKind::File, .words = {}};
  if (type == "DIR")
    return {.kind = ValueKind::Directory, .words = {}};
  if (type == "REMOTE")
    return {.kind = ValueKind::Remote, .words = {}};
  if (type == "LOCAL_REMOTE" || type == "REMOTE_LOCAL")
    return {.kind = ValueKind::FileOrRemote, .words = {}};
  if (type.find('|') == std::string::npos)
    return {.kind = ValueKind::Text, .words = {}};
  Value value{.kind = ValueKind::Words, .words = {}};
  for (std::size_t begin = 0; begin <= type.size();) {
    const std::size_t end = std::min(type.find('|', begin), type.size());
    value.words.push_back(type.substr(begin, end - begin));
    begin = end + 1;
  }
  return value;
}

void add_option(const CLI::Option& option, Command& command) {
  if (option.get_group().empty())
    return;
  if (option.get_positional()) {
    command.positionals.push_back(value_of(option));
    return;
  }
  Option made{.names = {}, .help = option.get_description(), .value = value_of(option)};
  for (const std::string& name : option.get_lnames())
    made.names.push_back("--" + name);
  for (const std::string& name : option.get_snames())
    made.names.push_back("-" + name);
  command.options.push_back(std::move(made));
}

}  // namespace

Command from_cli11(const CLI::App& app) {
  Command command{.name = app.get_name(), .help = app.get_description()};
  for (const CLI::Option* option : app.get_options())
    add_option(*option, command);
  for (const CLI::App* sub : app.get_subcommands(nullptr)) {
    if (!sub->get_group().empty())
      command.subcommands.push_back(from_cli11(*sub));
  }
  return command;
}

}  // namespace common::completion
