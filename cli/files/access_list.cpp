#include "cli/files/access_list.hpp"

#include <algorithm>

namespace cli {

using common::ErrorCode;
using common::fail;
using common::Result;
using fileproto::Acl;
using fileproto::AclEntry;
using fileproto::AclWho;
namespace right = fileproto::right;

namespace {

constexpr std::string_view kExpected =
    "expected [deny:]user:NAME:RIGHTS, group:NAME:RIGHTS, host:NAME:RIGHTS, anyuser:RIGHTS or "
    "authuser:RIGHTS, or as one word \"NAME RIGHTS\"";
constexpr std::string_view kSystem = "system:";

Result<std::uint8_t> rights_of(std::string_view text) {
  static constexpr std::string_view kLetters = "rlidwka";
  if (text == "read")
    return right::kRead | right::kLookup;
  if (text == "write")
    return right::kAll & ~right::kAdminister;
  if (text == "all")
    return right::kAll;
  if (text == "none")
    return std::uint8_t{0};
  std::uint8_t rights = 0;
  for (const char c : text) {
    const std::size_t at = kLetters.find(c);
    if (at == std::string_view::npos) {
      return fail(ErrorCode::InvalidArgument,
                  "\"{}\" are no rights; expected letters of rlidwka, or read, write, all, none",
                  text);
    }
    rights = static_cast<std::uint8_t>(rights | (1U << at));
  }
  return rights;
}

bool take(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word))
    return false;
  text.remove_prefix(word.size());
  return true;
}

bool same_holder(const AclEntry& a, const AclEntry& b) {
  return a.who == b.who && a.id == b.id && a.denied == b.denied;
}

// "system:anyuser", "alice", "alice:friends".
Result<AclEntry> parse_afs_who(std::string_view name, const PrincipalNames& names) {
  AclEntry entry;
  entry.denied = take(name, "-");
  if (name == "system:anyuser" || name == "system:authuser") {
    entry.who = name == "system:anyuser" ? AclWho::AnyUser : AclWho::AuthUser;
    return entry;
  }
  entry.who = name.find(':') == std::string_view::npos ? AclWho::User : AclWho::Group;
  if (name.empty())
    return fail(ErrorCode::InvalidArgument, "an entry names nobody; {}", kExpected);
  TROTH_TRY(entry.id, names.number(entry.who, std::string(name)));
  return entry;
}

std::string name_of(const AclEntry& entry, const PrincipalNames& names) {
  switch (entry.who) {
    case AclWho::AnyUser:
      return "anyuser";
    case AclWho::AuthUser:
      return "authuser";
    default:
      return names.name(entry.who, entry.id);
  }
}

std::string shown_rights(std::uint8_t rights) {
  const std::string text = fileproto::rights_text(rights);
  return text.empty() ? "none" : text;
}

}  // namespace

Result<AclEntry> parse_acl_who(std::string_view text, const PrincipalNames& names) {
  AclEntry entry;
  std::string_view rest = text;
  entry.denied = take(rest, "deny:");
  if (rest == "anyuser" || rest == "authuser") {
    entry.who = rest == "anyuser" ? AclWho::AnyUser : AclWho::AuthUser;
    return entry;
  }
  if (take(rest, "user:") || take(rest, "u:"))
    entry.who = AclWho::User;
  else if (take(rest, "group:") || take(rest, "g:"))
    entry.who = AclWho::Group;
  else if (take(rest, "host:"))
    entry.who = AclWho::Host;
  else
    rest = {};
  if (rest.empty())
    return fail(ErrorCode::InvalidArgument, "\"{}\" names nobody; {}", text, kExpected);
  TROTH_TRY(entry.id, names.number(entry.who, std::string(rest)));
  return entry;
}

Result<AclEntry> parse_acl_entry(std::string_view text, const PrincipalNames& names) {
  if (const std::size_t blank = text.find(' '); blank != std::string_view::npos) {
    const std::size_t second = std::min(text.find_first_not_of(' ', blank), text.size());
    TROTH_TRY(const auto rights, rights_of(text.substr(second)));
    TROTH_TRY(AclEntry entry, parse_afs_who(text.substr(0, blank), names));
    entry.rights = rights;
    return entry;
  }
  // Names of groups have colons in them; rights have none.
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return fail(ErrorCode::InvalidArgument, "\"{}\" is no entry; {}", text, kExpected);
  TROTH_TRY(const auto rights, rights_of(text.substr(colon + 1)));
  TROTH_TRY(AclEntry entry, parse_acl_who(text.substr(0, colon), names));
  entry.rights = rights;
  return entry;
}

std::string acl_entry_text(const AclEntry& entry, const PrincipalNames& names) {
  std::string text = entry.denied ? "deny:" : "";
  switch (entry.who) {
    case AclWho::User:
      text += "user:";
      break;
    case AclWho::Group:
      text += "group:";
      break;
    case AclWho::Host:
      text += "host:";
      break;
    case AclWho::AnyUser:
    case AclWho::AuthUser:
      break;
  }
  return text + name_of(entry, names) + ":" + shown_rights(entry.rights);
}

std::string afs_list_text(const Acl& acl, const PrincipalNames& names) {
  std::string text;
  for (const bool denied : {false, true}) {
    const bool any = std::any_of(acl.begin(), acl.end(),
                                 [&](const AclEntry& entry) { return entry.denied == denied; });
    if (!any)
      continue;
    text += denied ? "Negative rights:\n" : "Normal rights:\n";
    for (const AclEntry& entry : acl) {
      if (entry.denied != denied)
        continue;
      const bool everybody = entry.who == AclWho::AnyUser || entry.who == AclWho::AuthUser;
      text += "  " + std::string(everybody ? kSystem : "") + name_of(entry, names) + " " +
              shown_rights(entry.rights) + "\n";
    }
  }
  return text;
}

void set_acl_entry(Acl& acl, const AclEntry& entry) {
  std::erase_if(acl, [&](const AclEntry& other) { return same_holder(other, entry); });
  if (entry.rights != 0)
    acl.push_back(entry);
}

}  // namespace cli
