#pragma once

// Calls of administration (kdc/PROTOCOL.md): with the ticket at hand where that will do, with a
// password typed for this very command where it must. The ticket that is fresh by a password stays
// in this process and ends with it: whoever steals a credential file must not find it there.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "cli/command_line.hpp"
#include "cli/user_session.hpp"
#include "common/bytes.hpp"
#include "common/result.hpp"
#include "common/rpc/client.hpp"

namespace cli {

// What every command of administration takes.
struct AdminArguments {
  std::string cell;
  std::string as;      // who calls; empty: whoever is logged in
  std::string keytab;  // proves him by this file instead of a password
  bool password_stdin = false;
  bool json = false;
};
// Adds --cell, --as, --keytab and --password-stdin; with `reads` also --json.
void add_admin_options(Command command, AdminArguments& arguments, bool reads);

enum class Needs : std::uint8_t {
  Ticket,  // any ticket of the caller
  Fresh,   // a key proven within the last five minutes
};

struct AdminAnswer {
  std::shared_ptr<const nlohmann::json> json;
  common::Bytes bytes;  // a keytab: the caller wipes it

  [[nodiscard]] const nlohmann::json& result() const { return *json; }
};

// One person's calls to the KDC, over one connection. Main thread.
class Admin {
 public:
  // Reads the first line of standard input now if it is to be a password. Asks nobody.
  static common::Result<Admin> open(const AdminArguments& arguments);

  // One call. Asks for the caller's password if that is needed and was not typed for this command
  // yet; also when the KDC answers that it is needed here. What changes something carries an
  // operation id and is repeated under it while its outcome is unknown.
  common::Result<AdminAnswer> call(std::string_view operation, const nlohmann::json& args,
                                   Needs needs, common::ByteView bytes = {});

  // A call that needs a fresh proof and whose bytes, however many, go to `sink`. Tried once: what
  // the sink has taken cannot be taken back.
  common::Status fetch(std::string_view operation, const common::rpc::BytesSink& sink);

  // Proves the caller's key with this password, for the calls that follow; for who has typed it for
  // another purpose as well.
  common::Status prove(const common::crypto::Secret& password);

  // Who calls. NotFound if nobody is logged in and none was named.
  [[nodiscard]] common::Result<std::string> caller() const;
  [[nodiscard]] UserSession& session() { return *session_; }

 private:
  Admin(AdminArguments arguments, std::unique_ptr<UserSession> session)
      : arguments_(std::move(arguments)), session_(std::move(session)) {}

  common::Status use(common::ticket::Credential credential);
  common::Status ensure(Needs needs);
  common::Status become_fresh();
  common::Result<common::ticket::Credential> ordinary_ticket();
  common::rpc::CallResult attempt(const common::rpc::Request& request);

  AdminArguments arguments_;
  std::unique_ptr<UserSession> session_;
  std::optional<common::crypto::Secret> password_;  // from standard input
  common::auth::CredentialPtr credential_;          // what client_ proves itself with
  std::unique_ptr<common::rpc::Client> client_;
};

// Prints the error as a person should see it; the exit code.
int admin_failure(const common::Error& error);
int exit_code(const common::Status& status);
// A reply as one JSON line of ASCII.
void print_json(const nlohmann::json& value);
// "-" for null.
std::string time_field(const nlohmann::json& object, std::string_view field);

}  // namespace cli
