#pragma once

// How often one client may do what leaves a record: far more often than anybody needs, and so
// seldom that nobody can push the rest out of the audit log (PROTOCOL.md, "Guessing").

#include <unordered_map>

#include "common/sync/locked.hpp"
#include "kdc/guess_limit.hpp"

namespace kdc {

// Tickets: 10,000 at once, then 20 a second: to fill the audit log takes one client six days.
inline constexpr GuessRules kTicketRules{10'000, Millis(50), Millis(1'000)};
// Changes by whoever is no administrator, and keytabs: a long list of members at once, then ten a
// minute. To fill the audit log takes longer than records are kept.
inline constexpr GuessRules kChangeRules{1'000, Millis(6'000), Millis(6'000)};
// Clients that did something within the last moments; more are asked to come back.
inline constexpr std::size_t kMostClients = 65'536;

// Safe from any thread. In memory only: a restart forgives at most one burst.
class ClientLimit {
 public:
  explicit ClientLimit(const GuessRules& rules, std::size_t most = kMostClients)
      : rules_(rules), most_(most) {}

  // Takes one out of the client's bucket.
  [[nodiscard]] GuessVerdict take(Id client, Time now);

 private:
  const GuessRules rules_;
  const std::size_t most_;
  common::Locked<std::unordered_map<Id, GuessState>> states_;
};

}  // namespace kdc
