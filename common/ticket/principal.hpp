#pragma once

// Who the KDC knows, and how they are named. Names are compared byte by byte; what does not have
// one of the forms below is refused before it is looked up anywhere.

#include <cstdint>
#include <string>
#include <string_view>

#include "common/ids.hpp"
#include "common/result.hpp"

namespace common::ticket {

// The value is the byte in messages.
enum class Kind : std::uint8_t { User = 1, Service = 2, Host = 3 };

// "user", "service" or "host", for people.
std::string_view to_string(Kind kind);

// Number of a principal or a group, unique in the cell, never reused.
using PrincipalId = StrongId<struct PrincipalTag, std::uint32_t>;

inline constexpr PrincipalId kNobody{0};
inline constexpr PrincipalId kAnyUser{1};         // system:anyuser: everybody, without a ticket too
inline constexpr PrincipalId kAuthUser{2};        // system:authuser: everybody with a ticket
inline constexpr PrincipalId kAdministrators{3};  // system:administrators
inline constexpr PrincipalId kAuditors{4};        // system:auditors
inline constexpr PrincipalId kLowestChosen{1'000};  // the lowest that an administrator may choose
inline constexpr PrincipalId kFirstGiven{10'000};   // from here on the KDC gives them out
inline constexpr PrincipalId kAnonymous{65'534};    // the caller without a ticket; never given out
inline constexpr PrincipalId kHighestId{0x7FFF'FFFF};

struct Principal {
  std::string name;
  Kind kind = Kind::User;
  PrincipalId id;
  friend bool operator==(const Principal&, const Principal&) = default;
};

inline constexpr std::size_t kMaxCellId = 64;
inline constexpr std::size_t kMaxUserName = 64;
inline constexpr std::size_t kMaxPrincipalName = 97;  // 32, a slash, 64
inline constexpr std::size_t kMaxGroupName = 129;     // 64, a colon, 64

// The KDC's own services.
inline constexpr std::string_view kTgsService = "kdc/tgs";
inline constexpr std::string_view kAdminService = "kdc/admin";

// Each fails with InvalidArgument and a sentence that says what a good name looks like. They do not
// repeat the name, which may be anything.

// 1 to 64 letters, digits and '-'.
Status check_cell_id(std::string_view id);
// 1 to 64 of a-z 0-9 . _ -, beginning with a letter; not "system", whose groups are the cell's.
Status check_user_name(std::string_view name);
// <service>/<instance>: 1 to 32 of a-z 0-9 -, and 1 to 64 of A-Z a-z 0-9 . _ -; the first part of a
// host is "host", and of a service is not.
Status check_service_name(std::string_view name);
Status check_host_name(std::string_view name);
// <owner>:<name>: a user's name or "system", and 1 to 64 of a-z 0-9 . _ -.
Status check_group_name(std::string_view name);

// A name of that kind.
Status check_name(Kind kind, std::string_view name);
// The kind that a name shows by its form, whether or not somebody has it.
Result<Kind> kind_of(std::string_view name);

}  // namespace common::ticket
