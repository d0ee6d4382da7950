#pragma once

// Who asks, as rights are judged: numbers for mode bits, names for lists, and whether he may do
// everything here (PROTOCOL.md 5).

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/fileproto/node.hpp"
#include "common/fileproto/sessions.hpp"
#include "common/result.hpp"
#include "common/ticket/verifier.hpp"

namespace fileserver::access {

using common::Result;
using common::Status;
using common::ticket::PrincipalId;

// What a volume says of callers; of its policy, and valid for the call.
struct Trust {
  std::span<const PrincipalId> hosts;           // that may speak for their local users
  std::span<const PrincipalId> administrators;  // users and groups
};

// A value; made for each call, or once for a connection and volume.
class Caller {
 public:
  // `groups` are the ticket's, or all that the KDC knows of where the ticket has not all.
  // PermissionDenied: he speaks for somebody for whom he may not.
  [[nodiscard]] static Result<Caller> of(const common::ticket::Principal& principal,
                                         std::span<const PrincipalId> groups,
                                         const common::fileproto::Speaker& as, const Trust& trust);
  [[nodiscard]] static Result<Caller> of(const common::ticket::Identity& identity,
                                         const common::fileproto::Speaker& as, const Trust& trust) {
    return of(identity.client, identity.groups, as, trust);
  }

  // --- for mode bits ---
  [[nodiscard]] std::uint32_t uid() const { return uid_; }
  [[nodiscard]] std::uint32_t gid() const { return gid_; }
  [[nodiscard]] bool in_group(std::uint32_t gid) const;

  // --- for lists ---
  [[nodiscard]] bool matches(const common::fileproto::AclEntry& entry) const;

  // Of the cell, of the volume, or a trusted host's user 0.
  [[nodiscard]] bool is_administrator() const { return administrator_; }
  // Without a ticket, or as if without.
  [[nodiscard]] bool is_anonymous() const { return anonymous_; }

  // For messages: "alice (10000)", "local user 1000 of host/desk7", "anybody without a ticket".
  [[nodiscard]] const std::string& text() const { return text_; }

  // Equal for callers who are judged alike, and for no others: a cryptographic hash.
  using Fingerprint = std::array<std::byte, 16>;
  [[nodiscard]] const Fingerprint& fingerprint() const { return fingerprint_; }

 private:
  void be_principal(const common::ticket::Principal& principal, std::span<const PrincipalId> groups,
                    const Trust& trust);
  void be_local_user(const common::fileproto::LocalUser& user);
  void be_anybody();
  Status take_fingerprint();

  std::uint32_t uid_ = 0;
  std::uint32_t gid_ = 0;
  std::vector<std::uint32_t> groups_;  // ascending
  std::uint32_t user_ = 0;             // 0: matches no user in a list
  std::uint32_t host_ = 0;
  std::vector<std::uint32_t> list_groups_;  // ascending
  bool authenticated_ = false;
  bool administrator_ = false;
  bool anonymous_ = false;
  std::string text_;
  Fingerprint fingerprint_{};
};

}  // namespace fileserver::access
