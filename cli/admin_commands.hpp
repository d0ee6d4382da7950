#pragma once

// What the files of administrative commands share: how they are added, listed and shown.

#include <functional>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/admin.hpp"
#include "cli/commands.hpp"

namespace cli {

// Adds commands whose arguments are an `Arguments` (derived from AdminArguments) each.
template <typename Arguments>
class CommandGroup {
 public:
  using Run = common::Status (*)(const Arguments&);
  struct Added {
    CLI::App* command = nullptr;
    std::shared_ptr<Arguments> arguments;
  };

  CommandGroup(CLI::App& parent, Session& session) : parent_(parent), session_(session) {}

  // `reads`: it shows something and takes --json.
  Added& add(const char* name, const char* help, Run run, bool reads) {
    added_ = {parent_.add_subcommand(name, help), std::make_shared<Arguments>()};
    add_admin_options(*added_.command, *added_.arguments, reads);
    added_.command->callback([&session = session_, arguments = added_.arguments, run] {
      session.action = [arguments, run] {
        const common::Status status = run(*arguments);
        return status ? kExitOk : admin_failure(status.error());
      };
    });
    return added_;
  }

 private:
  CLI::App& parent_;
  Session& session_;
  Added added_;
};

// A list that the KDC gives in parts.
struct Listing {
  std::string operation;
  nlohmann::json args;
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
// A text field; "" if it is none.
std::string text_field(const nlohmann::json& object, std::string_view field);

}  // namespace cli
