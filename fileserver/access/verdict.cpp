#include "fileserver/access/verdict.hpp"

#include <cerrno>

#include "fileserver/access/caller.hpp"

namespace fileserver::access {
namespace {

using common::fileproto::AclEntry;
using common::fileproto::AclWho;

std::string_view deed(Need need) {
  switch (need) {
    case Need::ReadFile:
      return "read";
    case Need::WriteFile:
      return "write";
    case Need::ExecuteFile:
      return "execute";
    case Need::LockFile:
      return "lock";
    case Need::List:
      return "list";
    case Need::Search:
      return "search";
    case Need::Insert:
      return "create in";
    case Need::Delete:
      return "remove from";
    case Need::MoveItself:
      return "move";
  }
  return "";
}

char letter(Need need) {
  switch (need) {
    case Need::ReadFile:
    case Need::ExecuteFile:
      return 'r';
    case Need::WriteFile:
    case Need::MoveItself:
      return 'w';
    case Need::LockFile:
      return 'k';
    case Need::List:
    case Need::Search:
      return 'l';
    case Need::Insert:
      return 'i';
    case Need::Delete:
      return 'd';
  }
  return '?';
}

std::string who(const AclEntry& entry) {
  switch (entry.who) {
    case AclWho::User:
      return fmt::format("user {}", entry.id);
    case AclWho::Group:
      return fmt::format("group {}", entry.id);
    case AclWho::Host:
      return fmt::format("host {}", entry.id);
    case AclWho::AnyUser:
      return "anyuser";
    case AclWho::AuthUser:
      return "authuser";
  }
  return "";
}

std::string_view class_of(const Verdict& verdict, const Caller& caller) {
  if (caller.uid() == verdict.uid)
    return "its owner";
  return caller.in_group(verdict.gid) ? "its group" : "others";
}

std::string mode_sentence(const Verdict& verdict, const Caller& caller) {
  return fmt::format("mode {:04o} of node {} (owner {}, group {}) {} {} {} it", verdict.mode,
                     verdict.node.value, verdict.uid, verdict.gid,
                     verdict.allowed ? "lets" : "does not let", class_of(verdict, caller),
                     deed(verdict.need));
}

std::string list_sentence(const Verdict& verdict) {
  const std::string list = fmt::format("the list of directory {}", verdict.node.value);
  if (!verdict.entry)
    return fmt::format("{} grants '{}' to nobody that you are", list, letter(verdict.need));
  return fmt::format("{} {} '{}' to {}", list, verdict.allowed ? "grants" : "denies",
                     letter(verdict.need), who(*verdict.entry));
}

std::string sentence(const Verdict& verdict, const Caller& caller) {
  switch (verdict.rule) {
    case Rule::Nothing:
      return "everybody who can get there may do this";
    case Rule::ModeBits:
      return mode_sentence(verdict, caller);
    case Rule::List:
      return list_sentence(verdict);
    case Rule::OwnerBits:
      return fmt::format("mode {:04o} of node {} does not let its owner {} it, and so nobody",
                         verdict.mode, verdict.node.value, deed(verdict.need));
    case Rule::OwnFile:
      return fmt::format("you own node {}, and opened it before its mode was what it is",
                         verdict.node.value);
    case Rule::Administrator:
      return "you are an administrator";
    case Rule::Path:
      return "there is no such node, or a directory on the way to it is closed to you";
    case Rule::TooDeep:
      return fmt::format("at most {} directories lie one in another", store::kMaxDepth);
    case Rule::Nameless:
      return "a node without a name is for who has it open or stages it";
    case Rule::Sticky:
      return fmt::format(
          "directory {} is sticky: only its owner {} and the owner of what is in it "
          "remove or rename that",
          verdict.node.value, verdict.uid);
    case Rule::Owner:
      return fmt::format("{} of node {} or who has 'a' in its list changes that",
                         fmt::format("only the owner {}", verdict.uid), verdict.node.value);
    case Rule::GiveAway:
      return fmt::format("only an administrator gives node {} another owner", verdict.node.value);
    case Rule::ForeignGroup:
      return fmt::format("node {} may be given only to a group that you are in",
                         verdict.node.value);
    case Rule::Device:
      return "only administrators make devices";
    case Rule::LinkedDirectory:
      return "a directory has one name";
    case Rule::LinkLists:
      return fmt::format("a link to a directory with another list needs 'a' in both; not in {}",
                         verdict.node.value);
    case Rule::XattrSpace:
      return "attributes of this namespace are for administrators";
    case Rule::XattrUnknown:
      return "no attributes of this namespace are kept here";
    case Rule::XattrServer:
      return "attributes of \"troth.\" are the server's own";
    case Rule::XattrKind:
      return "\"user.\" attributes are for files and directories, in a sticky one for its owner";
    case Rule::Times:
      return fmt::format(
          "who may write node {} sets its times to now; to another time only its owner {}",
          verdict.node.value, verdict.uid);
    case Rule::Then:
      return "it was closed to you then";
  }
  return {};
}

}  // namespace

Verdict Verdict::allow(Rule rule, const Attributes& node) {
  Verdict verdict;
  verdict.rule = rule;
  verdict.node = node.node;
  verdict.mode = node.mode;
  verdict.uid = node.uid;
  verdict.gid = node.gid;
  return verdict;
}

Verdict Verdict::refuse(Rule rule, int error_number, const Attributes& node) {
  Verdict verdict = allow(rule, node);
  verdict.allowed = false;
  verdict.error_number = error_number;
  return verdict;
}

std::string explain(const Verdict& verdict, const Caller& caller) {
  std::string text = sentence(verdict, caller);
  if (!verdict.allowed && caller.is_anonymous())
    text += "; you have no ticket: troth login";
  return text;
}

common::Status enforce(const common::Result<Verdict>& verdict, const Caller& caller) {
  if (!verdict)
    return tl::unexpected<common::Error>(verdict.error());
  if (verdict->allowed)
    return {};
  // Of what he may not know of nothing is said, not even why.
  if (verdict->error_number == ENOENT)
    return common::fail_posix(ENOENT, "there is no such node");
  return common::fail_posix(verdict->error_number, "{}", explain(*verdict, caller));
}

}  // namespace fileserver::access
