#pragma once

// How long a ticket is good (PROTOCOL.md, "Lifetimes and clocks"). Pure functions of the policy,
// what was asked for, and the KDC's clock.

#include <string_view>

#include "common/ticket/messages.hpp"
#include "kdc/policy.hpp"

namespace kdc {

// A ticket for `kdc/admin` from a long-term key, and how long such a proof counts as fresh.
inline constexpr Millis kFreshFor = std::chrono::minutes(5);

// What a request asks for; 0: as the policy gives, and not renewable.
struct AskedLife {
  Millis life{};
  Millis renew{};
};

// From a long-term key. A ticket for `kdc/admin` lives for kFreshFor at most; only users' TGTs can
// be renewed.
common::ticket::Validity initial_validity(const Policy& policy, Kind kind, std::string_view service,
                                          const AskedLife& asked, Time now);

// From a TGT that is good at `now`: it never outlives that.
common::ticket::Validity derived_validity(const Policy& policy, const common::ticket::Validity& tgt,
                                          Millis life, Time now);

// A TGT with a later end, never after the time up to which the first one may be renewed. Expired
// past that, InvalidArgument for one that is not renewable.
common::Result<common::ticket::Validity> renewed_validity(const Policy& policy,
                                                          const common::ticket::Validity& tgt,
                                                          Millis life, Time now);

}  // namespace kdc
