#pragma once

// What the files of administrative commands share: how they are added, listed and shown.

#include <functional>
#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "cli/admin.hpp"
#include "cli/commands.hpp"

namespace cli {

// A new command with the options of administration; `run` is its action.
Command add_admin_command(Command parent, Session& session, const char* name, const char* help,
                          AdminArguments& arguments, bool reads,
                          std::function<common::Status()> run);

// Adds commands whose arguments are an `Arguments` (derived from AdminArguments) each.
template <typename Arguments>
class CommandGroup {
 public:
  using Run = common::Status (*)(const Arguments&);
  struct Added {
    Command command;
    std::shared_ptr<Arguments> arguments;
  };

  CommandGroup(Command parent, Session& session) : parent_(parent), session_(session) {}

  // `reads`: it shows something and takes --json.
  Added add(const char* name, const char* help, Run run, bool reads) {
    auto arguments = std::make_shared<Arguments>();
    Command command = add_admin_command(parent_, session_, name, help, *arguments, reads,
                                        [arguments, run] { return run(*arguments); });
    return {command, std::move(arguments)};
  }

 private:
  Command parent_;
  Session& session_;
};

// A list that the KDC gives in parts; for the length of one call.
struct Listing {
  std::string operation;
  const nlohmann::json& args;                                  // borrowed
  std::string list;                                            // the field with the entries
  std::string (*line)(const nlohmann::json& entry) = nullptr;  // for people
  std::string after = "name";  // the entry's field that the next part begins after
};
// Prints all parts: lines, or with --json one object.
common::Status list_all(const AdminArguments& arguments, const Listing& listing);
// All entries of all parts.
common::Result<nlohmann::json> collect(Admin& admin, const Listing& listing);

std::string principal_line(const nlohmann::json& principal);
// user-show, for every kind.
common::Status show_principal(const AdminArguments& arguments, const std::string& name);
// "name (id)" of {"id","name"}.
std::string named(const nlohmann::json& object);
// A text field as it may be printed; "" if it is none.
std::string text_field(const nlohmann::json& object, std::string_view field);

}  // namespace cli
