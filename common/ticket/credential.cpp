#include "common/ticket/credential.hpp"

#include "common/crypto/random.hpp"
#include "common/ticket/refuse.hpp"

namespace common::ticket {

Time Credential::kdc_time(Instant now) const {
  return kdc_now + std::chrono::floor<Milliseconds>(now - kdc_now_at);
}

bool Credential::should_be_renewed(Instant now) const {
  return kdc_time(now) - validity.start >= (validity.end - validity.start) / 2;
}

Credential Credential::clone() const {
  return {.cell = cell,
          .client = client,
          .service = service,
          .kvno = kvno,
          .validity = validity,
          .password_end = password_end,
          .raise_parameters = raise_parameters,
          .password_ends_soon = password_ends_soon,
          .ticket = ticket,
          .session_key = session_key.clone(),
          .kdc_now = kdc_now,
          .kdc_now_at = kdc_now_at};
}

Result<ApExchange> ApExchange::begin(const Credential& credential, const Channel& channel) {
  Nonce nonce;
  TROTH_TRY_VOID(crypto::random_bytes(nonce));
  TROTH_TRY(Bytes request, encode_ap_request({.ticket = credential.ticket, .nonce = nonce}));
  TROTH_TRY(Keys keys, Keys::of(credential.session_key, credential.cell, credential.service));
  TROTH_TRY(const crypto::Secret key, keys.key(Purpose::ApRequest));
  TROTH_TRY_VOID(put_mac(key, {channel, before_proof(request)}, request));
  return ApExchange(std::move(keys), channel, std::move(request), nonce, credential.validity.end);
}

Result<ApExchange::Session> ApExchange::finish(ByteView bytes) const {
  const auto unproven = [] {
    return fail(ErrorCode::Unauthenticated,
                "the server could not prove that it is the service it should be; nothing was sent "
                "to it");
  };
  const auto reply = decode_ap_reply(bytes);
  if (!reply)
    return unproven();
  TROTH_TRY(const crypto::Secret key, keys_.key(Purpose::ApReply));
  TROTH_TRY(const crypto::Digest of_request, crypto::sha256(request_));
  TROTH_TRY(const crypto::Digest expected,
            crypto::hmac_sha256(key.bytes(), {channel_, of_request, before_proof(bytes)}));
  if (!crypto::constant_time_equal(expected, reply->proof))
    return unproven();
  // A service that has the key and says something else is broken, or lies about the session's end.
  if (reply->nonce != nonce_ || reply->end != end_)
    return unproven();
  TROTH_TRY(crypto::Secret connection_key, keys_.key(Purpose::Connection, channel_));
  return Session{std::move(connection_key), reply->now, reply->end};
}

Result<Bytes> make_travelling_proof(const Credential& credential, const crypto::Digest& head,
                                    const crypto::Digest& content, Time made) {
  Nonce nonce;
  TROTH_TRY_VOID(crypto::random_bytes(nonce));
  TROTH_TRY(Bytes proof,
            encode_travelling_proof(
                {.ticket = credential.ticket, .made = made, .nonce = nonce, .content = content}));
  TROTH_TRY(const crypto::Secret key,
            derive(credential.session_key, Purpose::Proof, credential.cell, credential.service));
  TROTH_TRY_VOID(put_mac(key, {before_proof(proof), head}, proof));
  return proof;
}

}  // namespace common::ticket
