#include "kdc/ticket_maker.hpp"

#include "common/crypto/random.hpp"
#include "common/ticket/seal.hpp"
#include "kdc/group_graph.hpp"

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::db::ReadTx;
namespace ticket = common::ticket;

Result<Membership> membership_of(ReadTx& tx, Id client) {
  Membership membership;
  TROTH_TRY(membership.groups, closure_of(tx, client, ticket::kMaxGroups));
  TROTH_TRY(auto row, tx.query("SELECT directory FROM cell"));
  TROTH_TRY(const bool found, row.step());
  if (!found)
    return fail(ErrorCode::Internal, "the database has no contents yet");
  membership.directory = row.column_uint64(0);
  return membership;
}

}  // namespace

ticket::Principal to_ticket(const Principal& principal) {
  return {.name = principal.name, .kind = principal.kind, .id = principal.id};
}

Result<Parties> find_parties(Database& database, Id client, std::string_view service) {
  return database.core().read([&](ReadTx& tx) -> Result<Parties> {
    Parties parties;
    TROTH_TRY(parties.client, need_principal(tx, client));
    TROTH_TRY(auto found, find_principal(tx, service));
    if (!found || found->kind != Kind::Service)
      return fail(ErrorCode::NotFound, "there is no service {} in this cell", service);
    parties.service = *std::move(found);
    TROTH_TRY(parties.policy, policy_of(tx, parties.client.kind, parties.client.policy));
    TROTH_TRY(parties.membership, membership_of(tx, client));
    return parties;
  });
}

Result<Issued> make_ticket(Database& database, OwnKeys& own, const Parties& parties,
                           const TicketWanted& wanted, Time now) {
  const std::string& service = parties.service.name;
  TROTH_TRY(const StoredKey key, database.keys().key(parties.service.id));
  TROTH_TRY_VOID(own.need(service, key.kvno));

  ticket::TicketBody body;
  TROTH_TRY_VOID(common::crypto::random_bytes(body.id));
  TROTH_TRY(body.session_key, ticket::new_key());
  body.client = to_ticket(parties.client);
  body.client_kvno = wanted.client_kvno;
  body.validity = wanted.validity;
  body.directory = parties.membership.directory;
  body.groups = parties.membership.groups;

  const std::string& cell = database.core().cell();
  Issued issued;
  TROTH_TRY(issued.ticket, ticket::seal_ticket(key.key, cell, service, key.kvno, body));
  issued.grant.session_key = std::move(body.session_key);
  issued.grant.client = std::move(body.client);
  issued.grant.service = service;
  issued.grant.kvno = key.kvno;
  issued.grant.validity = wanted.validity;
  issued.grant.kdc_now = now;
  return issued;
}

}  // namespace kdc
