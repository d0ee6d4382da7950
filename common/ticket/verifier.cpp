#include "common/ticket/verifier.hpp"

#include <algorithm>

#include "common/ticket/keys.hpp"
#include "common/ticket/refuse.hpp"

namespace common::ticket {
namespace {

// Our own proof, over the channel and the very request.
Result<Bytes> make_reply(const Keys& keys, ByteView request, const Channel& channel,
                         const Nonce& nonce, Time now, Time end) {
  TROTH_TRY(Bytes reply, encode_ap_reply({.nonce = nonce, .now = now, .end = end}));
  TROTH_TRY(const crypto::Secret key, keys.key(Purpose::ApReply));
  TROTH_TRY(const crypto::Digest of_request, crypto::sha256(request));
  TROTH_TRY_VOID(put_mac(key, {channel, of_request, before_proof(reply)}, reply));
  return reply;
}

}  // namespace

Identity identity_of(TicketBody body) {
  return {.client = std::move(body.client),
          .client_kvno = body.client_kvno,
          .ticket = body.id,
          .validity = body.validity,
          .directory = body.directory,
          .groups = std::move(body.groups)};
}

bool Identity::in_group(PrincipalId group) const {
  return std::binary_search(groups.begin(), groups.end(), group);
}

Result<Accepted> Verifier::accept(ByteView bytes, const Channel& channel) const {
  const auto request = decode_ap_request(bytes);
  if (!request)
    return refused();
  const Time now = to_time(clock_.wall_now());
  TROTH_TRY(TicketBody body, opener_.open(request->ticket, now));
  TROTH_TRY(const Keys keys, Keys::of(body.session_key, opener_.cell(), opener_.service()));
  TROTH_TRY(const crypto::Secret request_key, keys.key(Purpose::ApRequest));
  TROTH_TRY_VOID(check_mac(request_key, {channel, before_proof(bytes)}, request->proof));
  // From here on we know who it is, and may say more.
  TROTH_TRY_VOID(check_times(body.validity, now));
  TROTH_TRY(Bytes reply, make_reply(keys, bytes, channel, request->nonce, now, body.validity.end));
  TROTH_TRY(crypto::Secret connection_key, keys.key(Purpose::Connection, channel));
  return Accepted{identity_of(std::move(body)), std::move(reply), std::move(connection_key)};
}

Result<Accepted> Verifier::accept_again(ByteView bytes, const Channel& channel,
                                        const Identity& current) const {
  TROTH_TRY(Accepted accepted, accept(bytes, channel));
  const Identity& found = accepted.identity;
  if (found.client != current.client)
    return fail(ErrorCode::PermissionDenied, "this connection speaks for somebody else");
  if (found.validity.end < current.validity.end)
    return fail(ErrorCode::Stale, "this connection has a later ticket already");
  return accepted;
}

Status Verifier::check_session(const Identity& identity) const {
  if (to_time(clock_.wall_now()) >= identity.validity.end)
    return fail(ErrorCode::Expired, "the session's ticket has expired; log in again");
  return {};
}

Duration Verifier::session_left(const Identity& identity) const {
  const Milliseconds left = identity.validity.end - to_time(clock_.wall_now());
  // Nanoseconds do not reach as far as tickets may.
  return std::clamp<Milliseconds>(left, Milliseconds::zero(), std::chrono::hours(24));
}

}  // namespace common::ticket
