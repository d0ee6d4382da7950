
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/prompt.hpp"
#include "common/cell/init.hpp"

namespace cli {
namespace {

struct InitArguments {
  std::string directory;
  common::cell::InitOptions options;
  bool password_stdin = false;
  unsigned days = static_cast<unsigned>(common::crypto::kDefaultValidity.count());
};

int init(const InitArguments& arguments, common::WallTime now) {
  common::cell::InitOptions options = arguments.options;
  options.certificate_validity = std::chrono::days(arguments.days);
  common::crypto::Secret password;
  if (arguments.password_stdin) {
    auto read = read_password_line();
    if (!read) {
      print_error(read.error().message);
      return kExitUsage;
    }
    password = *std::move(read);
    options.administrator_password = &password;
  }
  const auto made = common::cell::init_cell(arguments.directory, options, now);
  if (!made) {
    print_error(made.error().message);
    return made.error().code == common::ErrorCode::InvalidArgument ? kExitUsage : kExitFailure;
  }
  for (const std::string& left : made->unfinished) {
    print_error("an earlier attempt was interrupted and left " + left +
                "; if no other is running, remove it");
  }
  std::string text =
      fmt::format("Made the cell {} in {}\n\n", made->description.name, made->directory);
  for (const auto& server : made->description.servers)
    text += fmt::format("  {:<12} {}\n", server.role, server.address);
  if (!made->administrator_password.empty()) {
    text += fmt::format(
        "\nThe first administrator is {} with the password: {}\n"
        "It is shown this once and kept nowhere. Change it with: troth passwd\n",
        options.administrator, common::as_text(made->administrator_password.bytes()));
  }
  text += fmt::format(
      "\nStart a server:   troth-kdc --config {0}/kdc/troth-kdc.toml\n"
      "Log in:           troth login {2} --cell {0}\n"
      "See how it is:    troth status --cell {0}\n"
      "Certificates end in {1} days; renew with: troth cell cert renew --all --cell {0}\n"
      "Keep {0}/ca/ca.key safe: whoever has it can pretend to be any server.\n",
      made->directory, arguments.days, options.administrator);
  print(text);
  return kExitOk;
}

}  // namespace

void add_cell_commands(Command app, Session& session) {
  auto cell = app.add_group("cell", "Make or join a cell, and look after its certificates.");
  auto arguments = std::make_shared<InitArguments>();
  auto& options = arguments->options;
  auto command = cell.add_command(
      "init", "Make a cell: authority, certificates and configuration of its servers.");
  command.add_option("DIR", arguments->directory, "Where to make it; must not exist yet.")
      .type_name("DIR")
      .required();
  command.add_option("--name", options.name, "The cell's name, for people.").show_default();
  command
      .add_option("--listen", options.listen,
                  "Address that the servers listen on; 0.0.0.0 or :: for all.")
      .show_default()
      .type_name("ADDRESS");
  command
      .add_option("--host", options.hosts,
                  "Name or address at which clients reach the servers; may be given again.")
      .type_name("HOST")
      .repeatable();
  command
      .add_option("--port", options.port,
                  "Port of the KDC; the lock server's and file server's follow.")
      .show_default()
      .type_name("PORT");
  command.add_option("--admin", options.administrator, "Name of the first administrator.")
      .show_default()
      .type_name("NAME");
  command.add_flag("--admin-password-stdin", arguments->password_stdin,
                   "Read his password from standard input's first line; else a random one is "
                   "shown.");
  command.add_option("--days", arguments->days, "How long server certificates last.")
      .show_default()
      .type_name("DAYS");
  command.on_chosen([&session, arguments] {
    session.action = [&session, arguments] { return init(*arguments, session.clock.wall_now()); };
  });
  add_join_commands(cell, session);
  add_cert_commands(cell, session);
}

}  // namespace cli
