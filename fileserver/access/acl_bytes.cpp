#include "fileserver/access/acl_bytes.hpp"

#include <algorithm>

#include "common/wire/binary.hpp"

namespace fileserver::access {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::fileproto::AclWho;
using common::fileproto::kMaxAclEntries;

constexpr std::uint8_t kVersion = 1;

bool names_somebody(AclWho who) {
  return who == AclWho::User || who == AclWho::Group || who == AclWho::Host;
}

auto subject(const AclEntry& entry) {
  return std::tuple(entry.who, entry.id, entry.denied);
}

Status check(const AclEntry& entry) {
  if (entry.who < AclWho::User || entry.who > AclWho::AuthUser ||
      entry.rights > common::fileproto::right::kAll ||
      names_somebody(entry.who) != (entry.id != 0)) {
    return fail(ErrorCode::InvalidArgument,
                "an entry names a user, a group or a host by its number, or anyuser or authuser");
  }
  return {};
}

Result<AclEntry> take_entry(common::wire::BinaryReader& in) {
  AclEntry entry;
  TROTH_TRY(const std::uint8_t who, in.u8());
  entry.who = static_cast<AclWho>(who);
  TROTH_TRY(entry.id, in.u32());
  TROTH_TRY(entry.rights, in.u8());
  TROTH_TRY(entry.denied, in.boolean());
  return entry;
}

Result<Acl> take_acl(common::ByteView bytes) {
  common::wire::BinaryReader in(bytes);
  TROTH_TRY(const std::uint8_t version, in.u8());
  TROTH_TRY(const std::uint16_t count, in.u16());
  if (version != kVersion || count > kMaxAclEntries)
    return fail(ErrorCode::Protocol, "version {}, {} entries", version, count);
  Acl acl;
  for (std::uint16_t i = 0; i < count; ++i) {
    TROTH_TRY(acl.emplace_back(), take_entry(in));
  }
  TROTH_TRY_VOID(in.finish());
  return acl;
}

}  // namespace

Result<Acl> canonical(Acl acl) {
  for (const AclEntry& entry : acl)
    TROTH_TRY_VOID(check(entry));
  std::ranges::sort(acl, {}, subject);
  Acl joined;
  for (const AclEntry& entry : acl) {
    if (entry.rights == 0)
      continue;
    if (!joined.empty() && subject(joined.back()) == subject(entry))
      joined.back().rights |= entry.rights;
    else
      joined.push_back(entry);
  }
  if (joined.size() > kMaxAclEntries)
    return fail(ErrorCode::TooLarge, "a list has at most {} entries", kMaxAclEntries);
  return joined;
}

common::Bytes encode_acl(const Acl& acl) {
  common::wire::BinaryWriter out;
  out.u8(kVersion).u16(static_cast<std::uint16_t>(acl.size()));
  for (const AclEntry& entry : acl) {
    out.u8(static_cast<std::uint8_t>(entry.who)).u32(entry.id).u8(entry.rights);
    out.boolean(entry.denied);
  }
  return out.take();
}

Result<Acl> decode_acl(common::ByteView bytes) {
  auto acl = take_acl(bytes);
  auto same = acl ? canonical(*acl) : acl;
  if (!same || *same != *acl)
    return fail(ErrorCode::Corrupt, "a stored access list is damaged");
  return acl;
}

}  // namespace fileserver::access
