#pragma once

// The words of the KDC's storage that more than one of its files needs: see PROTOCOL.md.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "common/clock.hpp"
#include "common/ids.hpp"
#include "common/result.hpp"

namespace kdc {

// A principal or a group: one row of numbers for both, never reused.
using Id = common::StrongId<struct PrincipalOrGroupTag, std::uint32_t>;
inline constexpr Id kNobody{0};
inline constexpr Id kAnyUser{1};   // everybody
inline constexpr Id kAuthUser{2};  // everybody with a ticket
inline constexpr Id kAdministrators{3};
inline constexpr Id kAuditors{4};
inline constexpr Id kAnonymous{65'534};
inline constexpr std::uint32_t kFirstChosenId = 1'000;   // an administrator may choose from here
inline constexpr std::uint32_t kFirstGivenId = 10'000;   // the KDC gives out from here
inline constexpr std::uint32_t kLastId = 2'147'483'647;  // uid_t of some systems is signed

enum class Kind : std::uint8_t { User = 1, Service = 2, Host = 3 };

using Kvno = std::uint32_t;  // from 1; 0 asks for the newest

// Wall time as the protocol writes it: milliseconds since 1970 UTC.
using Millis = std::chrono::milliseconds;
using Time = std::chrono::sys_time<Millis>;
inline Time time_now(const common::Clock& clock) {
  return std::chrono::floor<Millis>(clock.wall_now());
}
inline std::int64_t to_number(Time time) {
  return time.time_since_epoch().count();
}
inline Time time_from(std::int64_t number) {
  return Time(Millis(number));
}

// The services whose keys only the KDC holds, and rotates itself.
inline constexpr std::string_view kTicketGrantingService = "kdc/tgs";
inline constexpr std::string_view kAdminService = "kdc/admin";

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
