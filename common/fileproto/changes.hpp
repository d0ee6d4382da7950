#pragma once

// Calls that change something: each alone, or many in one batch (PROTOCOL.md 3). A change is a
// plain struct; ChangeArgs adds what may be said with any of them. The operation id travels in the
// head of the call.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/fileproto/reads.hpp"

namespace common::fileproto {

// --- conditions ---
struct VersionIs {
  Fid fid;
  Seq version;
  friend bool operator==(const VersionIs&, const VersionIs&) = default;
};
struct DataVersionIs {
  Fid fid;
  Seq data_version;
  friend bool operator==(const DataVersionIs&, const DataVersionIs&) = default;
};
struct NameIs {
  Fid dir;
  std::string name;
  std::optional<NodeId> node;  // nullopt: nothing has this name
  friend bool operator==(const NameIs&, const NameIs&) = default;
};
// The lock server's sealed word for a range of the node has not been overtaken there.
struct TokenHolds {
  Fid fid;
  std::string token;
  friend bool operator==(const TokenHolds&, const TokenHolds&) = default;
};
using Condition = std::variant<VersionIs, DataVersionIs, NameIs, TokenHolds>;

// --- names ---

// What all new nodes have. `mode` is what the caller's umask has left of it.
struct NewNode {
  Fid dir;
  std::string name;
  std::uint32_t mode = 0;
  std::optional<NodeId> node;  // from a range of the mount's
  friend bool operator==(const NewNode&, const NewNode&) = default;
};
struct Create {
  NewNode made;                         // no name: nameless, as if in dir, while its handle is open
  std::optional<std::uint64_t> handle;  // it is opened for reading and writing at once
  std::uint64_t grow = 0;               // as of open
  std::uint64_t bytes = 0;              // of its content, which come along
  friend bool operator==(const Create&, const Create&) = default;
};
struct Mkdir {
  NewNode made;
  friend bool operator==(const Mkdir&, const Mkdir&) = default;
};
struct Mknod {
  NewNode made;
  NodeKind kind = NodeKind::Fifo;  // a fifo, a socket or a device
  std::uint64_t device = 0;
  friend bool operator==(const Mknod&, const Mknod&) = default;
};
struct Symlink {
  NewNode made;
  std::string target;  // 1 to kMaxTargetBytes, without NUL
  friend bool operator==(const Symlink&, const Symlink&) = default;
};
struct Link {
  Fid fid;
  Fid dir;
  std::string name;
  friend bool operator==(const Link&, const Link&) = default;
};
struct Unlink {
  Fid dir;
  std::string name;
  friend bool operator==(const Unlink&, const Unlink&) = default;
};
struct Rmdir {
  Fid dir;
  std::string name;
  friend bool operator==(const Rmdir&, const Rmdir&) = default;
};
enum class RenameMode : std::uint8_t { Replace = 0, NoReplace = 1, Exchange = 2 };
struct Rename {
  Fid dir;
  std::string name;
  Fid to;
  std::string to_name;
  RenameMode mode = RenameMode::Replace;
  friend bool operator==(const Rename&, const Rename&) = default;
};

// --- nodes ---

// A time to be set: a given one, or that of the commit.
struct SetTime {
  std::optional<FileTime> to;  // nullopt: now
  friend bool operator==(const SetTime&, const SetTime&) = default;
};
struct Setattr {
  Fid fid;
  std::optional<std::uint32_t> mode;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::optional<std::uint64_t> size;
  std::optional<SetTime> mtime;  // JSON: a number or "now"
  std::optional<SetTime> atime;
  friend bool operator==(const Setattr&, const Setattr&) = default;
};
enum class XattrMode : std::uint8_t { Any = 0, CreateOnly = 1, ReplaceOnly = 2 };
struct SetXattr {
  Fid fid;
  std::string name;
  std::string value;
  XattrMode mode = XattrMode::Any;
  friend bool operator==(const SetXattr&, const SetXattr&) = default;
};
struct RemoveXattr {
  Fid fid;
  std::string name;
  friend bool operator==(const RemoveXattr&, const RemoveXattr&) = default;
};
struct SetAcl {
  Fid fid;                 // a directory
  std::optional<Acl> acl;  // JSON: "entries"; nullopt: none, mode bits govern
  friend bool operator==(const SetAcl&, const SetAcl&) = default;
};

// --- bytes ---

// Bytes that replace those of the file: the next of the raw bytes, or a range of the staging.
struct Edit {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t from = 0;  // in the staging; JSON: only with one
  friend bool operator==(const Edit&, const Edit&) = default;
};
struct Store {
  Fid fid;
  std::optional<Seq> base;  // data version that the edits apply to; nullopt: they are all there is
  std::uint64_t size = 0;   // of the file afterwards
  std::optional<FileTime> mtime;  // nullopt: the commit's
  std::optional<FileTime> atime;
  std::vector<Edit> edits;
  std::vector<ByteRange> holes;  // become zeros, before the edits
  std::optional<NodeId> staging;
  std::optional<std::string> token;
  friend bool operator==(const Store&, const Store&) = default;
};
struct Append {
  Fid fid;
  std::uint64_t bytes = 0;  // which come along
  std::optional<std::string> token;
  friend bool operator==(const Append&, const Append&) = default;
};
enum class AllocateMode : std::uint8_t { Grow = 0, KeepSize = 1, Punch = 2, Zero = 3 };
struct Allocate {
  Fid fid;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  AllocateMode mode = AllocateMode::Grow;
  std::optional<std::string> token;
  friend bool operator==(const Allocate&, const Allocate&) = default;
};
struct CopyRange {
  Fid from;
  std::optional<Seq> version;
  std::uint64_t from_offset = 0;
  std::uint64_t length = 0;
  Fid to;
  std::uint64_t to_offset = 0;
  std::optional<std::string> token;
  friend bool operator==(const CopyRange&, const CopyRange&) = default;
};
struct Restore {
  Fid fid;
  Seq version;
  friend bool operator==(const Restore&, const Restore&) = default;
};

using Change =
    std::variant<Create, Mkdir, Mknod, Symlink, Link, Unlink, Rmdir, Rename, Setattr, SetXattr,
                 RemoveXattr, SetAcl, Store, Append, Allocate, CopyRange, Restore>;

// "create", "mkdir", ...: the operation's name, also in a batch ("op").
[[nodiscard]] std::string_view operation_name(const Change& change);
// Raw bytes that come along with a change.
[[nodiscard]] std::uint64_t raw_bytes(const Change& change);

// What may be said with any change. The fields stand among the call's own.
struct ChangeScope {
  Speaker as;
  std::optional<NodeId> via;
  std::optional<SessionId> session;   // JSON: "s"; must be the one that the connection has joined
  std::uint64_t seen = 0;             // the newest grant clock that the mount knew
  std::vector<Condition> conditions;  // JSON: "if"
  friend bool operator==(const ChangeScope&, const ChangeScope&) = default;
};

template <typename C>
struct ChangeArgs {
  ChangeScope scope;
  C change;
  friend bool operator==(const ChangeArgs&, const ChangeArgs&) = default;
};
using CreateArgs = ChangeArgs<Create>;
using MkdirArgs = ChangeArgs<Mkdir>;
using MknodArgs = ChangeArgs<Mknod>;
using SymlinkArgs = ChangeArgs<Symlink>;
using LinkArgs = ChangeArgs<Link>;
using UnlinkArgs = ChangeArgs<Unlink>;
using RmdirArgs = ChangeArgs<Rmdir>;
using RenameArgs = ChangeArgs<Rename>;
using SetattrArgs = ChangeArgs<Setattr>;
using SetXattrArgs = ChangeArgs<SetXattr>;
using RemoveXattrArgs = ChangeArgs<RemoveXattr>;
using SetAclArgs = ChangeArgs<SetAcl>;
using StoreArgs = ChangeArgs<Store>;
using AppendArgs = ChangeArgs<Append>;
using AllocateArgs = ChangeArgs<Allocate>;
using CopyRangeArgs = ChangeArgs<CopyRange>;
using RestoreArgs = ChangeArgs<Restore>;

// Raw bytes: those of its changes, in order. JSON: "do", each with "op".
struct BatchArgs {
  ChangeScope scope;
  std::vector<Change> changes;
  friend bool operator==(const BatchArgs&, const BatchArgs&) = default;
};

// What came of one change, where there is more to say than the nodes do.
struct ChangeOutcome {
  std::optional<NodeId> created;
  std::optional<Seq> lost;  // the version that was overwritten though it was not the base
  std::optional<std::uint64_t> offset;  // where appended bytes landed
  std::optional<std::uint64_t> length;  // how much was copied
  friend bool operator==(const ChangeOutcome&, const ChangeOutcome&) = default;
};
// By `was` a mount knows whether it may patch what it holds. JSON: among the attributes, a pair.
struct Was {
  Seq version;
  Seq data_version;
  friend bool operator==(const Was&, const Was&) = default;
};
struct TouchedNode {
  Attributes node;
  std::optional<Was> was;  // nullopt: it was made, or the answer is from the record
  friend bool operator==(const TouchedNode&, const TouchedNode&) = default;
};
// Of every change. JSON: "done" is left out where no change has more to say.
struct ChangeResult {
  VolumeState state;
  Seq seq;
  bool replayed = false;                // answered from the record; grants nothing
  std::vector<TouchedNode> nodes;       // that were touched, are there and may be seen
  std::vector<NodeId> gone;             // that are not there any more
  std::vector<ChangeOutcome> outcomes;  // of each change
  friend bool operator==(const ChangeResult&, const ChangeResult&) = default;
};

// --- refusals ---

// What a code that may mean several things means: the detail of a failure.
enum class FailureWhy : std::uint8_t {
  Session,  // not joined, or over: resume or open another
  Id,       // the operation's number is forgotten
  IdUsed,   // the number stands for another operation
  Unmet,    // one of `if` does not hold
  Base,     // the store's base is not the present version
  Fence,    // the token has been overtaken
  Gone,     // the file has no name any more
  Past,     // that moment is not retained
};
struct FailureDetail {
  FailureWhy why = FailureWhy::Unmet;
  std::optional<std::uint32_t> condition;  // which of `if`, from 0
  std::optional<std::uint32_t> change;     // which of a batch, from 0
  std::optional<Attributes> node;          // as it is, if it is there and may be seen
  friend bool operator==(const FailureDetail&, const FailureDetail&) = default;
};
// The same failure with the detail in it.
[[nodiscard]] Error with_detail(Error error, const FailureDetail& detail);
// nullopt: the failure has none, or none that is known here.
[[nodiscard]] std::optional<FailureDetail> detail_of(const Error& error);

}  // namespace common::fileproto
