// What servers do with tickets: who has none gets nothing; sessions end; keys change.

#include <signal.h>

#include <nlohmann/json.hpp>

#include "common/ticket/keytab.hpp"
#include "fixture.hpp"

using namespace identity_test;
using namespace std::chrono_literals;
using common::ErrorCode;
using common::auth::CredentialPtr;
using common::auth::CredentialSource;
using common::crypto::Secret;
using common::ticket::Credential;

namespace {

Secret administrator_password() {
  return Secret::copy_of(common::as_bytes(kAdministratorPassword));
}

Credential log_in_here(const Inside& inside, common::ticket::Milliseconds life = {},
                       std::string_view service = common::ticket::kTgsService) {
  auto tgt = inside.kdc().login(
      {.client = std::string(kAdministrator), .service = std::string(service), .life = life},
      administrator_password(), soon());
  REQUIRE_OK(tgt);
  return *std::move(tgt);
}

// Tickets from a TGT in memory.
std::shared_ptr<CredentialSource> source_of(const Inside& inside) {
  auto options = common::auth::from_kdc(inside.kdc());
  options.login = [&inside](common::Instant) -> common::Result<Credential> {
    return log_in_here(inside);
  };
  return std::make_shared<CredentialSource>(std::move(options));
}

}  // namespace

TEST_CASE("G10: every server refuses whoever has no ticket, whatever he asks for") {
  const auto cell = running_cell({"kdc", "lockserver", "fileserver"});
  const Inside inside(*cell);
  const auto source = source_of(inside);
  for (const std::string role : {"kdc", "lockserver", "fileserver"}) {
    CAPTURE(role);
    for (const char* operation : {"made-up", "user-list", "fetch"}) {
      CHECK_FAILS(inside.client(role)->call(request(role, operation)).answer,
                  ErrorCode::Unauthenticated);
    }
    CHECK_OK(inside.client(role)->call(request(role, "status")).answer);
    CHECK_FAILS(inside.client(role)->call(request(role, "auth")).answer,
                ErrorCode::Unauthenticated);
    const std::string service = role == "kdc" ? "kdc/admin" : role + "/" + role + "1";
    auto client = inside.client(role, common::auth::authenticate_with(source, service));
    REQUIRE_OK(client->connect(soon()));
    // Now he learns that there is no such thing.
    CHECK_FAILS(client->call(request(role, "made-up")).answer, ErrorCode::Unsupported);
  }
}

TEST_CASE("F42: a ticket for one service is worth nothing at another") {
  const auto cell = running_cell({"kdc", "lockserver", "fileserver"});
  const Inside inside(*cell);
  const Credential tgt = log_in_here(inside);
  const auto ticket = inside.kdc().ticket({.service = "fileserver/fileserver1"}, tgt, soon());
  REQUIRE_OK(ticket);
  const auto present = [&](const Credential& credential, std::string_view role) {
    Credential shown = credential.clone();
    shown.service = std::string(role) + shown.service.substr(shown.service.find('/'));
    auto client = inside.client(role, common::auth::authenticate_with(
                                          std::make_shared<const Credential>(std::move(shown))));
    return client->connect(soon());
  };
  CHECK_OK(present(*ticket, "fileserver"));
  CHECK_FAILS(present(*ticket, "lockserver"), ErrorCode::Unauthenticated);
  CHECK_FAILS(present(*ticket, "kdc"), ErrorCode::Unauthenticated);
  CHECK_FAILS(present(tgt, "fileserver"), ErrorCode::Unauthenticated);
  CHECK_FAILS(present(tgt, "kdc"), ErrorCode::Unauthenticated);
}

TEST_CASE("a ticket that ends during a session is answered expired, and renewing goes on") {
  const auto cell = running_cell();
  const Inside inside(*cell);
  const auto short_one =
      std::make_shared<const Credential>(log_in_here(inside, 2s, common::ticket::kAdminService));
  CredentialPtr now_used = short_one;
  auto client = inside.client(
      "kdc",
      [&](common::rpc::Client& connection, common::Instant deadline,
          const common::rpc::Cancellation* cancellation) -> common::Result<common::Instant> {
        TROTH_TRY([[maybe_unused]] const auto again,
                  common::auth::authenticate_with(now_used)(connection, deadline, cancellation));
        return common::rpc::now() + 1h;  // so that the server is the one that ends it
      });
  REQUIRE_OK(client->call(request("kdc", "whoami")).answer);
  auto result = client->call(request("kdc", "whoami"));
  for (const auto deadline = soon(); result.answer && common::rpc::now() < deadline;)
    result = client->call(request("kdc", "whoami"));
  CHECK_FAILS(result.answer, ErrorCode::Expired);
  CHECK(result.outcome == common::rpc::Outcome::Answered);
  REQUIRE(client->connected());
  const auto channel = client->channel_binding();
  now_used =
      std::make_shared<const Credential>(log_in_here(inside, {}, common::ticket::kAdminService));
  CHECK_OK(client->call(request("kdc", "whoami")).answer);
  CHECK(client->channel_binding().value() == channel.value());
}

TEST_CASE("a service's key is changed while it serves, and old tickets stay good") {
  const auto cell = running_cell({"kdc", "lockserver"});
  const Inside inside(*cell);
  const std::string service = "lockserver/lockserver1";
  const std::string keytab = cell->role_directory("lockserver") / "keytab";
  const auto present = [&](const Credential& credential) {
    auto client = inside.client(
        "lockserver",
        common::auth::authenticate_with(std::make_shared<const Credential>(credential.clone())));
    return client->connect(soon());
  };
  const Credential tgt = log_in_here(inside);
  const auto old_ticket = inside.kdc().ticket({.service = service}, tgt, soon());
  REQUIRE_OK(old_ticket);
  REQUIRE_OK(present(*old_ticket));

  log_in_administrator(*cell);
  const TrothOptions with_password{.input = line(kAdministratorPassword)};
  succeed(*cell, {"service", "rotate", service, "--out", keytab, "--password-stdin"},
          with_password);
  const auto new_ticket = inside.kdc().ticket({.service = service}, tgt, soon());
  REQUIRE_OK(new_ticket);
  CHECK(new_ticket->kvno == old_ticket->kvno + 1);
  CHECK_OK(present(*new_ticket));  // the server has looked at its keytab by itself
  CHECK_OK(present(*old_ticket));

  succeed(*cell, {"service", "rotate", service, "--out", keytab, "--now", "--password-stdin"},
          with_password);
  CHECK(common::ticket::load_keytab(keytab).value().entries().size() == 1);
  REQUIRE_OK(cell->process("lockserver").signal(SIGHUP));
  REQUIRE_OK(cell->process("lockserver").wait_for_line("reloaded"));
  CHECK_FAILS(present(*old_ticket), ErrorCode::Unauthenticated);
  CHECK_FAILS(present(*new_ticket), ErrorCode::Unauthenticated);
  // Whoever has tickets from a source gets a new one by himself.
  CHECK_OK(present(inside.kdc().ticket({.service = service}, tgt, soon()).value()));
}

TEST_CASE("a server without its keytab says so and does not start") {
  const auto cell = running_cell({});
  const auto keytab = cell->role_directory("fileserver") / "keytab";
  const auto program = test_support::find_program("troth-fileserver");
  REQUIRE_OK(program);
  const auto refused = [&](std::string_view part) {
    const auto result =
        test_support::run_command(*program, {"--config", cell->config("fileserver").string()},
                                  cell->options_for("fileserver"));
    REQUIRE_OK(result);
    CAPTURE(result->error_output);
    CHECK(result->status.code == 2);
    CHECK(result->error_output.find(part) != std::string::npos);
    CHECK(result->error_output.find('\n') + 1 == result->error_output.size());
  };
  std::filesystem::permissions(keytab, std::filesystem::perms(0644));
  refused("chmod 600");
  std::filesystem::copy_file(cell->role_directory("lockserver") / "keytab", keytab,
                             std::filesystem::copy_options::overwrite_existing);
  std::filesystem::permissions(keytab, std::filesystem::perms(0600));
  refused("lockserver/lockserver1");
  std::filesystem::remove(keytab);
  refused("troth service keytab fileserver/fileserver1");
}
