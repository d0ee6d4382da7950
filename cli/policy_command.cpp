// troth policy …

#include <nlohmann/json.hpp>

#include "cli/admin_commands.hpp"
#include "cli/output.hpp"
#include "common/config/values.hpp"

namespace cli {
namespace {

using common::Result;
using common::Status;

struct PolicyArguments : AdminArguments {
  std::string name;
  std::string ticket_life;
  std::string renewable;
  std::string max_age;
  int min_length = -1;  // negative: not given
  int min_classes = -1;
  int history = -1;
};

std::string duration_field(const nlohmann::json& policy, std::string_view field) {
  const auto found = policy.find(field);
  if (found == policy.end() || !found->is_number_integer())
    return "-";
  const auto value = found->get<std::int64_t>();
  return value == 0 ? "-" : common::config::format_duration(std::chrono::milliseconds(value));
}

Status list(const PolicyArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY(const auto answer, admin.call("policy-list", nlohmann::json::object(), Needs::Ticket));
  if (arguments.json) {
    print_json(answer.result());
    return {};
  }
  std::string text = fmt::format("{:<16} {:>8} {:>10} {:>7} {:>8} {:>8} {:>8}\n", "policy",
                                 "tickets", "renewable", "length", "classes", "history", "age");
  const auto policies = answer.result().find("policies");
  if (policies != answer.result().end() && policies->is_array()) {
    for (const nlohmann::json& policy : *policies) {
      text += fmt::format("{:<16} {:>8} {:>10} {:>7} {:>8} {:>8} {:>8}\n",
                          text_field(policy, "name"), duration_field(policy, "ticket_life_ms"),
                          duration_field(policy, "renewable_life_ms"),
                          policy.value("min_length", 0U), policy.value("min_classes", 0U),
                          policy.value("history", 0U), duration_field(policy, "max_age_ms"));
    }
  }
  print(text);
  return {};
}

Status put_duration(nlohmann::json& args, const char* field, const std::string& text) {
  if (text.empty())
    return {};
  const auto duration = common::config::parse_duration(text);
  if (!duration) {
    return common::fail(common::ErrorCode::InvalidArgument, "\"{}\" is no duration; {}", text,
                        duration.error().message);
  }
  args[field] = duration->count();
  return {};
}

void put_number(nlohmann::json& args, const char* field, int number) {
  if (number >= 0)
    args[field] = number;
}

Status set(const PolicyArguments& arguments) {
  nlohmann::json args = {{"name", arguments.name}};
  TROTH_TRY_VOID(put_duration(args, "ticket_life_ms", arguments.ticket_life));
  TROTH_TRY_VOID(put_duration(args, "renewable_life_ms", arguments.renewable));
  TROTH_TRY_VOID(put_duration(args, "max_age_ms", arguments.max_age));
  put_number(args, "min_length", arguments.min_length);
  put_number(args, "min_classes", arguments.min_classes);
  put_number(args, "history", arguments.history);
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY(const auto answer, admin.call("policy-set", args, Needs::Fresh));
  static_cast<void>(answer);
  print(fmt::format("Set the policy {}.\n", arguments.name));
  return {};
}

Status remove(const PolicyArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY(const auto answer,
            admin.call("policy-delete", {{"name", arguments.name}}, Needs::Fresh));
  static_cast<void>(answer);
  print(fmt::format("Deleted the policy {}.\n", arguments.name));
  return {};
}

}  // namespace

void add_policy_commands(Command app, Session& session) {
  auto parent = app.add_group("policy", "What passwords must be and how long logins last.");
  using Group = CommandGroup<PolicyArguments>;
  Group group(parent, session);
  group.add("list", "List the policies.", &list, true);
  const auto named = [&](const char* name, const char* help, Group::Run run) {
    auto added = group.add(name, help, run, false);
    added.command.add_option("name", added.arguments->name, "The policy.")
        .type_name("POLICY")
        .required();
    return added;
  };
  auto changed = named("set", "Change or make a policy; what is not named stays.", &set);
  auto& arguments = *changed.arguments;
  const auto text = [&](const char* option, std::string& into, const char* help) {
    changed.command.add_option(option, into, help).type_name("DURATION");
  };
  const auto number = [&](const char* option, int& into, const char* help) {
    changed.command.add_option(option, into, help).type_name("N");
  };
  text("--ticket-life", arguments.ticket_life, "How long a ticket is good, such as 10h.");
  text("--renewable", arguments.renewable, "How long a login may be renewed; 0s: not at all.");
  text("--max-age", arguments.max_age, "How long a password is good; 0s: without end.");
  number("--min-length", arguments.min_length, "Least characters of a password.");
  number("--min-classes", arguments.min_classes,
         "Least kinds of characters: small, capital, digits, others.");
  number("--history", arguments.history, "How many old passwords may not come back.");
  named("delete", "Delete a policy that nobody is under.", &remove);
}

}  // namespace cli
