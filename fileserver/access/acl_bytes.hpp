#pragma once

// An access list as it is stored: the value of an extended attribute of its directory that users
// never see. One list has one form.

#include "common/fileproto/node.hpp"

namespace fileserver::access {

using common::fileproto::Acl;
using common::fileproto::AclEntry;

inline constexpr std::string_view kAclXattr = "troth.acl";

// Sorted, equal subjects joined, entries without rights left out. InvalidArgument: an id where
// there is none, or none where there must be one; TooLarge: more than 64 entries.
[[nodiscard]] common::Result<Acl> canonical(Acl acl);

// u8 1, u16 count, each: u8 who, u32 id, u8 rights, u8 denied. `acl` is canonical.
[[nodiscard]] common::Bytes encode_acl(const Acl& acl);
// Corrupt: not what encode_acl() makes of a canonical list.
[[nodiscard]] common::Result<Acl> decode_acl(common::ByteView bytes);

}  // namespace fileserver::access
