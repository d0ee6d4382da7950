#pragma once

// Puts together what a ticket says and seals it: the last step of AS and TGS alike.

#include "common/ticket/messages.hpp"
#include "kdc/database.hpp"
#include "kdc/own_keys.hpp"

namespace kdc {

// What the database says about a client and the service it wants, all as of one moment.
struct Parties {
  Principal client;
  Principal service;
  Policy policy;          // the client's
  Membership membership;  // as a ticket carries it: of very many groups, not all
};

// Both by name or id; NotFound says which is missing. `service` must be a service: there are no
// tickets sealed with a key that comes from a password, or for hosts.
common::Result<Parties> find_parties(Database& database, Id client, std::string_view service);

struct TicketWanted {
  Kvno client_kvno = 0;
  common::ticket::Validity validity;
};

struct Issued {
  common::Bytes ticket;
  common::ticket::Grant grant;  // hints are the caller's to add
};

// A ticket under the service's present key, with a fresh session key. Any thread; reads the
// database.
common::Result<Issued> make_ticket(Database& database, OwnKeys& own, const Parties& parties,
                                   const TicketWanted& wanted, Time now);

common::ticket::Principal to_ticket(const Principal& principal);

}  // namespace kdc
