#include "kdc/ticket_policy.hpp"

#include <algorithm>

namespace kdc {
namespace {

using common::ticket::Validity;

// Never longer than the policy gives, nor than any ticket lives.
Millis life_of(const Policy& policy, Millis asked) {
  const Millis most = std::min(policy.ticket_life, kLongestTicket);
  return asked == Millis(0) ? most : std::min(asked, most);
}

}  // namespace

Validity initial_validity(const Policy& policy, Kind kind, std::string_view service,
                          const AskedLife& asked, Time now) {
  Millis life = life_of(policy, asked.life);
  if (service == kAdminService)
    life = std::min(life, kFreshFor);
  Validity validity{.authenticated = now,
                    .start = now,
                    .end = now + life,
                    .renew_till = std::nullopt,
                    .initial = true};
  const bool renewable = kind == Kind::User && service == kTgsService;
  const Millis renew = std::min({asked.renew, policy.renewable_life, kLongestRenewable});
  if (renewable && renew > Millis(0))
    validity.renew_till = std::max(now + renew, validity.end);
  return validity;
}

Validity derived_validity(const Policy& policy, const Validity& tgt, Millis life, Time now) {
  return {.authenticated = tgt.authenticated,
          .start = now,
          .end = std::min(now + life_of(policy, life), tgt.end),
          .renew_till = std::nullopt,
          .initial = false};
}

common::Result<Validity> renewed_validity(const Policy& policy, const Validity& tgt, Millis life,
                                          Time now) {
  if (!tgt.renew_till) {
    return common::fail(common::ErrorCode::InvalidArgument,
                        "this ticket cannot be renewed; log in again");
  }
  if (now >= *tgt.renew_till) {
    return common::fail(common::ErrorCode::Expired,
                        "the time in which this ticket could be renewed is over; log in again");
  }
  return Validity{.authenticated = tgt.authenticated,
                  .start = now,
                  .end = std::min(now + life_of(policy, life), *tgt.renew_till),
                  .renew_till = tgt.renew_till,
                  .initial = false};
}

}  // namespace kdc
