#pragma once

// What a judgement says: whether, by which rule, and how a mount reports it. Sentences are made
// only for those who are refused, and for `whynot`.

#include <cstdint>
#include <optional>
#include <string>

#include "common/fileproto/node.hpp"
#include "common/ids.hpp"
#include "fileserver/store/types.hpp"

namespace fileserver::access {

using common::NodeId;
using store::Attributes;

class Caller;

// What somebody may want of a node; which mode bit and which right of a list that takes.
enum class Need : std::uint8_t {
  ReadFile,     // r, r
  WriteFile,    // w, w
  ExecuteFile,  // x, r
  LockFile,     // (r or w), k
  List,         // of a directory from here on: r, l
  Search,       // x, l
  Insert,       // w, i
  Delete,       // w, d
  MoveItself,   // w, w: a directory whose parent changes
};

enum class Rule : std::uint8_t {
  Nothing,          // nothing needs to be asked
  ModeBits,         // of the caller's class: owner, group or others
  List,             // the list of the governing directory
  OwnerBits,        // of a file under a list: what the owner's bits lack nobody has
  OwnFile,          // its owner fetches and stores it whatever its bits say
  Administrator,    // nothing else would have allowed it
  Path,             // a directory on the way is closed
  TooDeep,          // more directories lie one in another than may
  Nameless,         // a node without a name, and no handle or staging of this caller's
  Sticky,           // of a sticky directory: the owners of the entry and of the directory only
  Owner,            // for the owner, or who has `a`
  GiveAway,         // chown: administrators
  ForeignGroup,     // chgrp: to one's own
  Device,           // administrators make devices
  LinkedDirectory,  // directories have one name
  LinkLists,        // `a` on both lists
  XattrSpace,       // of trusted. and security.: administrators
  XattrUnknown,     // system. and what has no namespace
  XattrServer,      // troth.
  XattrKind,        // user. stands on files and directories only
  Times,            // "now" by who may write, another time by the owner
  Then,             // what was refused is what held then (history)
};

struct Verdict {
  bool allowed = true;
  Rule rule = Rule::Nothing;
  int error_number = 0;  // of a refusal
  Need need = Need::Search;
  NodeId node;                                       // that the rule looked at
  std::optional<common::fileproto::AclEntry> entry;  // of the list: what granted or denied
  // Of the node and the list, for the sentence.
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;

  [[nodiscard]] static Verdict allow(Rule rule, const Attributes& node);
  [[nodiscard]] static Verdict refuse(Rule rule, int error_number, const Attributes& node);

  // Only administration allows it: for the access log.
  [[nodiscard]] bool by_administration() const { return allowed && rule == Rule::Administrator; }
  // Of two that must both hold, this one allowed: the next, unless it adds nothing to the fact that
  // administration was needed.
  [[nodiscard]] Verdict then(const Verdict& next) const {
    return next.allowed && by_administration() ? *this : next;
  }
};

// One sentence that names the rule, and what would help.
[[nodiscard]] std::string explain(const Verdict& verdict, const Caller& caller);

// Success, or the failure that the caller gets: with the errno and, unless it is NotFound, the
// sentence.
[[nodiscard]] common::Status enforce(const common::Result<Verdict>& verdict, const Caller& caller);

}  // namespace fileserver::access
