#pragma once

// How many tickets one client is given: far more than anybody needs, and so few that nobody can
// push the rest of the audit log, where each has a record, out of it (PROTOCOL.md, "Guessing").

#include <unordered_map>

#include "common/sync/locked.hpp"
#include "kdc/guess_limit.hpp"

namespace kdc {

// 10,000 at once, then 20 a second: to fill the audit log takes one client six days.
inline constexpr GuessRules kTicketRules{10'000, Millis(50), Millis(1'000)};
// Clients that were given one within the last moments; more are asked to come back.
inline constexpr std::size_t kMostTicketClients = 65'536;

// Safe from any thread. In memory only: a restart forgives at most one burst.
class TicketLimit {
 public:
  explicit TicketLimit(std::size_t most = kMostTicketClients) : most_(most) {}

  // Takes one ticket out of the client's bucket.
  [[nodiscard]] GuessVerdict take(Id client, Time now);

 private:
  const std::size_t most_;
  common::Locked<std::unordered_map<Id, GuessState>> states_;
};

}  // namespace kdc
