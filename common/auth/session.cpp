#include "common/auth/session.hpp"

#include "common/ticket/messages.hpp"

namespace common::auth {
namespace {

// The JSON head before the raw bytes, with room for what a later version may add.
constexpr std::uint64_t kMostHead = 4096;

Result<rpc::Reply> authenticate(rpc::Call& call,
                                const std::shared_ptr<const ticket::Verifier>& verifier) {
  TROTH_TRY(const ticket::Channel channel, call.peer().channel_binding());
  const TicketSession* current = session_of(call);
  TROTH_TRY(ticket::Accepted accepted,
            current == nullptr ? verifier->accept(call.body(), channel)
                               : verifier->accept_again(call.body(), channel, current->identity()));
  rpc::Reply reply;
  reply.bytes = std::move(accepted.reply);
  call.peer().set_session(std::make_shared<TicketSession>(std::move(accepted), verifier));
  return reply;
}

}  // namespace

const TicketSession* session_of(rpc::Call& call) {
  return dynamic_cast<const TicketSession*>(call.peer().session().get());
}

const ticket::Identity* identity_of(rpc::Call& call) {
  const TicketSession* session = session_of(call);
  return session == nullptr ? nullptr : &session->identity();
}

rpc::Operation auth_operation(std::string service, std::shared_ptr<const ticket::Verifier> verifier,
                              BeforeVerifying before) {
  rpc::Operation operation;
  operation.service = std::move(service);
  operation.name = "auth";
  operation.body_cap = ticket::kMaxMessageBytes + kMostHead;
  operation.open_to_all = true;
  operation.handler = [verifier = std::move(verifier),
                       before = std::move(before)](rpc::Call& call) -> Result<rpc::Reply> {
    if (before)
      before(call.body());
    return authenticate(call, verifier);
  };
  return operation;
}

}  // namespace common::auth
