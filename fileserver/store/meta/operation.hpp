#pragma once

// What one commit may do: a list of these. The same types say what a caller asks and what a record
// keeps; fields marked "store" are filled in by the store when they are left empty, so that redoing
// the recorded form makes no choice.

#include <span>
#include <string>
#include <variant>
#include <vector>

#include "fileserver/store/types.hpp"

namespace fileserver::store {

// A new node and its first name. Files may come with content; a symlink's target is the tail of its
// content. AlreadyExists, NotFound (no such directory), InvalidArgument (a bad name). With neither
// parent nor name: a node without a name (an orphan), which Link gives its first one.
struct Create {
  NodeId parent;
  std::string name;
  NodeKind kind = NodeKind::File;
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t device = 0;
  Content content;
  NodeId node;  // store, unless the caller has one from a granted range (R29)
  friend bool operator==(const Create&, const Create&) = default;
};

// The whole new content of a file, made by the functions of blocks/content_tree.hpp from the
// content at `base`. Conflict if that is no longer the file's data version.
struct SetContent {
  NodeId node;
  Content content;
  std::optional<Seq> base;  // not recorded
  friend bool operator==(const SetContent&, const SetContent&) = default;
};

// Bytes after the end, computed in the transaction: for small appends, which then never conflict.
// Recorded as SetContent. Conflict if they do not fit into the tail: fold it (append_content).
struct AppendTail {
  NodeId node;
  Bytes bytes;
  friend bool operator==(const AppendTail&, const AppendTail&) = default;
};

// What is set replaces the old value. Not the size: that is SetContent.
struct SetAttributes {
  NodeId node;
  std::optional<std::uint32_t> mode;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::optional<FileTime> mtime;
  std::optional<FileTime> atime;
  bool mtime_now = false;  // the commit's own time, recorded as such
  bool atime_now = false;
  friend bool operator==(const SetAttributes&, const SetAttributes&) = default;
};

struct Link {  // not of directories
  NodeId node;
  NodeId parent;
  std::string name;
  friend bool operator==(const Link&, const Link&) = default;
};

// A name of anything but a directory.
struct Unlink {
  NodeId parent;
  std::string name;
  bool keep_orphan = false;  // store: the last name went while the node is pinned
  friend bool operator==(const Unlink&, const Unlink&) = default;
};

struct RemoveDirectory {  // an empty one
  NodeId parent;
  std::string name;
  friend bool operator==(const RemoveDirectory&, const RemoveDirectory&) = default;
};

enum class RenameMode : std::uint8_t { Replace = 0, NoReplace = 1, Exchange = 2 };

struct Rename {
  NodeId from_parent;
  std::string from_name;
  NodeId to_parent;
  std::string to_name;
  RenameMode mode = RenameMode::Replace;
  bool keep_orphan = false;  // store: what was replaced is pinned
  friend bool operator==(const Rename&, const Rename&) = default;
};

enum class XattrMode : std::uint8_t { Any = 0, CreateOnly = 1, ReplaceOnly = 2 };

struct SetXattr {
  NodeId node;
  std::string name;
  Bytes value;
  XattrMode mode = XattrMode::Any;  // recorded as Any
  friend bool operator==(const SetXattr&, const SetXattr&) = default;
};

struct RemoveXattr {
  NodeId node;
  std::string name;
  friend bool operator==(const RemoveXattr&, const RemoveXattr&) = default;
};

// Ends a node that has no name any more.
struct Reap {
  NodeId node;
  friend bool operator==(const Reap&, const Reap&) = default;
};

// kQuotaBytes, kQuotaNodes and whatever else belongs to the volume; an empty value removes it.
struct SetSetting {
  std::string key;
  Bytes value;
  friend bool operator==(const SetSetting&, const SetSetting&) = default;
};
inline constexpr std::string_view kQuotaBytes = "quota.bytes";  // value: u64; absent: no limit
inline constexpr std::string_view kQuotaNodes = "quota.nodes";

// The state before this commit stays readable under a name.
struct CreateSnapshot {
  std::string name;
  Seq seq;  // store
  friend bool operator==(const CreateSnapshot&, const CreateSnapshot&) = default;
};
struct DeleteSnapshot {
  std::string name;
  friend bool operator==(const DeleteSnapshot&, const DeleteSnapshot&) = default;
};

// From now on a store to any byte of [first, last] of the node needs at least this token (R1, R2).
struct RaiseFence {
  NodeId node;
  std::uint64_t first = 0;
  std::uint64_t last = 0;  // inclusive
  FencingToken token;
  friend bool operator==(const RaiseFence&, const RaiseFence&) = default;
};

// Made by the store itself: see STORE.md 5.
struct Reserve {
  Seq seq;
  NodeId node;
  friend bool operator==(const Reserve&, const Reserve&) = default;
};
struct BeginEpoch {
  Epoch epoch;
  friend bool operator==(const BeginEpoch&, const BeginEpoch&) = default;
};

using Operation = std::variant<Create, SetContent, AppendTail, SetAttributes, Link, Unlink,
                               RemoveDirectory, Rename, SetXattr, RemoveXattr, Reap, SetSetting,
                               CreateSnapshot, DeleteSnapshot, RaiseFence, Reserve, BeginEpoch>;

// Holds at the beginning of the transaction, or the commit fails with Conflict.
struct VersionIs {
  NodeId node;
  Seq version;
};
struct DataVersionIs {
  NodeId node;
  Seq data_version;
};
struct NameIs {
  NodeId parent;
  std::string name;
  std::optional<NodeId> node;  // nullopt: nothing has this name
};
// A token taken for [first, last] has not been overtaken there; Stale if it has.
struct NotFenced {
  NodeId node;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  FencingToken token;
};
// What was the node's content at `at` is still retained: a new content was made from it.
struct ContentRetained {
  NodeId node;
  Seq at;
  Seq data_version;
};
using Condition = std::variant<VersionIs, DataVersionIs, NameIs, NotFenced, ContentRetained>;

// 1-255 bytes, no '/', no NUL, not "." or "..": InvalidArgument, a longer one TooLarge.
[[nodiscard]] Status check_name(std::string_view name);

}  // namespace fileserver::store
