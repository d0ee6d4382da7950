#pragma once

// The words of the KDC's storage that more than one of its files needs: see PROTOCOL.md.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "common/clock.hpp"
#include "common/ids.hpp"
#include "common/result.hpp"
#include "common/ticket/principal.hpp"
#include "common/ticket/time.hpp"

namespace kdc {

// A principal or a group: one row of numbers for both, never reused.
using Id = common::ticket::PrincipalId;
using common::ticket::kAdministrators;
using common::ticket::kAnonymous;
using common::ticket::kAnyUser;
using common::ticket::kAuditors;
using common::ticket::kAuthUser;
using common::ticket::kNobody;
inline constexpr std::uint32_t kFirstChosenId = common::ticket::kLowestChosen.value;
inline constexpr std::uint32_t kFirstGivenId = common::ticket::kFirstGiven.value;
inline constexpr std::uint32_t kLastId = common::ticket::kHighestId.value;

using common::ticket::Kind;

using Kvno = std::uint32_t;  // from 1; 0 asks for the newest

// Wall time as the protocol writes it: milliseconds since 1970 UTC.
using Millis = common::ticket::Milliseconds;
using Time = common::ticket::Time;
inline Time time_now(const common::Clock& clock) {
  return common::ticket::to_time(clock.wall_now());
}
inline std::int64_t to_number(Time time) {
  return time.time_since_epoch().count();
}
inline Time time_from(std::int64_t number) {
  return Time(Millis(number));
}

// The services whose keys only the KDC holds, and rotates itself.
using common::ticket::kAdminService;
using common::ticket::kTgsService;

// No ticket lives longer, so an old key of a service is good for this long after its successor.
inline constexpr Millis kLongestTicket = std::chrono::hours(24);
inline constexpr Millis kOwnKeyLife = std::chrono::days(30);  // of the KDC's own services

// On whose behalf a change is made, for the check of rights and the audit log.
struct Actor {
  Id id;               // kNobody: the KDC itself, which may do everything
  std::string name;    // as its ticket says
  std::string source;  // address it came from
  // Of the request: a repetition is answered with the first one's result and changes nothing.
  std::optional<common::OperationId> operation = std::nullopt;

  static Actor kdc_itself() { return {kNobody, "kdc", "local", std::nullopt}; }
};

}  // namespace kdc
