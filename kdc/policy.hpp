#pragma once

// How long tickets live and what passwords must be like: one default for each kind, and named ones.

#include <string>
#include <vector>

#include "kdc/core.hpp"

namespace kdc {

struct Policy {
  std::string name;
  Millis ticket_life = std::chrono::hours(10);
  Millis renewable_life = std::chrono::days(7);  // 0: not renewable
  std::uint32_t min_length = 8;                  // characters
  std::uint32_t min_classes = 1;                 // of small, capital, digit, other
  std::uint32_t history = 1;                     // passwords, from the present one back
  Millis max_age{0};                             // 0: a password has no end
};
// Most of each (PROTOCOL.md, "Lifetimes and clocks").
inline constexpr Millis kShortestTicket = std::chrono::minutes(1);
inline constexpr Millis kLongestRenewable = std::chrono::days(30);
inline constexpr std::uint32_t kMostHistory = 10;  // each costs a scrypt at every change
inline constexpr std::uint64_t kMostPolicies = 1000;

// The default policy's name, which is also the kind's: "user", "service", "host".
std::string_view default_policy_name(Kind kind);
Policy default_policy(Kind kind);
common::Status check_policy(const Policy& policy);

class Policies {
 public:
  explicit Policies(Core& core) : core_(core) {}

  // What applies to a principal with this kind and policy name ("": the default).
  [[nodiscard]] common::Result<Policy> of(Kind kind, const std::string& name);
  [[nodiscard]] common::Result<std::vector<Policy>> list();

  // Administrators. Makes or replaces.
  [[nodiscard]] common::Status set(const Actor& actor, const Policy& policy);
  // Refused while somebody has it, and for defaults (Conflict).
  [[nodiscard]] common::Status remove(const Actor& actor, const std::string& name);

 private:
  Core& core_;
};

// Inside a transaction. Services and hosts are never renewable, whatever the policy says.
common::Result<Policy> policy_of(common::db::ReadTx& tx, Kind kind, std::string_view name);
common::Status put_policy(common::db::WriteTx& tx, const Policy& policy);

}  // namespace kdc
