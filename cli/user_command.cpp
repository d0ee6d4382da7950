// troth passwd, troth user …

#include <nlohmann/json.hpp>

#include "cli/admin.hpp"
#include "cli/admin_commands.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/prompt.hpp"
#include "common/cell/first_secrets.hpp"

namespace cli {
namespace {

using common::Result;
using common::Status;
using common::crypto::Secret;

struct UserArguments : AdminArguments {
  std::string name;
  std::uint32_t id = 0;
  std::string policy;
  bool new_password_stdin = false;
  bool random = false;
};

struct NewPassword {
  Secret password;
  bool show = false;  // made here: the person must learn it
};

Result<NewPassword> new_password(const UserArguments& arguments, const std::string& whose) {
  NewPassword made;
  made.show = arguments.random;
  if (arguments.random) {
    TROTH_TRY(made.password, common::cell::new_readable_password());
  } else if (arguments.new_password_stdin) {
    TROTH_TRY(made.password, read_password_line());
  } else {
    TROTH_TRY(made.password, ask_new_password(fmt::format("New password of {}: ", whose)));
  }
  return made;
}

void show(const NewPassword& made, const std::string& whose) {
  if (!made.show)
    return;
  print(fmt::format("The password of {} is: {}\nIt is shown this once.\n", whose,
                    common::as_text(made.password.bytes())));
}

// ---- passwd

Status change_own(const UserArguments& arguments) {
  AdminArguments open = arguments;
  TROTH_TRY(Admin admin, Admin::open(open));
  TROTH_TRY(const std::string who, admin.caller());
  if (!arguments.password_stdin) {
    // The present one, even if it was typed a moment ago: whoever finds an open terminal must not
    // be able to change it.
    TROTH_TRY(const Secret present, ask_password(fmt::format("Present password of {}: ", who)));
    TROTH_TRY_VOID(admin.prove(present));
  }
  TROTH_TRY(const NewPassword made, new_password(arguments, who));
  TROTH_TRY(const auto answer,
            admin.call("passwd", nlohmann::json::object(), Needs::Fresh, made.password.bytes()));
  static_cast<void>(answer);
  print(fmt::format("The password of {} is changed.\n", who));
  show(made, who);
  return {};
}

// ---- user

Status add(const UserArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  nlohmann::json args = {{"name", arguments.name}};
  if (arguments.id != 0)
    args["id"] = arguments.id;
  if (!arguments.policy.empty())
    args["policy"] = arguments.policy;
  TROTH_TRY_VOID(common::ticket::check_user_name(arguments.name));
  TROTH_TRY(const NewPassword made, new_password(arguments, arguments.name));
  TROTH_TRY(const auto answer, admin.call("user-add", args, Needs::Fresh, made.password.bytes()));
  print(fmt::format("Added the user {} with id {}.\n", arguments.name,
                    answer.result().value("id", 0U)));
  show(made, arguments.name);
  return {};
}

Status set_password(const UserArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY(const auto found, admin.call("user-show", {{"name", arguments.name}}, Needs::Ticket));
  TROTH_TRY(const NewPassword made, new_password(arguments, arguments.name));
  TROTH_TRY(const auto answer,
            admin.call("user-passwd",
                       {{"name", arguments.name}, {"kvno", found.result().value("kvno", 0U)}},
                       Needs::Fresh, made.password.bytes()));
  static_cast<void>(answer);
  print(fmt::format("The password of {} is changed.\n", arguments.name));
  show(made, arguments.name);
  return {};
}

Status list(const UserArguments& arguments) {
  return list_all(arguments, {.operation = "user-list",
                              .args = nlohmann::json::object(),
                              .list = "users",
                              .line = principal_line});
}

Status show_one(const UserArguments& arguments) {
  return show_principal(arguments, arguments.name);
}

Status change(const UserArguments& arguments, const char* operation, const char* done) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY(const auto answer, admin.call(operation, {{"name", arguments.name}}, Needs::Fresh));
  static_cast<void>(answer);
  print(fmt::format("{} {}.\n", done, arguments.name));
  return {};
}
Status disable(const UserArguments& arguments) {
  return change(arguments, "user-disable", "No tickets are given any more to");
}
Status enable(const UserArguments& arguments) {
  return change(arguments, "user-enable", "Tickets are given again to");
}
Status remove(const UserArguments& arguments) {
  return change(arguments, "user-delete", "Deleted");
}

Status set_policy(const UserArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY(const auto answer,
            admin.call("user-policy", {{"name", arguments.name}, {"policy", arguments.policy}},
                       Needs::Fresh));
  static_cast<void>(answer);
  print(fmt::format("{} is now under the policy {}.\n", arguments.name,
                    arguments.policy.empty() ? "of its kind" : arguments.policy));
  return {};
}

void add_password_options(Command command, UserArguments& arguments) {
  command.add_flag("--new-password-stdin", arguments.new_password_stdin,
                   "Read the new password from standard input's next line.");
  command.add_flag("--random-password", arguments.random,
                   "Make a random new password and show it once.");
}

}  // namespace

void add_user_commands(Command app, Session& session) {
  using Group = CommandGroup<UserArguments>;
  Group own(app, session);
  auto passwd = own.add("passwd", "Change your password.", &change_own, false);
  add_password_options(passwd.command, *passwd.arguments);
  // As --as, which people would not look for: whose password has ended cannot log in first.
  passwd.command.add_option("user", passwd.arguments->as, "Whose; else of whoever is logged in.")
      .type_name("USER");

  auto user = app.add_group("user", "Look after the cell's users.");
  Group group(user, session);
  const auto named = [&](const char* name, const char* help, Group::Run run, bool reads) {
    auto added = group.add(name, help, run, reads);
    added.command.add_option("name", added.arguments->name, "The user's name.")
        .type_name("NAME")
        .required();
    return added;
  };
  auto added = named("add", "Add a user.", &add, false);
  added.command.add_option("--id", added.arguments->id, "His number; else the next free one.")
      .type_name("ID");
  added.command.add_option("--policy", added.arguments->policy, "Under that policy.")
      .type_name("POLICY");
  add_password_options(added.command, *added.arguments);
  group.add("list", "List all users.", &list, true);
  named("show", "Show a user, service or host, and the groups it is in.", &show_one, true);
  named("disable", "Give no tickets any more to a user, service or host.", &disable, false);
  named("enable", "Undo disable.", &enable, false);
  named("delete", "Delete a user for good; the number is never used again.", &remove, false);
  auto changed = named("passwd", "Set a user's password.", &set_password, false);
  add_password_options(changed.command, *changed.arguments);
  auto policy =
      named("policy", "Put a user under a policy; \"\" for the kind's own.", &set_policy, false);
  policy.command.add_option("policy", policy.arguments->policy, "The policy.")
      .type_name("POLICY")
      .required()
      .may_be_empty();
}

}  // namespace cli
