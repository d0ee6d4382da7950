#include "cli/admin_commands.hpp"

#include <nlohmann/json.hpp>

#include "cli/output.hpp"

namespace cli {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;

namespace {

// More parts than a cell can have; a KDC that never ends must not hold us.
constexpr int kMostParts = 10'000;

tl::unexpected<common::Error> senseless() {
  return fail(ErrorCode::Protocol, "the KDC's answer makes no sense");
}

}  // namespace

Command add_admin_command(Command parent, Session& session, const char* name, const char* help,
                          AdminArguments& arguments, bool reads, std::function<Status()> run) {
  Command command = parent.add_command(name, help);
  add_admin_options(command, arguments, reads);
  command.on_chosen([&session, run = std::move(run)] {
    session.action = [run] {
      const Status status = run();
      return exit_code(status);
    };
  });
  return command;
}

std::string text_field(const nlohmann::json& object, std::string_view field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string()
             ? said(found->get_ref<const std::string&>(), kMaxReason)
             : std::string();
}

std::string named(const nlohmann::json& object) {
  if (!object.is_object())
    return "-";
  const std::string name = text_field(object, "name");
  return fmt::format("{} ({})", name.empty() ? "-" : name, object.value("id", 0U));
}

Result<nlohmann::json> collect(Admin& admin, const Listing& listing) {
  nlohmann::json all = nlohmann::json::array();
  nlohmann::json args = listing.args;
  for (int part = 0; part < kMostParts; ++part) {
    TROTH_TRY(const auto answer, admin.call(listing.operation, args, Needs::Ticket));
    const nlohmann::json& result = answer.result();
    const auto entries = result.is_object() ? result.find(listing.list) : result.end();
    if (!result.is_object() || entries == result.end() || !entries->is_array())
      return senseless();
    for (const nlohmann::json& entry : *entries) {
      if (!entry.is_object())
        return senseless();
      all.push_back(entry);
    }
    if (!result.value("more", false) || entries->empty())
      return all;
    const auto last = entries->back().find(listing.after);
    if (last == entries->back().end())
      return senseless();
    args["after"] = *last;
  }
  return senseless();
}

Status list_all(const AdminArguments& arguments, const Listing& listing) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY(const nlohmann::json all, collect(admin, listing));
  if (arguments.json) {
    print_json({{listing.list, all}});
    return {};
  }
  std::string text;
  for (const nlohmann::json& entry : all)
    text += listing.line(entry) + "\n";
  print(text.empty() ? "none\n" : text);
  return {};
}

std::string principal_line(const nlohmann::json& principal) {
  return fmt::format("{:<32} {:>10}  {}", text_field(principal, "name"), principal.value("id", 0U),
                     principal.value("disabled", false) ? "disabled" : "");
}

Status show_principal(const AdminArguments& arguments, const std::string& name) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY(const auto answer, admin.call("user-show", {{"name", name}}, Needs::Ticket));
  const nlohmann::json& found = answer.result();
  if (!found.is_object())
    return senseless();
  if (arguments.json) {
    print_json(found);
    return {};
  }
  std::string text =
      fmt::format("{} ({} {}){}\n", text_field(found, "name"), text_field(found, "kind"),
                  found.value("id", 0U), found.value("disabled", false) ? ", disabled" : "");
  text += fmt::format("  key          {}\n", found.value("kvno", 0U));
  if (const auto pending = found.find("pending_kvno");
      pending != found.end() && !pending->is_null())
    text += fmt::format("  not in use   key {}\n", said(pending->dump()));
  if (text_field(found, "kind") == "user")
    text += fmt::format("  password end {}\n", time_field(found, "password_end_ms"));
  text += fmt::format("  policy       {}\n", text_field(found, "policy"));
  text += fmt::format("  created      {}\n", time_field(found, "created_ms"));
  text += fmt::format("  changed      {}\n", time_field(found, "changed_ms"));
  if (const auto groups = found.find("groups"); groups != found.end() && groups->is_array()) {
    for (const nlohmann::json& group : *groups)
      text += fmt::format("  in group     {}\n", named(group));
  }
  print(text);
  return {};
}

}  // namespace cli
