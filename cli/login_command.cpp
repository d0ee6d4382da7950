// troth login, troth logout

#include <pwd.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/admin.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/prompt.hpp"
#include "common/config/values.hpp"
#include "common/rpc/socket.hpp"

namespace cli {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::crypto::Secret;
using common::ticket::Credential;
namespace auth = common::auth;
namespace ticket = common::ticket;

struct LoginArguments {
  std::string cell;
  std::string user;
  std::string keytab;
  std::string lifetime;
  std::string renewable;
  bool password_stdin = false;
};

Result<std::string> local_user() {
  const passwd* entry = ::getpwuid(::getuid());  // NOLINT(concurrency-mt-unsafe): one thread
  if (entry == nullptr)
    return fail(ErrorCode::NotFound, "uid {} has no name here; say who you are: troth login USER",
                ::getuid());
  return std::string(entry->pw_name);
}

Result<ticket::Milliseconds> duration_of(const char* option, const std::string& text) {
  auto duration = common::config::parse_duration(text);
  if (!duration) {
    return fail(ErrorCode::InvalidArgument, "{} is \"{}\"; {}", option, text,
                duration.error().message);
  }
  return *duration;
}

Result<ticket::AsWanted> wanted_from(const LoginArguments& arguments) {
  ticket::AsWanted wanted;
  wanted.renew = auth::kDefaultRenewable;
  if (!arguments.lifetime.empty()) {
    TROTH_TRY(wanted.life, duration_of("--lifetime", arguments.lifetime));
  }
  if (!arguments.renewable.empty()) {
    TROTH_TRY(wanted.renew, duration_of("--renewable", arguments.renewable));
  }
  return wanted;
}

// The policy asks for a dearer key than the password has: makes it so, with the password at hand.
// Failing costs nothing, since the next login tries again.
void raise_parameters(const LoginArguments& arguments, const Secret& password) {
  auto admin = Admin::open({.cell = arguments.cell, .as = arguments.user});
  if (!admin || !admin->prove(password))
    return;
  static_cast<void>(admin->call("passwd", {{"rekey", true}}, Needs::Fresh, password.bytes()));
}

Result<Credential> log_in(const UserSession& session, LoginArguments& arguments) {
  TROTH_TRY(ticket::AsWanted wanted, wanted_from(arguments));
  if (!arguments.keytab.empty()) {
    TROTH_TRY(const auto keytab, ticket::load_keytab(arguments.keytab));
    // Who has a keytab needs no renewal.
    wanted.renew = {};
    auto tgt = session.kdc.login(std::move(wanted), keytab, session.deadline());
    if (!tgt && is_wrong_key(tgt.error())) {
      return fail(
          ErrorCode::Unauthenticated,
          "the KDC does not know {} by a key in {}: it has a newer key, or is gone; write a "
          "new keytab with: troth service keytab {}",
          keytab.principal(), arguments.keytab, keytab.principal());
    }
    return tgt;
  }
  if (arguments.user.empty()) {
    TROTH_TRY(arguments.user, local_user());
  }
  TROTH_TRY_VOID(ticket::check_user_name(arguments.user));
  TROTH_TRY(const Secret password,
            arguments.password_stdin
                ? read_password_line()
                : ask_password(fmt::format("Password of {} in cell {}: ", arguments.user,
                                           session.description.name)));
  wanted.client = arguments.user;
  TROTH_TRY(Credential tgt, session.kdc.login(std::move(wanted), password, session.deadline()));
  if (tgt.raise_parameters)
    raise_parameters(arguments, password);
  return tgt;
}

Status login(LoginArguments arguments) {
  TROTH_TRY(const UserSession session, open_user_session(arguments.cell));
  TROTH_TRY(const Credential tgt, log_in(session, arguments));
  std::vector<Credential> credentials;
  credentials.push_back(tgt.clone());
  TROTH_TRY_VOID(session.cache->replace(credentials, session.deadline()));
  std::string text = fmt::format("Logged in to cell {} as {} until {}", session.description.name,
                                 tgt.client.name, time_text(tgt.validity.end));
  if (tgt.validity.renew_till)
    text += fmt::format("; renewed while it is used, at most until {}",
                        time_text(*tgt.validity.renew_till));
  print(text + "\n");
  print_warnings(tgt);
  return {};
}

Status logout(const std::string& cell) {
  TROTH_TRY(const UserSession session, open_user_session(cell));
  const auto before = session.cache->load();
  TROTH_TRY_VOID(session.cache->wipe(session.deadline()));
  print(!before && before.error().code == ErrorCode::NotFound ? "You were not logged in.\n"
                                                              : "Logged out.\n");
  return {};
}

}  // namespace

void add_login_commands(Command app, Session& session) {
  auto arguments = std::make_shared<LoginArguments>();
  auto in = app.add_command("login", "Log in: prove who you are, for a day's work.");
  in.add_option("user", arguments->user, "Who you are; else your name on this machine.")
      .type_name("USER");
  in.add_option("--keytab", arguments->keytab,
                "Log in a service or host with the key in this file.")
      .type_name("FILE");
  in.add_flag("--password-stdin", arguments->password_stdin,
              "Read the password from standard input's first line.");
  in.add_option("--lifetime", arguments->lifetime,
                "How long without renewal, such as 8h; else as long as you may.")
      .type_name("DURATION");
  in.add_option("--renewable", arguments->renewable,
                "How long it may be renewed, such as 2d; 7d unless given; 0s: not at all.")
      .type_name("DURATION");
  in.add_option("--cell", arguments->cell, "The cell's directory.").type_name("DIR");
  in.on_chosen([&session, arguments] {
    session.action = [arguments] { return exit_code(login(*arguments)); };
  });

  auto out = app.add_command("logout", "Destroy your credentials on this machine.");
  out.add_option("--cell", arguments->cell, "The cell's directory.").type_name("DIR");
  out.on_chosen([&session, arguments] {
    session.action = [arguments] { return exit_code(logout(arguments->cell)); };
  });
}

}  // namespace cli
