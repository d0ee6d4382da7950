#pragma once

// Access lists as people write them, in two spellings:
//
//   user:alice:rlidwk   deny:group:staff:w   anyuser:rl     as setfacl has it
//   alice rlidwk        -staff:all w         system:anyuser rl     as AFS has it
//
// In the second a name with a colon is a group's, and a dash before it denies.

#include <functional>
#include <string>

#include "common/fileproto/node.hpp"
#include "common/result.hpp"

namespace cli {

namespace fileproto = common::fileproto;

// Numbers of names, and back; asked for only where a name is used. A name of digits is a number.
struct PrincipalNames {
  std::function<common::Result<std::uint32_t>(fileproto::AclWho who, const std::string& name)>
      number;
  std::function<std::string(fileproto::AclWho who, std::uint32_t id)> name;
};

// WHO:RIGHTS or "WHO RIGHTS"; rights are letters of rlidwka in any order, or read, write, all,
// none. InvalidArgument says what was expected.
[[nodiscard]] common::Result<fileproto::AclEntry> parse_acl_entry(std::string_view text,
                                                                  const PrincipalNames& names);
// Only WHO; its rights are 0.
[[nodiscard]] common::Result<fileproto::AclEntry> parse_acl_who(std::string_view text,
                                                                const PrincipalNames& names);
[[nodiscard]] std::string acl_entry_text(const fileproto::AclEntry& entry,
                                         const PrincipalNames& names);
// The whole list as AFS shows it, a line for each entry.
[[nodiscard]] std::string afs_list_text(const fileproto::Acl& acl, const PrincipalNames& names);

// Replaces the entry of the same holder, or adds one; with no rights it goes.
void set_acl_entry(fileproto::Acl& acl, const fileproto::AclEntry& entry);

}  // namespace cli
