#include "kdc/exchange.hpp"

#include <fmt/format.h>

#include "kdc/names.hpp"
#include "kdc/ticket_maker.hpp"
#include "kdc/ticket_policy.hpp"

namespace kdc {
namespace {

using common::Bytes;
using common::ByteView;
using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::crypto::ScryptParameters;
namespace ticket = common::ticket;

// From when on a grant tells that the password ends.
constexpr Millis kPasswordEndsSoon = std::chrono::days(14);

bool is_weaker(const ScryptParameters& has, const ScryptParameters& wanted) {
  return has.memory_bytes() * has.p() < wanted.memory_bytes() * wanted.p();
}

constexpr std::string_view kTooManyTickets = "too many tickets for this client";

std::string_view outcome_of(const Status& status) {
  return status ? kAuditOk : common::to_string(status.error().code);
}

Status said(const Result<Bytes>& reply) {
  return reply ? Status{} : Status(tl::unexpected(reply.error()));
}

// What this KDC itself failed at says nothing about the client.
bool is_verdict(ErrorCode code) {
  switch (code) {
    case ErrorCode::Unauthenticated:
    case ErrorCode::PermissionDenied:
    case ErrorCode::Expired:
    case ErrorCode::InvalidArgument:
    case ErrorCode::NotFound:
    case ErrorCode::Overloaded:
      return true;
    default:
      return false;
  }
}

}  // namespace

tl::unexpected<common::Error> wrong_name_or_key() {
  return fail(ErrorCode::Unauthenticated, "the name or the password is wrong (or the keytab)");
}

Result<Keys::Preauth> Exchanges::preauth(const std::string& client) {
  TROTH_TRY_VOID(ticket::kind_of(client).map([](ticket::Kind) {}));
  return database_.keys().preauth(client);
}

// ---- AS

struct Exchanges::AsAttempt {
  ByteView bytes;
  const ticket::AsRequest& request;
  const ticket::Channel& channel;
  std::string client;
  std::string source;
  Credentials credentials;
};

// The part that must not tell names that exist from others: it does the same for all.
Status Exchanges::check_key(AsAttempt& attempt) {
  TROTH_TRY(attempt.credentials,
            database_.keys().credentials(attempt.client, attempt.request.client_kvno));
  const Status proof = ticket::check_as_proof(attempt.credentials.key.key, attempt.request,
                                              attempt.bytes, attempt.channel);
  if (!proof && proof.error().code != ErrorCode::Unauthenticated)
    return proof;
  const bool right = proof && attempt.credentials.exists && !is_own_service(attempt.client);
  return right ? Status{} : Status(wrong_name_or_key());
}

Result<Bytes> Exchanges::grant_as(AsAttempt& attempt) {
  const ticket::AsRequest& request = attempt.request;
  const Principal& client = attempt.credentials.principal;
  const StoredKey& key = attempt.credentials.key;
  const Time now = time_now(clock_);
  if (const GuessVerdict verdict = tickets_.take(client.id, now); !verdict.allowed)
    return too_many(kTooManyTickets, verdict.wait);
  if (client.disabled)
    return fail(ErrorCode::PermissionDenied, "{} is disabled; ask an administrator", client.name);
  const bool ended = client.password_end && *client.password_end <= now;
  if (ended && request.service != kAdminService) {
    return fail(ErrorCode::Expired, "the password of {} has ended; set a new one: troth passwd {}",
                client.name, client.name);
  }
  TROTH_TRY(const Parties parties, find_parties(database_, client.id, request.service));
  const TicketWanted wanted{
      .client_kvno = key.kvno,
      .validity = initial_validity(parties.policy, client.kind, request.service,
                                   {request.life, request.renew}, now)};
  TROTH_TRY(Issued issued, make_ticket(database_, own_, parties, wanted, now));
  if (client.kind == Kind::User) {
    issued.grant.password_end = client.password_end;
    issued.grant.password_ends_soon =
        client.password_end && *client.password_end - now <= kPasswordEndsSoon;
    issued.grant.raise_parameters = is_weaker(key.parameters, wanted_);
  }
  return ticket::make_as_reply(key.key, attempt.bytes, issued.ticket, database_.core().cell(),
                               issued.grant);
}

Result<Bytes> Exchanges::as(ByteView bytes, const ticket::Channel& channel,
                            const std::string& address) {
  const auto request = ticket::decode_as_request(bytes);
  if (!request)
    return ticket::refused();
  if (request->cell != database_.core().cell()) {
    return fail(ErrorCode::InvalidArgument, "this is the KDC of cell {}, not of {}",
                database_.core().cell(), request->cell);
  }
  if (request->service != kTgsService && request->service != kAdminService) {
    return fail(ErrorCode::InvalidArgument,
                "a long-term key gives tickets for kdc/tgs and kdc/admin only");
  }
  AsAttempt attempt{.bytes = bytes,
                    .request = *request,
                    .channel = channel,
                    .client = std::string(request->client),
                    .source = source_of_address(address),
                    .credentials = {}};
  AuditRecord record{.event = "as",
                     .actor_name = attempt.client,
                     .subject = std::string(request->service),
                     .source = address};
  Attempts& attempts = database_.attempts();
  const GuessVerdict verdict = attempts.begin(attempt.client, attempt.source);
  if (!verdict.allowed) {
    // These cost whoever sends them nothing, so they share a record: a name of his choice in each
    // would push everybody's records out of the log.
    record.actor_name.clear();
    record.source = attempt.source;
    record.outcome = common::to_string(ErrorCode::Overloaded);
    TROTH_TRY_VOID(database_.audit().note(std::move(record)));
    return too_many("too many attempts for this name or from this address", verdict.wait);
  }

  const Status right = check_key(attempt);
  if (right) {
    TROTH_TRY_VOID(attempts.succeeded(attempt.client, attempt.source));
    record.actor = attempt.credentials.principal.id;
  } else if (right.error().code == ErrorCode::Unauthenticated) {
    TROTH_TRY_VOID(attempts.failed(attempt.client, attempt.source));
  } else {
    attempts.withdrawn(attempt.client, attempt.source);
    return tl::unexpected(right.error());
  }
  Result<Bytes> reply = right ? grant_as(attempt) : tl::unexpected(right.error());
  record.outcome = outcome_of(said(reply));
  const bool again_and_again = !reply && reply.error().code == ErrorCode::Overloaded;
  TROTH_TRY_VOID(again_and_again ? database_.audit().refused(std::move(record))
                                 : database_.audit().record(std::move(record)));
  return reply;
}

// ---- TGS

struct Exchanges::TgsAttempt {
  ByteView bytes;
  ticket::AcceptedTgs accepted;
  Time now;
};

Result<Bytes> Exchanges::grant_tgs(TgsAttempt& attempt) {
  const ticket::TgsRequest& request = attempt.accepted.request;
  const ticket::TicketBody& tgt = attempt.accepted.tgt;
  if (const GuessVerdict verdict = tickets_.take(tgt.client.id, attempt.now); !verdict.allowed)
    return too_many(kTooManyTickets, verdict.wait);
  const bool for_tgs = request.service == kTgsService;
  if (request.renew != for_tgs) {
    return fail(ErrorCode::InvalidArgument,
                "a ticket for kdc/tgs comes from a renewal, and nothing else does");
  }
  auto parties = find_parties(database_, tgt.client.id, request.service);
  if (!parties)
    return tl::unexpected(parties.error());
  const Principal& client = parties->client;
  if (client.disabled || client.name != tgt.client.name)
    return fail(ErrorCode::PermissionDenied, "{} is disabled; ask an administrator",
                tgt.client.name);
  if (parties->service.disabled)
    return fail(ErrorCode::PermissionDenied, "the service {} is disabled", request.service);
  TicketWanted wanted{.client_kvno = tgt.client_kvno, .validity = {}};
  if (request.renew) {
    TROTH_TRY(wanted.validity,
              renewed_validity(parties->policy, tgt.validity, request.life, attempt.now));
  } else {
    wanted.validity = derived_validity(parties->policy, tgt.validity, request.life, attempt.now);
  }
  TROTH_TRY(const Issued issued, make_ticket(database_, own_, *parties, wanted, attempt.now));
  return ticket::make_tgs_reply(tgt, attempt.bytes, issued.ticket, database_.core().cell(),
                                issued.grant);
}

Result<Bytes> Exchanges::tgs(ByteView bytes, const ticket::Channel& channel,
                             const std::string& address) {
  AuditRecord record{.event = "tgs", .source = address};
  const Time now = time_now(clock_);
  auto accepted = ticket::accept_tgs(own_.tgs(), bytes, channel, now);
  if (!accepted) {
    // Anybody can send such as many as he likes, so they share a record.
    record.source = source_of_address(address);
    record.outcome = common::to_string(accepted.error().code);
    TROTH_TRY_VOID(database_.audit().note(std::move(record)));
    return tl::unexpected(accepted.error());
  }
  TgsAttempt attempt{.bytes = bytes, .accepted = *std::move(accepted), .now = now};
  record.actor = attempt.accepted.tgt.client.id;
  record.actor_name = attempt.accepted.tgt.client.name;
  record.subject = std::string(attempt.accepted.request.service);
  Result<Bytes> reply = grant_tgs(attempt);
  if (!reply && !is_verdict(reply.error().code))
    return reply;
  record.outcome = outcome_of(said(reply));
  // A holder of a ticket may ask for what does not exist as often as he likes, too: one record,
  // whatever he calls it.
  if (!reply)
    record.subject = std::string(kTgsService);
  TROTH_TRY_VOID(reply ? database_.audit().record(std::move(record))
                       : database_.audit().refused(std::move(record)));
  return reply;
}

}  // namespace kdc
