#include "common/fileclient/session/session_caller.hpp"

#include "common/fileclient/session/mount_session.hpp"

namespace common::fileclient {

SessionCaller::SessionCaller(MountSession& session, std::shared_ptr<auth::CredentialSource> tickets)
    : mount_(session), tickets_(std::move(tickets)) {}

rpc::CallResult SessionCaller::call(const SessionKeyPtr& session, const rpc::Request& request,
                                    rpc::Lane lane) {
  return pool_of(session)->call(request, lane);
}

// Calls that are under way over connections of an earlier session keep its pool until they end.
std::shared_ptr<rpc::Pool> SessionCaller::pool_of(const SessionKeyPtr& session) {
  std::shared_ptr<rpc::Pool> before;  // closes its connections after the lock has been given up
  const MutexLock lock(mutex_);
  if (pool_ && joined_ == session)
    return pool_;
  rpc::PoolOptions options;
  options.client = mount_.client_options(tickets_);
  if (session) {
    const auto prove = options.client.authenticate;
    options.client.authenticate = [this, session, prove](
                                      rpc::Client& client, Instant deadline,
                                      const rpc::Cancellation* cancellation) -> Result<Instant> {
      TROTH_TRY(const Instant until, prove(client, deadline, cancellation));
      TROTH_TRY_VOID(join(client, *session, deadline, cancellation));
      return until;
    };
  }
  options.calls = mount_.options_.connections;
  options.bulk = mount_.options_.bulk_connections;
  options.idle_bulk = mount_.options_.bulk_connections;
  before = std::exchange(pool_, std::make_shared<rpc::Pool>(std::move(options)));
  joined_ = session;
  return pool_;
}

Status SessionCaller::join(rpc::Client& client, const SessionKey& session, Instant deadline,
                           const rpc::Cancellation* cancellation) const {
  TROTH_TRY(const auto ticket, tickets_->for_service(mount_.options_.service, deadline));
  TROTH_TRY(const auto binding, client.channel_binding());
  fileproto::SessionJoinArgs args;
  args.session = session.id;
  TROTH_TRY(args.proof, fileproto::session_proof(session.key, fileproto::kJoinLabel, binding,
                                                 ticket->client.name));
  rpc::Request request;
  request.service = "file";
  request.operation = "session-join";
  request.args = fileproto::encode(args);
  request.deadline = deadline;
  request.cancellation = cancellation;
  const auto joined = client.call(request).answer;
  if (joined)
    return {};
  if (joined.error().code != ErrorCode::Stale)
    return tl::unexpected(joined.error());
  // The call that wanted the connection was not sent: it waits for the next session.
  mount_.lost(session.id);
  return fail(ErrorCode::Unavailable, "the session with {} is over, another is being opened",
              mount_.name());
}

}  // namespace common::fileclient
