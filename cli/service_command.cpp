// troth service …

#include <nlohmann/json.hpp>

#include "cli/admin_commands.hpp"
#include "cli/output.hpp"
#include "common/crypto/secret.hpp"
#include "common/ticket/keytab.hpp"

namespace cli {
namespace {

using common::Result;
using common::Status;
namespace ticket = common::ticket;

struct ServiceArguments : AdminArguments {
  std::string name;
  std::uint32_t id = 0;
  std::string policy;
  std::string out;
  bool hosts = false;
  bool now = false;
};

// The keytab in an answer, which is wiped.
Result<ticket::Keytab> take_keytab(Admin& admin, AdminAnswer& answer, const std::string& name) {
  auto keytab = ticket::decode_keytab(answer.bytes);
  common::crypto::wipe(answer.bytes);
  if (!keytab || keytab->principal() != name || keytab->cell() != admin.session().description.id) {
    return common::fail(common::ErrorCode::Protocol, "the KDC sent no keytab of {}", name);
  }
  return keytab;
}

Status save(Admin& admin, AdminAnswer& answer, const ServiceArguments& arguments) {
  TROTH_TRY(const auto keytab, take_keytab(admin, answer, arguments.name));
  return ticket::save_keytab(keytab, arguments.out);
}

// Before anything is changed: whether the file may be replaced by this service's keytab.
Status check_target(Admin& admin, const ServiceArguments& arguments) {
  if (arguments.out.empty())
    return {};
  const auto old = ticket::load_keytab_of_others(arguments.out);
  if (!old && old.error().code == common::ErrorCode::NotFound)
    return {};
  if (!old)
    return tl::unexpected(old.error());
  const std::string& cell = admin.session().description.id;
  if (old->principal() != arguments.name || old->cell() != cell) {
    return common::fail(common::ErrorCode::Conflict,
                        "{} holds the keys of {} in cell {}, not of {} in cell {}: it is not "
                        "replaced, and no key was changed",
                        arguments.out, old->principal(), old->cell(), arguments.name, cell);
  }
  return {};
}

Status write_keytab(Admin& admin, const ServiceArguments& arguments) {
  TROTH_TRY(auto answer, admin.call("service-keytab", {{"name", arguments.name}}, Needs::Fresh));
  TROTH_TRY_VOID(save(admin, answer, arguments));
  print(fmt::format("Wrote the keys of {} to {}; move it where it belongs and leave no copy.\n",
                    arguments.name, arguments.out));
  return {};
}

Status add(const ServiceArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY_VOID(check_target(admin, arguments));
  nlohmann::json args = {{"name", arguments.name}};
  if (arguments.id != 0)
    args["id"] = arguments.id;
  if (!arguments.policy.empty())
    args["policy"] = arguments.policy;
  TROTH_TRY(const auto answer, admin.call("service-add", args, Needs::Fresh));
  print(fmt::format("Added {} with id {}.\n", arguments.name, answer.result().value("id", 0U)));
  return arguments.out.empty() ? Status() : write_keytab(admin, arguments);
}

Status keytab(const ServiceArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY_VOID(check_target(admin, arguments));
  return write_keytab(admin, arguments);
}

// A new key: in the file first, then in use. Whatever is cut off in between, the file holds every
// key that tickets are sealed with, and doing it again goes on.
Status rotate(const ServiceArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY_VOID(check_target(admin, arguments));
  TROTH_TRY(auto rotated, admin.call("service-rotate", {{"name", arguments.name}}, Needs::Fresh));
  TROTH_TRY_VOID(save(admin, rotated, arguments));
  nlohmann::json args = {{"name", arguments.name}, {"kvno", rotated.result().value("kvno", 0U)}};
  if (arguments.now)
    args["now"] = true;
  TROTH_TRY(auto activated, admin.call("service-activate", args, Needs::Fresh));
  TROTH_TRY_VOID(save(admin, activated, arguments));
  print(fmt::format("{} now has key {}; {} holds it. {}\n", arguments.name,
                    activated.result().value("kvno", 0U), arguments.out,
                    arguments.now ? "All tickets for it have ended; reload the service."
                                  : "Tickets for the old key stay good until they end."));
  return {};
}

Status remove(const ServiceArguments& arguments) {
  TROTH_TRY(Admin admin, Admin::open(arguments));
  TROTH_TRY(const auto answer,
            admin.call("service-delete", {{"name", arguments.name}}, Needs::Fresh));
  static_cast<void>(answer);
  print(fmt::format("Deleted {}.\n", arguments.name));
  return {};
}

Status list(const ServiceArguments& arguments) {
  nlohmann::json args = nlohmann::json::object();
  if (arguments.hosts)
    args["hosts"] = true;
  return list_all(
      arguments,
      {.operation = "service-list", .args = args, .list = "services", .line = principal_line});
}

Status show(const ServiceArguments& arguments) {
  return show_principal(arguments, arguments.name);
}

}  // namespace

void add_service_commands(Command app, Session& session) {
  auto parent = app.add_group("service", "Look after services and hosts and their keys.");
  using Group = CommandGroup<ServiceArguments>;
  Group group(parent, session);
  const auto of_service = [&](const char* name, const char* help, Group::Run run, bool reads) {
    auto added = group.add(name, help, run, reads);
    added.command.add_option("name", added.arguments->name, "Such as fileserver/fs1 or host/desk7.")
        .type_name("NAME")
        .required();
    return added;
  };
  auto made = of_service("add", "Add a service or host with a random key.", &add, false);
  made.command.add_option("--id", made.arguments->id, "Its number; else the next free one.")
      .type_name("ID");
  made.command.add_option("--policy", made.arguments->policy, "Under that policy.")
      .type_name("POLICY");
  made.command.add_option("--out", made.arguments->out, "Write its keytab there.")
      .type_name("FILE");
  auto listed = group.add("list", "List the services, or hosts.", &list, true);
  listed.command.add_flag("--hosts", listed.arguments->hosts, "Hosts instead of services.");
  of_service("show", "Show a service or host.", &show, true);
  auto written =
      of_service("keytab", "Write the keys of a service or host to a file.", &keytab, false);
  written.command.add_option("--out", written.arguments->out, "The file; replaced if it is there.")
      .type_name("FILE")
      .required();
  auto rotated = of_service("rotate", "Give a service or host a new key.", &rotate, false);
  rotated.command.add_option("--out", rotated.arguments->out, "Its keytab, which is replaced.")
      .type_name("FILE")
      .required();
  rotated.command.add_flag("--now", rotated.arguments->now,
                           "Destroy the old key at once: every ticket for it ends.");
  of_service("delete", "Delete a service or host for good.", &remove, false);
}

}  // namespace cli
