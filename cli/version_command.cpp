#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "common/build_info.hpp"
#include "common/version.hpp"

namespace cli {
namespace {

int print_json(bool all) {
  nlohmann::json value = {{"version", common::version()}};
  if (all) {
    value["compiler"] = common::compiler();
    value["build"] = common::build_kind();
    value["libraries"] = nlohmann::json::array();
    for (const common::LibraryInfo& library : common::libraries()) {
      nlohmann::json entry = {
          {"name", library.name}, {"built_with", library.built_with}, {"origin", library.origin}};
      if (!library.running.empty())
        entry["running"] = library.running;
      value["libraries"].push_back(std::move(entry));
    }
  }
  print(value.dump() + "\n");
  return kExitOk;
}

int print_text(bool all) {
  std::string text = fmt::format("troth {}\n", common::version());
  if (all) {
    text += fmt::format("{}, {}\n\n", common::compiler(), common::build_kind());
    for (const common::LibraryInfo& library : common::libraries()) {
      const bool differs = !library.running.empty() && library.running != library.built_with;
      text += fmt::format(
          "{:<15} {:<22} {}\n", library.name,
          differs ? library.running + " (built " + library.built_with + ")" : library.built_with,
          library.origin);
    }
  }
  print(text);
  return kExitOk;
}

}  // namespace

void add_version_command(Command app, Session& session) {
  struct Options {
    bool all = false;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  auto command = app.add_command("version", "Show the version of this program.");
  command.add_flag("--all", options->all, "Also every library and where it came from.");
  command.add_flag("--json", options->json, "One JSON object.");
  command.on_chosen([&session, options] {
    session.action = [options] {
      return options->json ? print_json(options->all) : print_text(options->all);
    };
  });
}

}  // namespace cli
