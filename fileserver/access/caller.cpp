#include "fileserver/access/caller.hpp"

#include <algorithm>
#include <iterator>
#include <variant>

#include "common/crypto/hash.hpp"
#include "common/wire/binary.hpp"

namespace fileserver::access {
namespace {

using common::ErrorCode;
using common::fileproto::AclEntry;
using common::fileproto::AclWho;
using common::fileproto::AnyUser;
using common::fileproto::LocalUser;
using common::ticket::Kind;

bool has(std::span<const PrincipalId> ids, PrincipalId id) {
  return std::ranges::find(ids, id) != ids.end();
}

bool has(const std::vector<std::uint32_t>& ascending, std::uint32_t id) {
  return std::ranges::binary_search(ascending, id);
}

void sort_unique(std::vector<std::uint32_t>& ids) {
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

}  // namespace

Result<Caller> Caller::of(const common::ticket::Principal& principal,
                          std::span<const PrincipalId> groups, const common::fileproto::Speaker& as,
                          const Trust& trust) {
  Caller caller;
  if (std::holds_alternative<AnyUser>(as)) {
    caller.be_anybody();
  } else {
    caller.be_principal(principal, groups, trust);
    if (const auto* user = std::get_if<LocalUser>(&as)) {
      if (principal.kind != Kind::Host || !has(trust.hosts, principal.id)) {
        return common::fail(ErrorCode::PermissionDenied,
                            "this volume does not trust {} to speak for local users",
                            principal.name);
      }
      caller.be_local_user(*user);
    }
  }
  TROTH_TRY_VOID(caller.take_fingerprint());
  return caller;
}

void Caller::be_principal(const common::ticket::Principal& principal,
                          std::span<const PrincipalId> groups, const Trust& trust) {
  // Users and groups have numbers of one row, so that one's own is a group of nobody else.
  uid_ = gid_ = principal.id.value;
  for (const PrincipalId group : groups)
    list_groups_.push_back(group.value);
  sort_unique(list_groups_);
  // What everybody is in is no group of a mode: for everybody there are the bits of others.
  std::ranges::copy_if(list_groups_, std::back_inserter(groups_), [](std::uint32_t group) {
    return group != common::ticket::kAnyUser.value && group != common::ticket::kAuthUser.value;
  });
  (principal.kind == Kind::Host ? host_ : user_) = principal.id.value;
  authenticated_ = true;
  administrator_ =
      has(groups, common::ticket::kAdministrators) || has(trust.administrators, principal.id) ||
      std::ranges::any_of(trust.administrators, [&](PrincipalId id) { return has(groups, id); });
  text_ = fmt::format("{} ({})", principal.name, principal.id.value);
}

void Caller::be_local_user(const LocalUser& user) {
  uid_ = user.uid;
  gid_ = user.gid;
  groups_ = user.groups;
  sort_unique(groups_);
  // A list knows nothing of local users: it sees their host, and what everybody may.
  list_groups_.clear();
  user_ = 0;
  authenticated_ = false;
  administrator_ = user.uid == 0;
  text_ = fmt::format("local user {} of {}", user.uid, text_);
}

void Caller::be_anybody() {
  uid_ = gid_ = common::ticket::kAnonymous.value;
  anonymous_ = true;
  text_ = "anybody without a ticket";
}

bool Caller::in_group(std::uint32_t gid) const {
  return gid == gid_ || has(groups_, gid);
}

bool Caller::matches(const AclEntry& entry) const {
  switch (entry.who) {
    case AclWho::User:
      return entry.id == user_ && user_ != 0;
    case AclWho::Group:
      return has(list_groups_, entry.id);
    case AclWho::Host:
      return entry.id == host_ && host_ != 0;
    case AclWho::AnyUser:
      return true;
    case AclWho::AuthUser:
      return authenticated_;
  }
  return false;
}

Status Caller::take_fingerprint() {
  common::wire::BinaryWriter out;
  out.u32(uid_).u32(gid_).u32(user_).u32(host_);
  out.boolean(authenticated_).boolean(administrator_);
  for (const auto* groups : {&groups_, &list_groups_}) {
    out.u32(static_cast<std::uint32_t>(groups->size()));
    for (const std::uint32_t group : *groups)
      out.u32(group);
  }
  TROTH_TRY(const common::crypto::Digest digest, common::crypto::sha256(out.view()));
  std::copy_n(digest.begin(), fingerprint_.size(), fingerprint_.begin());
  return {};
}

}  // namespace fileserver::access
