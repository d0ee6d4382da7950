#include "cli/user_session.hpp"

#include "cli/output.hpp"
#include "common/cell/locate.hpp"
#include "common/config/values.hpp"
#include "common/crypto/certificates.hpp"
#include "common/rpc/socket.hpp"

namespace cli {

using common::ErrorCode;
using common::fail;
using common::Result;
namespace auth = common::auth;
namespace ticket = common::ticket;

namespace {

std::string left_text(common::Duration left) {
  return duration_text(
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, left / std::chrono::seconds(1))));
}

}  // namespace

common::Instant UserSession::deadline() const {
  return common::rpc::now() + kKdcPatience;
}

Result<UserSession> open_user_session(const std::string& cell) {
  TROTH_TRY(std::string directory, common::cell::find_cell(cell));
  TROTH_TRY(auto description, common::cell::load_description(directory));
  auth::KdcOptions options;
  options.cell = description.id;
  for (const auto& server : description.servers) {
    if (server.role != "kdc")
      continue;
    TROTH_TRY(const auto endpoint, common::config::parse_endpoint(server.address));
    options.servers.push_back({endpoint.host, endpoint.port});
  }
  if (options.servers.empty())
    return fail(ErrorCode::NotFound, "{}/cell.toml names no KDC", directory);
  TROTH_TRY(
      auto tls, common::tls::ReloadableContext::make([ca = description.ca] {
        return common::tls::make_client(
            {.ca = ca, .certificate = {}, .key = {}, .content = common::tls::Content::Secrets});
      }));
  options.tls = std::move(tls);
  TROTH_TRY(auto cache, auth::CredentialCache::open(description.id));
  return UserSession{std::move(directory), std::move(description),
                     auth::KdcClient(std::move(options)), std::move(cache)};
}

bool is_wrong_key(const common::Error& error) {
  // A clock, a certificate or a service that does not prove itself say so themselves.
  return error.code == ErrorCode::Unauthenticated &&
         (error.message == ticket::refused().value().message ||
          error.message.starts_with("the name or the password"));
}

common::Error explain(const common::Error& error) {
  common::Error told = error;
  switch (error.code) {
    case ErrorCode::Unauthenticated:
      if (is_wrong_key(error))
        told.message = "unknown user or wrong password; check both and try again";
      break;
    case ErrorCode::Overloaded:
    case ErrorCode::ResourceExhausted:
      // The KDC names the wait itself when somebody guesses too often.
      if (error.retry_after.count() > 0 && error.message.find("; wait ") == std::string::npos) {
        const auto seconds = std::chrono::ceil<std::chrono::seconds>(error.retry_after).count();
        told.message += fmt::format("; try again in {} s", seconds);
      }
      break;
    case ErrorCode::Unavailable:
      if (told.message.starts_with("the KDC at"))
        told.message += "; see: troth status";
      break;
    case ErrorCode::DeadlineExceeded:
      told.message = "the KDC did not answer in time (" + error.message + "); see: troth status";
      break;
    default:
      break;
  }
  return told;
}

std::string time_text(ticket::Time time) {
  return common::crypto::format_time(common::WallTime(time));
}

std::vector<std::string> warnings_about(const ticket::Credential& tgt, common::Instant boot_now) {
  std::vector<std::string> warnings;
  const ticket::Time now = tgt.kdc_time(boot_now);
  if (const auto till = tgt.validity.renew_till; till && *till - now <= kRenewalWarning) {
    warnings.push_back(fmt::format(
        "your login can be renewed for {} more only; log in again before that: troth login",
        left_text(*till - now)));
  }
  if (tgt.password_ends_soon && tgt.password_end) {
    warnings.push_back(fmt::format("your password ends in {}; change it with: troth passwd",
                                   left_text(*tgt.password_end - now)));
  }
  return warnings;
}

void print_warnings(const ticket::Credential& tgt) {
  for (const std::string& warning : warnings_about(tgt, common::rpc::now()))
    print_error(warning);
}

}  // namespace cli
