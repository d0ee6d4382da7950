#include "fileserver/access/rules.hpp"

#include <cerrno>

namespace fileserver::access {
namespace {

namespace right = common::fileproto::right;

constexpr std::uint32_t kRead = 4;
constexpr std::uint32_t kWrite = 2;
constexpr std::uint32_t kExecute = 1;

struct Means {
  std::uint32_t bits = 0;   // of the mode
  std::uint8_t right = 0;   // of the list
  bool owner_bits = false;  // a file: the owner's bits restrict everybody under a list
};

Means means(Need need) {
  switch (need) {
    case Need::ReadFile:
      return {kRead, right::kRead, true};
    case Need::WriteFile:
      return {kWrite, right::kWrite, true};
    case Need::ExecuteFile:
      return {kExecute, right::kRead, true};
    case Need::LockFile:
      return {kRead | kWrite, right::kLock, false};
    case Need::List:
      return {kRead, right::kLookup, false};
    case Need::Search:
      return {kExecute, right::kLookup, false};
    case Need::Insert:
      return {kWrite, right::kInsert, false};
    case Need::Delete:
      return {kWrite, right::kDelete, false};
    case Need::MoveItself:
      return {kWrite, right::kWrite, false};
  }
  return {};
}

Verdict about(const Attributes& node, Need need, Rule rule) {
  Verdict verdict = Verdict::allow(rule, node);
  verdict.need = need;
  return verdict;
}

Verdict refused(Verdict verdict, int error_number) {
  verdict.allowed = false;
  verdict.error_number = error_number;
  return verdict;
}

// An entry that decides about a right: one that denies it before one that grants it.
const AclEntry* deciding(const Caller& caller, const Acl& list, std::uint8_t wanted) {
  const AclEntry* granting = nullptr;
  for (const AclEntry& entry : list) {
    if ((entry.rights & wanted) == 0 || !caller.matches(entry))
      continue;
    if (entry.denied)
      return &entry;
    granting = &entry;
  }
  return granting;
}

Verdict by_list(const Caller& caller, Need need, const Attributes& node, const Acl& list,
                NodeId governor) {
  const Means wanted = means(need);
  const AclEntry* entry = deciding(caller, list, wanted.right);
  Verdict verdict = about(node, need, Rule::List);
  verdict.node = governor;
  if (entry != nullptr)
    verdict.entry = *entry;
  if (entry == nullptr || entry->denied)
    return refused(verdict, EACCES);
  if (wanted.owner_bits && (node.mode >> 6 & wanted.bits) != wanted.bits)
    return refused(about(node, need, Rule::OwnerBits), EACCES);
  return verdict;
}

Verdict by_mode(const Caller& caller, Need need, const Attributes& node) {
  const std::uint32_t wanted = means(need).bits;
  const std::uint32_t had = class_bits(caller, node) & wanted;
  const Verdict verdict = about(node, need, Rule::ModeBits);
  // Locking takes either.
  const bool enough = need == Need::LockFile ? had != 0 : had == wanted;
  return enough ? verdict : refused(verdict, EACCES);
}

// What nobody marks as a program is none, for administrators neither.
bool is_no_program(Need need, const Attributes& node) {
  return need == Need::ExecuteFile && !is_directory(node) && (node.mode & 0111) == 0;
}

}  // namespace

std::uint32_t class_bits(const Caller& caller, const Attributes& node) {
  if (caller.uid() == node.uid)
    return node.mode >> 6 & 7;
  return (caller.in_group(node.gid) ? node.mode >> 3 : node.mode) & 7;
}

std::uint8_t rights_of(const Caller& caller, const Acl& list) {
  std::uint8_t granted = 0;
  std::uint8_t denied = 0;
  for (const AclEntry& entry : list) {
    if (caller.matches(entry))
      (entry.denied ? denied : granted) |= entry.rights;
  }
  return static_cast<std::uint8_t>(granted & ~denied);
}

Verdict may(const Caller& caller, Need need, const Attributes& node, const Acl* list,
            NodeId governor) {
  const Verdict verdict =
      list != nullptr ? by_list(caller, need, node, *list, governor) : by_mode(caller, need, node);
  if (verdict.allowed || !caller.is_administrator() || is_no_program(need, node))
    return verdict;
  return about(node, need, Rule::Administrator);
}

Verdict may_own(const Caller& caller, const Attributes& node, const Acl* list, NodeId governor) {
  Verdict verdict = about(node, Need::WriteFile, Rule::Owner);
  if (caller.uid() == node.uid)
    return verdict;
  if (list != nullptr) {
    const AclEntry* entry = deciding(caller, *list, right::kAdminister);
    if (entry != nullptr && !entry->denied) {
      verdict.entry = *entry;
      verdict.node = governor;
      return verdict;
    }
  }
  if (caller.is_administrator())
    return about(node, Need::WriteFile, Rule::Administrator);
  return refused(verdict, EPERM);
}

std::uint32_t everybodys_bits(const Attributes& node, const Acl* list) {
  if (list == nullptr)
    return node.mode >> 6 & node.mode >> 3 & node.mode & 7;
  // Whoever he is: granted to anyuser, and denied to nobody at all.
  std::uint8_t granted = 0;
  std::uint8_t denied = 0;
  for (const AclEntry& entry : *list) {
    if (entry.denied)
      denied |= entry.rights;
    else if (entry.who == common::fileproto::AclWho::AnyUser)
      granted |= entry.rights;
  }
  const auto rights = static_cast<std::uint8_t>(granted & ~denied);
  if (is_directory(node)) {
    const bool changes = (rights & right::kInsert) != 0 && (rights & right::kDelete) != 0;
    return ((rights & right::kLookup) != 0 ? kRead | kExecute : 0) | (changes ? kWrite : 0);
  }
  const std::uint32_t by_right = ((rights & right::kRead) != 0 ? kRead | kExecute : 0) |
                                 ((rights & right::kWrite) != 0 ? kWrite : 0);
  return by_right & node.mode >> 6;
}

std::uint32_t callers_bits(const Caller& caller, const Attributes& node, const Acl* list,
                           NodeId governor) {
  const auto allowed = [&](Need need) { return may(caller, need, node, list, governor).allowed; };
  if (is_directory(node)) {
    return (allowed(Need::List) ? kRead : 0) | (allowed(Need::Search) ? kExecute : 0) |
           (allowed(Need::Insert) && allowed(Need::Delete) ? kWrite : 0);
  }
  return (allowed(Need::ReadFile) ? kRead : 0) | (allowed(Need::WriteFile) ? kWrite : 0) |
         (allowed(Need::ExecuteFile) ? kExecute : 0);
}

Birth birth(const Caller& caller, const Attributes& directory, NodeKind kind, std::uint32_t mode) {
  Birth born{caller.uid(), caller.gid(), mode};
  if ((directory.mode & kSetGid) == 0)
    return born;
  born.gid = directory.gid;
  if (kind == NodeKind::Directory) {
    born.mode |= kSetGid;
  } else if ((mode & (kSetGid | 0010)) == (kSetGid | 0010) && !caller.in_group(directory.gid) &&
             !caller.is_administrator()) {
    born.mode &= ~kSetGid;  // or anybody would make programs of a group that he is not in
  }
  return born;
}

std::uint32_t mode_after_write(const Caller& caller, const Attributes& node) {
  if (caller.is_administrator() || node.kind != NodeKind::File)
    return node.mode;
  return mode_after_chown(caller, node);
}

std::uint32_t mode_after_chmod(const Caller& caller, std::uint32_t mode, std::uint32_t gid) {
  if ((mode & kSetGid) != 0 && !caller.in_group(gid) && !caller.is_administrator())
    return mode & ~kSetGid;
  return mode;
}

std::uint32_t mode_after_chown(const Caller& caller, const Attributes& node) {
  if (is_directory(node))
    return node.mode;
  std::uint32_t mode = node.mode & ~kSetUid;
  // Without x for the group the bit makes no program of it; then it goes for strangers only.
  if ((mode & 0010) != 0 || (!caller.in_group(node.gid) && !caller.is_administrator()))
    mode &= ~kSetGid;
  return mode;
}

XattrSpace xattr_space(std::string_view name) {
  const auto in = [&](std::string_view space) {
    return name.starts_with(space) && name.size() > space.size();
  };
  if (in("user."))
    return XattrSpace::User;
  if (in("trusted."))
    return XattrSpace::Trusted;
  if (in("security."))
    return XattrSpace::Security;
  return name.starts_with("troth.") ? XattrSpace::Server : XattrSpace::Unknown;
}

bool is_told(const Caller& caller, std::string_view name) {
  switch (xattr_space(name)) {
    case XattrSpace::User:
    case XattrSpace::Security:
      return true;
    case XattrSpace::Trusted:
      return caller.is_administrator();
    default:
      return false;
  }
}

}  // namespace fileserver::access
