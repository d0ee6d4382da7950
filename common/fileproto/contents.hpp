#pragma once

// Calls about files' bytes that change no file: opening, fetching, staging, and what a session
// holds. Which raw bytes travel beside a head is said at each message; frames.hpp has their form.

#include <optional>
#include <string>
#include <vector>

#include "common/fileproto/reads.hpp"

namespace common::fileproto {

// The mount's own number of an open file.
using Handle = std::uint64_t;

// Pins the version, keeps what the caller was allowed, raises the reservation. Appending needs
// `write` too.
struct OpenArgs {
  Scope scope;
  Fid fid;
  Handle handle = 0;
  bool read = true;  // JSON: left out means true
  bool write = false;
  bool append = false;
  bool execute = false;    // a program's file: judged by x instead of r
  std::uint64_t grow = 0;  // by how many bytes the mount may want to grow it
  friend bool operator==(const OpenArgs&, const OpenArgs&) = default;
};
struct OpenResult {
  VolumeState state;
  Attributes node;             // with its content name
  std::uint64_t reserved = 0;  // bytes of the session that are unspent
  friend bool operator==(const OpenResult&, const OpenResult&) = default;
};

// Handles that are still open after a resume. JSON: [handle, fid, version, write].
struct OpenHandle {
  Handle handle = 0;
  Fid fid;
  Seq version;
  bool write = false;
  friend bool operator==(const OpenHandle&, const OpenHandle&) = default;
};
struct ReopenArgs {
  Scope scope;
  std::vector<OpenHandle> handles;  // may be none if there is a rest
  // Of this volume nothing else is open any more: what the session has pinned there besides since
  // before the server started goes, unless one of the handles is lost.
  std::optional<VolumeId> rest;
  friend bool operator==(const ReopenArgs&, const ReopenArgs&) = default;
};
// Those that could not be had again. JSON: [handle, code, message].
struct LostHandle {
  Handle handle = 0;
  ErrorCode code = ErrorCode::Stale;
  std::string message;
  friend bool operator==(const LostHandle&, const LostHandle&) = default;
};
struct ReopenResult {
  VolumeState state;
  std::vector<LostHandle> lost;
  friend bool operator==(const ReopenResult&, const ReopenResult&) = default;
};
struct ReleaseArgs {
  Scope scope;
  VolumeId volume;
  std::vector<Handle> handles;
  friend bool operator==(const ReleaseArgs&, const ReleaseArgs&) = default;
};

struct FetchArgs {
  Scope scope;
  Fid fid;
  std::optional<Seq> version;  // nullopt: the present one
  std::optional<Seq> since;    // only what differs from that version
  bool map = false;            // ranges only, no bytes
  std::vector<ByteRange> ranges;
  friend bool operator==(const FetchArgs&, const FetchArgs&) = default;
};
// Raw bytes (without `map`): those of `ranges`, one after the other. What was asked for and is in
// none of them is hole, beyond the end or, with `since`, as it was there.
struct FetchResult {
  VolumeState state;
  Attributes node;  // of the version
  std::vector<ByteRange> ranges;
  friend bool operator==(const FetchResult&, const FetchResult&) = default;
  [[nodiscard]] std::uint64_t raw_bytes() const;
};

// Small files whole, as far as they fit; the versions are the data versions that the caller
// has (0: none).
struct BulkArgs {
  Scope scope;
  std::vector<NodeVersion> nodes;
  friend bool operator==(const BulkArgs&, const BulkArgs&) = default;
};
// Raw bytes: `count` frames (frames.hpp), of the first nodes asked for.
struct BulkResult {
  VolumeState state;
  std::uint32_t count = 0;
  friend bool operator==(const BulkResult&, const BulkResult&) = default;
};

// --- stagings: nameless nodes, kept for a mount ---
struct StageOpenArgs {
  Scope scope;
  VolumeId volume;
  std::optional<NodeId> node;  // for the staging, from the mount's ranges
  std::optional<Fid> target;   // JSON: "for": the file that it is for, if there is one
  std::uint64_t size = 0;
  friend bool operator==(const StageOpenArgs&, const StageOpenArgs&) = default;
};
// Raw bytes: the piece, at most kMaxStagePieceBytes.
struct StageWriteArgs {
  Scope scope;
  Fid staging;
  std::uint64_t offset = 0;
  ContentName hash{};  // of the piece: block_names.hpp
  friend bool operator==(const StageWriteArgs&, const StageWriteArgs&) = default;
};
struct StageStateArgs {
  Scope scope;
  Fid staging;
  std::uint64_t after = 0;  // ranges that end above this offset
  friend bool operator==(const StageStateArgs&, const StageStateArgs&) = default;
};
// Of all three.
struct StageResult {
  VolumeState state;
  Fid staging;
  std::uint64_t size = 0;
  std::vector<ByteRange> ranges;      // that are there: ascending, not touching
  std::optional<std::uint64_t> next;  // for `after`; nullopt: those were all
  friend bool operator==(const StageResult&, const StageResult&) = default;
};
struct StageDropArgs {
  Scope scope;
  Fid staging;
  friend bool operator==(const StageDropArgs&, const StageDropArgs&) = default;
};

// --- what a session holds ---

// Raises what is unspent to at least this; `lower`: brings it down to at most this.
struct ReserveArgs {
  Scope scope;
  VolumeId volume;
  std::uint64_t nodes = 0;
  std::uint64_t bytes = 0;
  bool lower = false;
  friend bool operator==(const ReserveArgs&, const ReserveArgs&) = default;
};
// What is unspent.
struct ReserveResult {
  VolumeState state;
  std::uint64_t nodes = 0;
  std::uint64_t bytes = 0;
  friend bool operator==(const ReserveResult&, const ReserveResult&) = default;
};
struct NodeIdsArgs {
  Scope scope;
  VolumeId volume;
  std::uint64_t count = 0;
  friend bool operator==(const NodeIdsArgs&, const NodeIdsArgs&) = default;
};
struct NodeIdsResult {
  VolumeState state;
  NodeId first;
  std::uint64_t count = 0;
  friend bool operator==(const NodeIdsResult&, const NodeIdsResult&) = default;
};

// Answers when that is stable; Stale if the volume's epoch is another.
struct FsyncArgs {
  Scope scope;
  VolumeId volume;
  Epoch epoch;
  Seq seq;
  friend bool operator==(const FsyncArgs&, const FsyncArgs&) = default;
};
struct FsyncResult {
  VolumeState state;
  friend bool operator==(const FsyncResult&, const FsyncResult&) = default;
};

// Raises the floor of the token's range; the answer comes when that is stable.
struct FenceArgs {
  Scope scope;
  Fid fid;
  std::string token;  // the lock server's sealed word
  friend bool operator==(const FenceArgs&, const FenceArgs&) = default;
};
struct FenceResult {
  VolumeState state;
  Attributes node;
  friend bool operator==(const FenceResult&, const FenceResult&) = default;
};

// --- volumes in pieces, for administrators ---

// Opaque; empty: from the beginning. Raw bytes of the answer: the piece.
struct DumpArgs {
  Scope scope;
  VolumeId volume;
  Seq from;               // 0: whole
  std::optional<Seq> to;  // nullopt: the newest
  std::string cursor;
  friend bool operator==(const DumpArgs&, const DumpArgs&) = default;
};
// A dump in pieces, each behind the one whose answer gave the cursor; an empty cursor begins.
enum class LoadThen : std::uint8_t {
  Serve = 0,   // it goes its own way from there: in an epoch of its own
  Follow = 1,  // it takes further dumps, and no change of its own
};
// Raw bytes: the piece, at most kMaxLoadPieceBytes; with `end` the last, or none.
struct LoadArgs {
  std::optional<VolumeId> volume;   // a copy that follows, for a dump of commits
  std::optional<std::string> name;  // else: of the volume that a dump of a whole one becomes
  LoadThen then = LoadThen::Serve;
  bool end = false;
  std::string cursor;
  friend bool operator==(const LoadArgs&, const LoadArgs&) = default;
};
inline constexpr std::uint64_t kMaxLoadPieceBytes = 8 << 20;
// After the last piece the volume and the seq at which it stands; before, where to go on.
struct LoadResult {
  std::optional<std::string> cursor;
  std::optional<VolumeId> volume;
  std::optional<Seq> seq;
  friend bool operator==(const LoadResult&, const LoadResult&) = default;
};
struct CursorResult {
  VolumeState state;
  std::optional<std::string> cursor;  // where to go on; nullopt: that was all
  friend bool operator==(const CursorResult&, const CursorResult&) = default;
};
inline constexpr std::size_t kMaxCursorBytes = 512;

}  // namespace common::fileproto
