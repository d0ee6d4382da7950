#pragma once

// The server's side: who is calling on a connection, and the operation by which they prove it.

#include <functional>
#include <memory>
#include <string>

#include "common/crypto/secret.hpp"
#include "common/rpc/call.hpp"
#include "common/rpc/operations.hpp"
#include "common/ticket/verifier.hpp"

namespace common::auth {

// What a ticket proved on one connection. Immutable: a later ticket makes a new session.
class TicketSession final : public rpc::Session {
 public:
  TicketSession(ticket::Accepted accepted, std::shared_ptr<const ticket::Verifier> verifier)
      : identity_(std::move(accepted.identity)),
        connection_key_(std::move(accepted.connection_key)),
        verifier_(std::move(verifier)) {}

  // Expired once the ticket has ended by this machine's clock.
  [[nodiscard]] Status check() const override { return verifier_->check_session(identity_); }

  [[nodiscard]] Duration left() const override { return verifier_->session_left(identity_); }

  [[nodiscard]] const ticket::Identity& identity() const { return identity_; }
  // What further streams of this session are bound to.
  [[nodiscard]] const crypto::Secret& connection_key() const { return connection_key_; }

 private:
  ticket::Identity identity_;
  crypto::Secret connection_key_;
  std::shared_ptr<const ticket::Verifier> verifier_;
};

// The session of the connection that makes this call; nullptr without one. Whether it is still good
// was checked if the operation needs a session. Valid until the handler returns.
const TicketSession* session_of(rpc::Call& call);
// Who makes this call; nullptr without a session.
const ticket::Identity* identity_of(rpc::Call& call);

// Called with each request before it is verified, from the handler's thread.
using BeforeVerifying = std::function<void(ByteView request)>;

// `<service>/auth`: an AP request becomes the session of its connection, or moves its end
// (kdc/PROTOCOL.md). Open to all; asks nobody; blocks only in `before`.
rpc::Operation auth_operation(std::string service, std::shared_ptr<const ticket::Verifier> verifier,
                              BeforeVerifying before = {});

}  // namespace common::auth
