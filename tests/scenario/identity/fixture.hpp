#pragma once

// A cell of real servers with real users, for tests of who is who.

#include <memory>
#include <string>
#include <vector>

#include "common/auth/authenticate.hpp"
#include "common/auth/kdc_client.hpp"
#include "common/cell/description.hpp"
#include "common/config/values.hpp"
#include "common/rpc/socket.hpp"
#include "tests/support/live_cell.hpp"
#include "tests/support/test.hpp"

namespace identity_test {

using test_support::CommandResult;
using test_support::kAdministrator;
using test_support::kAdministratorPassword;
using test_support::LiveCell;
using test_support::TrothOptions;
using Words = std::vector<std::string>;

inline std::unique_ptr<LiveCell> running_cell(const Words& roles = {"kdc"}) {
  auto cell = LiveCell::create();
  REQUIRE_OK(cell);
  for (const std::string& role : roles)
    REQUIRE_OK((*cell)->start(role));
  return std::move(*cell);
}

inline CommandResult troth(const LiveCell& cell, const Words& words,
                           const TrothOptions& options = {}) {
  auto result = cell.troth(words, options);
  REQUIRE_OK(result);
  return *std::move(result);
}

// A line of standard input.
inline std::string line(std::string_view text) {
  return std::string(text) + "\n";
}

// What it printed, if it ended well.
inline std::string succeed(const LiveCell& cell, const Words& words,
                           const TrothOptions& options = {}) {
  const CommandResult result = troth(cell, words, options);
  CAPTURE(words);
  CAPTURE(result.output);
  CAPTURE(result.error_output);
  CHECK(result.status.code == 0);
  return result.output;
}

// One line on standard error with that text in it, and exit code 1.
inline std::string refuse(const LiveCell& cell, const Words& words, std::string_view part,
                          const TrothOptions& options = {}, int code = 1) {
  const CommandResult result = troth(cell, words, options);
  CAPTURE(words);
  CAPTURE(result.output);
  CAPTURE(result.error_output);
  CHECK(result.status.code == code);
  CHECK(result.error_output.starts_with("troth: "));
  CHECK(result.error_output.find('\n') + 1 == result.error_output.size());
  CHECK(result.error_output.find(part) != std::string::npos);
  return result.error_output;
}

inline void log_in(const LiveCell& cell, std::string_view user, std::string_view password,
                   const std::string& as = "me") {
  succeed(cell, {"login", std::string(user), "--password-stdin"},
          {.input = line(password), .as = as});
}

inline void log_in_administrator(const LiveCell& cell) {
  log_in(cell, kAdministrator, kAdministratorPassword);
}

// Adds a user, as the administrator who is logged in.
inline void add_user(const LiveCell& cell, const std::string& name, std::string_view password) {
  succeed(cell, {"user", "add", name, "--password-stdin", "--new-password-stdin"},
          {.input = line(kAdministratorPassword) + line(password)});
}

// The same cell, seen by this process.
class Inside {
 public:
  explicit Inside(const LiveCell& cell) : cell_(cell) {
    auto description = common::cell::load_description(cell.directory());
    REQUIRE_OK(description);
    description_ = *std::move(description);
    auto tls = common::tls::ReloadableContext::make([ca = description_.ca] {
      return common::tls::make_client({.ca = ca, .certificate = {}, .key = {}});
    });
    REQUIRE_OK(tls);
    tls_ = *std::move(tls);
  }

  [[nodiscard]] common::auth::KdcClient kdc() const {
    const auto endpoint = common::config::parse_endpoint(cell_.listen("kdc"));
    return common::auth::KdcClient(
        {.cell = description_.id, .servers = {{endpoint->host, endpoint->port}}, .tls = tls_});
  }
  [[nodiscard]] std::unique_ptr<common::rpc::Client> client(
      std::string_view role, common::rpc::Authenticate authenticate = {}) const {
    const auto endpoint = common::config::parse_endpoint(cell_.listen(role));
    common::rpc::ClientOptions options;
    options.host = endpoint->host;
    options.port = endpoint->port;
    options.cell_id = description_.id;
    options.role = role;
    options.tls = tls_;
    options.authenticate = std::move(authenticate);
    return std::make_unique<common::rpc::Client>(std::move(options));
  }
  [[nodiscard]] const common::cell::Description& description() const { return description_; }

 private:
  const LiveCell& cell_;
  common::cell::Description description_;
  std::shared_ptr<common::tls::ReloadableContext> tls_;
};

inline common::Instant soon() {
  return common::rpc::now() + test_support::kPatience;
}

inline common::rpc::Request request(std::string_view service, std::string_view operation,
                                    std::string args = {}) {
  common::rpc::Request made;
  made.service = service;
  made.operation = operation;
  made.args = std::move(args);
  made.deadline = soon();
  return made;
}

}  // namespace identity_test
