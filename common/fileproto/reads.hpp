#pragma once

// Calls that change nothing and move no file's bytes: arguments and results (PROTOCOL.md 3).

#include <optional>
#include <string>
#include <vector>

#include "common/fileproto/sessions.hpp"

namespace common::fileproto {

// What every call that reads a volume may say. The fields stand among the call's own.
struct Scope {
  Speaker as;
  std::optional<NodeId> via;  // the directory over which its nodes are reached, if not home (R7)
  std::optional<Seq> at;      // as things were; answered without grants
  friend bool operator==(const Scope&, const Scope&) = default;
};

// What every result about a volume begins with. `grants`: the session's grant clock, with results
// that grant. JSON: "e", "stable", "grants".
struct VolumeState {
  Epoch epoch;
  Seq stable;
  std::optional<std::uint64_t> grants;
  friend bool operator==(const VolumeState&, const VolumeState&) = default;
};

// --- volumes ---
struct VolumesArgs {
  Scope scope;
  friend bool operator==(const VolumesArgs&, const VolumesArgs&) = default;
};
namespace volume_flag {
inline constexpr std::uint32_t kRoot = 1;         // where paths of the cell begin
inline constexpr std::uint32_t kTrustsHosts = 2;  // some host may speak for its local users
inline constexpr std::uint32_t kReadOnly = 4;
}  // namespace volume_flag
struct VolumeEntry {
  VolumeId volume;
  std::array<std::byte, 16> uuid{};  // another one: another volume
  std::string name;
  NodeId root;
  std::uint32_t flags = 0;
  friend bool operator==(const VolumeEntry&, const VolumeEntry&) = default;
};
struct VolumesResult {
  std::vector<VolumeEntry> volumes;
  friend bool operator==(const VolumesResult&, const VolumesResult&) = default;
};

// --- names ---
struct LookupArgs {
  Scope scope;
  Fid dir;
  std::string name;
  friend bool operator==(const LookupArgs&, const LookupArgs&) = default;
};
struct LookupResult {
  VolumeState state;
  Attributes dir;
  std::optional<Attributes> node;  // nullopt: there is no such name
  friend bool operator==(const LookupResult&, const LookupResult&) = default;
};

struct WalkArgs {
  Scope scope;
  Fid from;
  std::vector<std::string> names;  // 1 to kMaxWalkNames
  friend bool operator==(const WalkArgs&, const WalkArgs&) = default;
};
// Ends early after a symbolic link or an attached volume, and before a name that is not there or
// not to be seen.
struct WalkResult {
  VolumeState state;
  Attributes from;
  std::vector<Attributes> steps;  // of each name
  friend bool operator==(const WalkResult&, const WalkResult&) = default;
};

struct GetattrArgs {
  Scope scope;
  std::vector<Fid> fids;  // of one volume, as in all lists of this folder
  friend bool operator==(const GetattrArgs&, const GetattrArgs&) = default;
};
struct GetattrResult {
  VolumeState state;
  std::vector<AttributesOrError> nodes;  // as asked
};

struct ListArgs {
  Scope scope;
  Fid dir;
  std::string after;  // empty: from the first
  std::uint32_t limit = kMaxListEntries;
  bool packed = false;
  friend bool operator==(const ListArgs&, const ListArgs&) = default;
};
struct ListEntry {
  std::string name;
  Attributes node;
  friend bool operator==(const ListEntry&, const ListEntry&) = default;
};
// Packed: the JSON has "count" instead of "entries", and the raw bytes are, for each, u8 length of
// the name, the name, packed attributes.
struct ListResult {
  VolumeState state;
  Attributes dir;
  std::vector<ListEntry> entries;   // in byte order of names
  std::optional<std::string> next;  // for `after`; nullopt: that was the last
  friend bool operator==(const ListResult&, const ListResult&) = default;
};

struct RevalidateArgs {
  Scope scope;
  std::vector<NodeVersion> nodes;
  friend bool operator==(const RevalidateArgs&, const RevalidateArgs&) = default;
};
// Of the nodes asked for: those that differ or cannot be promised now, and those that are gone or
// not to be seen. The rest is as it was, and granted.
struct RevalidateResult {
  VolumeState state;
  std::vector<Attributes> changed;
  std::vector<NodeId> gone;
  friend bool operator==(const RevalidateResult&, const RevalidateResult&) = default;
};

// --- of one node ---
struct ReadlinkArgs {
  Scope scope;
  Fid fid;
  friend bool operator==(const ReadlinkArgs&, const ReadlinkArgs&) = default;
};
struct ReadlinkResult {
  VolumeState state;
  Attributes node;
  std::string target;
  friend bool operator==(const ReadlinkResult&, const ReadlinkResult&) = default;
};

struct XattrArgs {
  Scope scope;
  Fid fid;
  std::string name;
  friend bool operator==(const XattrArgs&, const XattrArgs&) = default;
};
struct XattrResult {
  VolumeState state;
  Attributes node;
  std::string value;
  friend bool operator==(const XattrResult&, const XattrResult&) = default;
};
struct XattrsArgs {
  Scope scope;
  Fid fid;
  friend bool operator==(const XattrsArgs&, const XattrsArgs&) = default;
};
struct XattrsResult {
  VolumeState state;
  Attributes node;
  std::vector<std::string> names;
  friend bool operator==(const XattrsResult&, const XattrsResult&) = default;
};

struct AclArgs {
  Scope scope;
  Fid fid;
  friend bool operator==(const AclArgs&, const AclArgs&) = default;
};
struct AclResult {
  VolumeState state;
  Attributes node;
  NodeId governor;         // the directory whose list or lack of one governs the node
  std::optional<Acl> acl;  // nullopt: mode bits govern
  friend bool operator==(const AclResult&, const AclResult&) = default;
};

// What this caller may do with a node: for access(2), and for mounts that decide what a kernel may
// keep. JSON of the bits: letters in the order rwx.
namespace permission {
inline constexpr std::uint8_t kExecute = 1;  // of a directory: search
inline constexpr std::uint8_t kWrite = 2;
inline constexpr std::uint8_t kRead = 4;
}  // namespace permission
struct AccessArgs {
  Scope scope;
  Fid fid;
  friend bool operator==(const AccessArgs&, const AccessArgs&) = default;
};
struct AccessResult {
  VolumeState state;
  Attributes node;
  std::uint8_t allowed = 0;    // permission bits of this caller
  std::uint8_t everybody = 0;  // those that every caller has
  std::uint8_t rights = 0;     // of the list that governs; 0 where none does
  friend bool operator==(const AccessResult&, const AccessResult&) = default;
};

// --- of a volume ---
struct HistoryArgs {
  Scope scope;
  Fid fid;
  std::uint32_t limit = kMaxHistory;
  friend bool operator==(const HistoryArgs&, const HistoryArgs&) = default;
};
struct HistoryEntry {
  Attributes node;
  std::optional<Seq> until;  // nullopt: the present one
  friend bool operator==(const HistoryEntry&, const HistoryEntry&) = default;
};
struct HistoryResult {
  VolumeState state;
  std::vector<HistoryEntry> versions;  // newest first
  friend bool operator==(const HistoryResult&, const HistoryResult&) = default;
};

// The seq of a moment.
struct SeqAtArgs {
  Scope scope;
  VolumeId volume;
  FileTime time = 0;
  friend bool operator==(const SeqAtArgs&, const SeqAtArgs&) = default;
};
struct SeqAtResult {
  VolumeState state;
  Seq seq;
  friend bool operator==(const SeqAtResult&, const SeqAtResult&) = default;
};

// For administrators.
struct ChangesSinceArgs {
  Scope scope;
  VolumeId volume;
  Seq seq;
  std::uint32_t limit = kMaxRecords;
  friend bool operator==(const ChangesSinceArgs&, const ChangesSinceArgs&) = default;
};
// The raw bytes are the records, each behind its u32 length (frames.hpp).
struct ChangesSinceResult {
  VolumeState state;
  Seq last;                 // of the records that come along; the seq asked for if there is none
  Seq head;                 // the volume's newest
  std::uint32_t count = 0;  // records
  friend bool operator==(const ChangesSinceResult&, const ChangesSinceResult&) = default;
};

struct StatfsArgs {
  Scope scope;
  VolumeId volume;
  friend bool operator==(const StatfsArgs&, const StatfsArgs&) = default;
};
// Bytes and nodes: in all, free, and free for this caller's session (less others' reservations).
struct StatfsResult {
  VolumeState state;
  std::uint64_t bytes = 0;
  std::uint64_t bytes_free = 0;
  std::uint64_t bytes_available = 0;
  std::uint64_t nodes = 0;
  std::uint64_t nodes_free = 0;
  friend bool operator==(const StatfsResult&, const StatfsResult&) = default;
};

// For the lock server: a sealed word that this caller may lock the file.
struct LockPermitArgs {
  Scope scope;
  Fid fid;
  friend bool operator==(const LockPermitArgs&, const LockPermitArgs&) = default;
};
struct LockPermitResult {
  VolumeState state;
  std::string permit;  // at most kMaxTokenBytes
  friend bool operator==(const LockPermitResult&, const LockPermitResult&) = default;
};

struct WhynotArgs {
  Scope scope;
  std::string operation;  // as it is called; or read, write, execute, search
  Fid fid;                // a node, or with `name` the directory
  std::optional<std::string> name;
  friend bool operator==(const WhynotArgs&, const WhynotArgs&) = default;
};
struct WhynotResult {
  bool allowed = false;
  std::string rule;      // one sentence
  int error_number = 0;  // of a refusal, by its name
  friend bool operator==(const WhynotResult&, const WhynotResult&) = default;
};

}  // namespace common::fileproto
