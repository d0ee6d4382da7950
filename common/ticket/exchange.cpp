#include "common/ticket/exchange.hpp"

#include "common/crypto/random.hpp"
#include "common/ticket/refuse.hpp"

namespace common::ticket {
namespace {

Result<Nonce> new_nonce() {
  Nonce nonce;
  TROTH_TRY_VOID(crypto::random_bytes(nonce));
  return nonce;
}

// Who a grant must be for.
struct Expected {
  std::string_view cell;
  std::string_view client;
  std::string_view service;
};

// The ticket and the grant in a reply, if they are what was asked for and fit each other.
Result<Credential> take_reply(const KdcReply& reply, const crypto::Secret& reply_key,
                              ByteView request, const Expected& expected, Instant received) {
  auto grant = open_grant(reply_key, request, reply.ticket, reply.sealed);
  if (!grant)
    return tl::unexpected<Error>(std::move(grant).error());
  const auto ticket = decode_ticket(reply.ticket);
  if (!ticket || ticket->cell != expected.cell || ticket->service != expected.service ||
      grant->service != expected.service || grant->client.name != expected.client ||
      grant->kvno != ticket->kvno) {
    return refused();
  }
  return Credential{.cell = std::string(expected.cell),
                    .client = std::move(grant->client),
                    .service = std::move(grant->service),
                    .kvno = grant->kvno,
                    .validity = grant->validity,
                    .password_end = grant->password_end,
                    .raise_parameters = grant->raise_parameters,
                    .password_ends_soon = grant->password_ends_soon,
                    .ticket = Bytes(reply.ticket.begin(), reply.ticket.end()),
                    .session_key = std::move(grant->session_key),
                    .kdc_now = grant->kdc_now,
                    .kdc_now_at = received};
}

}  // namespace

Result<Bytes> begin_as(const AsWanted& wanted, const crypto::Secret& client_key,
                       const Channel& channel) {
  TROTH_TRY(const Nonce nonce, new_nonce());
  TROTH_TRY(Bytes request, encode_as_request({.cell = wanted.cell,
                                              .client = wanted.client,
                                              .service = wanted.service,
                                              .client_kvno = wanted.client_kvno,
                                              .life = wanted.life,
                                              .renew = wanted.renew,
                                              .nonce = nonce}));
  TROTH_TRY(const crypto::Secret key,
            derive(client_key, Purpose::AsRequest, wanted.cell, wanted.client));
  TROTH_TRY_VOID(put_mac(key, {channel, before_proof(request)}, request));
  return request;
}

Result<Credential> finish_as(const AsWanted& wanted, const crypto::Secret& client_key,
                             ByteView request, ByteView reply, Instant received) {
  const auto parts = decode_as_reply(reply);
  if (!parts)
    return refused();
  TROTH_TRY(const crypto::Secret key,
            derive(client_key, Purpose::AsReply, wanted.cell, wanted.client));
  return take_reply(*parts, key, request, {wanted.cell, wanted.client, wanted.service}, received);
}

Result<Bytes> begin_tgs(const TgsWanted& wanted, const Credential& tgt, const Channel& channel) {
  TROTH_TRY(const Nonce nonce, new_nonce());
  TROTH_TRY(Bytes request, encode_tgs_request({.ticket = tgt.ticket,
                                               .service = wanted.service,
                                               .life = wanted.life,
                                               .renew = wanted.renew,
                                               .nonce = nonce}));
  TROTH_TRY(const crypto::Secret key,
            derive(tgt.session_key, Purpose::TgsRequest, tgt.cell, kTgsService));
  TROTH_TRY_VOID(put_mac(key, {channel, before_proof(request)}, request));
  return request;
}

Result<Credential> finish_tgs(const TgsWanted& wanted, const Credential& tgt, ByteView request,
                              ByteView reply, Instant received) {
  const auto parts = decode_tgs_reply(reply);
  if (!parts)
    return refused();
  TROTH_TRY(const crypto::Secret key,
            derive(tgt.session_key, Purpose::TgsReply, tgt.cell, kTgsService));
  return take_reply(*parts, key, request, {tgt.cell, tgt.client.name, wanted.service}, received);
}

Status check_as_proof(const crypto::Secret& client_key, const AsRequest& request, ByteView bytes,
                      const Channel& channel) {
  TROTH_TRY(const crypto::Secret key,
            derive(client_key, Purpose::AsRequest, request.cell, request.client));
  return check_mac(key, {channel, before_proof(bytes)}, request.proof);
}

Result<Bytes> make_as_reply(const crypto::Secret& client_key, ByteView request, ByteView ticket,
                            std::string_view cell, const Grant& grant) {
  TROTH_TRY(const crypto::Secret key,
            derive(client_key, Purpose::AsReply, cell, grant.client.name));
  TROTH_TRY(const Bytes sealed, seal_grant(key, request, ticket, grant));
  return encode_as_reply({ticket, sealed});
}

Result<AcceptedTgs> accept_tgs(const TicketOpener& tgs, ByteView bytes, const Channel& channel,
                               Time now) {
  const auto request = decode_tgs_request(bytes);
  if (!request)
    return refused();
  TROTH_TRY(TicketBody tgt, tgs.open(request->ticket, now));
  TROTH_TRY(const crypto::Secret key,
            derive(tgt.session_key, Purpose::TgsRequest, tgs.cell(), tgs.service()));
  TROTH_TRY_VOID(check_mac(key, {channel, before_proof(bytes)}, request->proof));
  TROTH_TRY_VOID(check_times(tgt.validity, now));
  return AcceptedTgs{std::move(tgt), *request};
}

Result<Bytes> make_tgs_reply(const TicketBody& tgt, ByteView request, ByteView ticket,
                             std::string_view cell, const Grant& grant) {
  TROTH_TRY(const crypto::Secret key,
            derive(tgt.session_key, Purpose::TgsReply, cell, kTgsService));
  TROTH_TRY(const Bytes sealed, seal_grant(key, request, ticket, grant));
  return encode_tgs_reply({ticket, sealed});
}

}  // namespace common::ticket
