#include "common/auth/authenticate.hpp"

#include "common/rpc/socket.hpp"
#include "common/ticket/messages.hpp"

namespace common::auth {
namespace {

// A session is moved on to a later ticket before it ends, but not more often than this.
constexpr std::chrono::seconds kSoonest{1};

// "fileserver/fs1" answers calls as "fileserver".
std::string_view role_of(std::string_view service) {
  return service.substr(0, service.find('/'));
}

// `refused`: the service answered that it does not take the ticket.
Result<Instant> prove(rpc::Client& client, const ticket::Credential& credential, Instant deadline,
                      const rpc::Cancellation* cancellation, bool& refused) {
  TROTH_TRY(const ticket::Channel channel, client.channel_binding());
  TROTH_TRY(const auto ap, ticket::ApExchange::begin(credential, channel));
  rpc::Request request;
  request.service = role_of(credential.service);
  request.operation = "auth";
  request.bytes = ap.request();
  request.max_reply_bytes = ticket::kMaxMessageBytes;
  request.deadline = deadline;
  request.cancellation = cancellation;
  const auto result = client.call(request);
  if (!result.answer) {
    const ErrorCode code = result.answer.error().code;
    refused = result.outcome == rpc::Outcome::Answered &&
              (code == ErrorCode::Unauthenticated || code == ErrorCode::Expired);
    return tl::unexpected(result.answer.error());
  }
  TROTH_TRY(const auto session, ap.finish(result.answer->bytes));
  const Duration left = session.end - session.service_now;
  return rpc::now() + std::max<Duration>(left / 2, kSoonest);
}

}  // namespace

rpc::Authenticate authenticate_with(std::shared_ptr<CredentialSource> source, std::string service) {
  return [source = std::move(source), service = std::move(service)](
             rpc::Client& client, Instant deadline,
             const rpc::Cancellation* cancellation) -> Result<Instant> {
    for (bool first = true;; first = false) {
      TROTH_TRY(const CredentialPtr credential, source->for_service(service, deadline));
      bool refused = false;
      const auto proven = prove(client, *credential, deadline, cancellation, refused);
      // A refused ticket may be too old: the service's key was destroyed, or its clock is ahead. A
      // service that cannot prove itself is another matter, and ends the connection.
      if (proven || !first || !refused || !client.connected())
        return proven;
      source->forget(credential);
    }
  };
}

rpc::Authenticate authenticate_with(CredentialPtr credential) {
  return [credential = std::move(credential)](
             rpc::Client& client, Instant deadline,
             const rpc::Cancellation* cancellation) -> Result<Instant> {
    bool refused = false;
    return prove(client, *credential, deadline, cancellation, refused);
  };
}

}  // namespace common::auth
