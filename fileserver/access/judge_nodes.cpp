// Attributes, extended attributes, lists.

#include <cerrno>

#include "fileserver/access/judge.hpp"

namespace fileserver::access {
namespace {

bool carries_user_xattrs(const Attributes& node) {
  return node.kind == NodeKind::File || node.kind == NodeKind::Directory;
}

}  // namespace

// To another owner: administrators. To another group: who owns it, and is in it.
Result<Verdict> Judge::set_owner(const Attributes& node, const AttributeWish& wish) {
  const Caller& caller = context_.caller;
  TROTH_TRY(Verdict owner, owns(node));
  const bool gives_away = wish.uid && (*wish.uid != node.uid || !owner.allowed);
  const bool joins =
      wish.gid && !(owner.allowed && (*wish.gid == node.gid || caller.in_group(*wish.gid)));
  if (!gives_away && !joins)
    return owner;
  if (caller.is_administrator())
    return Verdict::allow(Rule::Administrator, node);
  if (gives_away)
    return Verdict::refuse(Rule::GiveAway, EPERM, node);
  return owner.allowed ? Verdict::refuse(Rule::ForeignGroup, EPERM, node) : owner;
}

Result<Verdict> Judge::set_times(const Attributes& node, const AttributeWish& wish) {
  TROTH_TRY(const Verdict owner, owns(node));
  if (owner.allowed && !owner.by_administration())
    return owner;
  if (wish.mtime == TimeWish::Now && wish.atime == TimeWish::Now) {
    TROTH_TRY(const Verdict writes,
              has(node.kind == NodeKind::Directory ? Need::Insert : Need::WriteFile, node));
    if (writes.allowed)
      return writes;
    return owner.allowed ? owner : Verdict::refuse(Rule::Times, EACCES, node);
  }
  return owner.allowed ? owner : Verdict::refuse(Rule::Times, EPERM, node);
}

Result<Verdict> Judge::set_attributes(const Attributes& node, const AttributeWish& wish) {
  TROTH_TRY(Verdict verdict, reach(node));
  const auto ask = [&](bool wanted, auto&& judgement) -> Result<bool> {
    if (!wanted || !verdict.allowed)
      return true;
    TROTH_TRY(const Verdict next, judgement());
    verdict = verdict.then(next);
    return true;
  };
  TROTH_TRY_VOID(ask(wish.size, [&] { return has(Need::WriteFile, node); }));
  TROTH_TRY_VOID(ask(wish.uid || wish.gid, [&] { return set_owner(node, wish); }));
  TROTH_TRY_VOID(ask(wish.mode.has_value(), [&] { return owns(node); }));
  const bool times = wish.mtime != TimeWish::None || wish.atime != TimeWish::None;
  TROTH_TRY_VOID(ask(times, [&] { return set_times(node, wish); }));
  return verdict;
}

Result<Verdict> Judge::get_xattr(const Attributes& node, std::string_view name) {
  TROTH_TRY(const Verdict verdict, reach(node));
  if (!verdict.allowed)
    return verdict;
  switch (xattr_space(name)) {
    case XattrSpace::User:
      if (!carries_user_xattrs(node))
        return Verdict::refuse(Rule::XattrKind, ENODATA, node);
      return has(node.kind == NodeKind::Directory ? Need::List : Need::ReadFile, node);
    case XattrSpace::Security:
      return verdict;
    case XattrSpace::Trusted:
      if (context_.caller.is_administrator())
        return Verdict::allow(Rule::Administrator, node);
      return Verdict::refuse(Rule::XattrSpace, ENODATA, node);
    case XattrSpace::Server:
      return Verdict::refuse(Rule::XattrServer, ENODATA, node);
    case XattrSpace::Unknown:
      break;
  }
  return Verdict::refuse(Rule::XattrUnknown, EOPNOTSUPP, node);
}

Result<Verdict> Judge::set_xattr(const Attributes& node, std::string_view name) {
  TROTH_TRY(const Verdict verdict, reach(node));
  if (!verdict.allowed)
    return verdict;
  switch (xattr_space(name)) {
    case XattrSpace::User: {
      if (!carries_user_xattrs(node))
        return Verdict::refuse(Rule::XattrKind, EPERM, node);
      const bool directory = node.kind == NodeKind::Directory;
      if (directory && (node.mode & kSticky) != 0) {
        TROTH_TRY(const Verdict owner, owns(node));
        if (!owner.allowed)
          return Verdict::refuse(Rule::XattrKind, EPERM, node);
      }
      return has(directory ? Need::Insert : Need::WriteFile, node);
    }
    case XattrSpace::Security:
    case XattrSpace::Trusted:
      if (context_.caller.is_administrator())
        return Verdict::allow(Rule::Administrator, node);
      return Verdict::refuse(Rule::XattrSpace, EPERM, node);
    case XattrSpace::Server:
      return Verdict::refuse(Rule::XattrServer, EPERM, node);
    case XattrSpace::Unknown:
      break;
  }
  return Verdict::refuse(Rule::XattrUnknown, EOPNOTSUPP, node);
}

Result<Verdict> Judge::set_list(const Attributes& directory) {
  TROTH_TRY(const Verdict verdict, reach(directory));
  if (!verdict.allowed)
    return verdict;
  return owns(directory);
}

std::uint32_t mode_after(const Caller& caller, const Attributes& node, const AttributeWish& wish) {
  const std::uint32_t gid = wish.gid.value_or(node.gid);
  if (wish.mode)
    return mode_after_chmod(caller, *wish.mode, gid);
  if (wish.uid || wish.gid)
    return mode_after_chown(caller, node);
  return wish.size ? mode_after_write(caller, node) : node.mode;
}

}  // namespace fileserver::access
