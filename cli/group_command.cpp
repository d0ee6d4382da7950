// troth group …

#include <nlohmann/json.hpp>

#include "cli/admin_commands.hpp"
#include "cli/output.hpp"

namespace cli {
namespace {

using common::Result;
using common::Status;

struct GroupArguments : AdminArguments {
  std::string group;
  std::vector<std::string> members;
  std::string owner;
  std::uint32_t id = 0;
  bool all = false;
};

Status create(const GroupArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  nlohmann::json args = {{"group", arguments.group}};
  if (!arguments.owner.empty())
    args["owner"] = arguments.owner;
  if (arguments.id != 0)
    args["id"] = arguments.id;
  TROTH_TRY(const auto answer, admin.call("group-create", args, Needs::Ticket));
  print(fmt::format("Made the group {} with id {}.\n", arguments.group,
                    answer.result().value("id", 0U)));
  return {};
}

Status change_members(const GroupArguments& arguments, const char* operation, const char* done) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  for (const std::string& member : arguments.members) {
    TROTH_TRY(
        const auto answer,
        admin.call(operation, {{"group", arguments.group}, {"member", member}}, Needs::Ticket));
    static_cast<void>(answer);
    print(fmt::format("{} {}.\n", fmt::format(fmt::runtime(done), member), arguments.group));
  }
  return {};
}
Status add(const GroupArguments& arguments) {
  return change_members(arguments, "group-add", "{} is now in");
}
Status remove(const GroupArguments& arguments) {
  return change_members(arguments, "group-remove", "{} is no longer in");
}

Status set_owner(const GroupArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY(const auto answer,
            admin.call("group-owner", {{"group", arguments.group}, {"owner", arguments.owner}},
                       Needs::Ticket));
  static_cast<void>(answer);
  print(fmt::format("{} now owns {}.\n", arguments.owner, arguments.group));
  return {};
}

Status destroy(const GroupArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY(const auto answer,
            admin.call("group-delete", {{"group", arguments.group}}, Needs::Ticket));
  static_cast<void>(answer);
  print(fmt::format("Deleted the group {}.\n", arguments.group));
  return {};
}

std::string group_line(const nlohmann::json& group) {
  const auto owner = group.find("owner");
  return fmt::format("{:<40} {:>10}  owner {}", text_field(group, "name"), group.value("id", 0U),
                     owner == group.end() ? "-" : named(*owner));
}

Status list(const GroupArguments& arguments) {
  nlohmann::json args = nlohmann::json::object();
  if (arguments.all)
    args["all"] = true;
  return list_all(arguments,
                  {.operation = "group-list", .args = args, .list = "groups", .line = group_line});
}

Status show(const GroupArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  const nlohmann::json args = {{"group", arguments.group}};
  TROTH_TRY(const auto answer, admin.call("group-show", args, Needs::Ticket));
  TROTH_TRY(
      const nlohmann::json members,
      collect(admin, {.operation = "group-show", .args = args, .list = "members", .after = "id"}));
  nlohmann::json group = answer.result();
  group["members"] = members;
  group.erase("more");
  if (arguments.json) {
    print_json(group);
    return {};
  }
  std::string text = group_line(group) + "\n";
  for (const nlohmann::json& member : members)
    text += fmt::format("  {}\n", named(member));
  print(text);
  return {};
}

}  // namespace

void add_group_commands(Command app, Session& session) {
  auto parent = app.add_group("group", "Make groups and say who is in them.");
  using Group = CommandGroup<GroupArguments>;
  Group group(parent, session);
  const auto of_group = [&](const char* name, const char* help, Group::Run run, bool reads) {
    auto added = group.add(name, help, run, reads);
    added.command.add_option("group", added.arguments->group, "The group, such as alice:friends.")
        .type_name("GROUP")
        .required();
    return added;
  };
  const auto with_members = [&](const char* name, const char* help, Group::Run run) {
    auto added = of_group(name, help, run, false);
    added.command
        .add_option("members", added.arguments->members, "Users, services, hosts or groups.")
        .type_name("MEMBER")
        .required();
  };
  auto created = of_group("create", "Make a group; yours begins with your name.", &create, false);
  created.command.add_option("--owner", created.arguments->owner, "Who looks after it; else you.")
      .type_name("NAME");
  created.command.add_option("--id", created.arguments->id, "Its number; else the next free one.")
      .type_name("ID");
  with_members("add", "Put members into a group.", &add);
  with_members("remove", "Take members out of a group.", &remove);
  auto owned = of_group("owner", "Give a group to another owner.", &set_owner, false);
  owned.command.add_option("owner", owned.arguments->owner, "A user or a group.")
      .type_name("NAME")
      .required();
  auto listed = group.add("list", "List the groups that you are in or own.", &list, true);
  listed.command.add_flag("--all", listed.arguments->all, "Every group of the cell.");
  of_group("show", "Show a group and its members.", &show, true);
  of_group("delete", "Delete a group for good.", &destroy, false);
}

}  // namespace cli
