#pragma once

// Words that all of the volume store shares: what a node is, what its content is, where a block
// lies. See ../STORE.md.

#include <sys/stat.h>

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/bytes.hpp"
#include "common/ids.hpp"
#include "common/result.hpp"

namespace fileserver::store {

using common::Bytes;
using common::ByteView;
using common::Epoch;
using common::FencingToken;
using common::NodeId;
using common::Result;
using common::Seq;
using common::SessionId;
using common::Status;

// --- limits (STORE.md, Bounds) ---

// 64 KiB would halve the cost of small edits and random reads and double the index; 1 MiB would
// stream 5 % faster. bench_store_blocks keeps the comparison.
inline constexpr std::uint64_t kBlockBytes = 128 * 1024;
inline constexpr std::uint64_t kFanOut = 256;
// Content up to this stays in the database: only one file needs a sync to make it stable.
inline constexpr std::uint64_t kMaxTail = 4096;
// What small appends gather behind a larger file's tree before they are folded into it. An append
// of 100 bytes writes 29 KiB in all with this, 31 with 4096 (a page for each row) and with 1280
// (folds).
inline constexpr std::uint64_t kMaxAppendedTail = 2048;
// Far above any disk; keeps offset arithmetic inside 64 bits.
inline constexpr std::uint64_t kMaxFileSize = std::uint64_t{1} << 62;
inline constexpr std::size_t kMaxName = 255;
inline constexpr std::size_t kMaxSymlink = 4095;
inline constexpr std::size_t kMaxXattrName = 255;
inline constexpr std::size_t kMaxXattrValue = 64 * 1024;
inline constexpr std::uint32_t kMaxLinks = 65'000;
// Directories one in another, below the root: ways are walked directory by directory. What is moved
// may take deeper ones with it, which nobody gets at before it is moved back.
inline constexpr std::uint32_t kMaxDepth = 10'000;
// Position of an operation in its commit is part of a content id.
inline constexpr std::size_t kMaxOperations = 4096;

// The volume's root directory, always.
inline constexpr NodeId kRootNode{1};

// --- blocks ---

enum class BlockKind : std::uint8_t { Data = 1, List = 2 };

// SHA-256 of (domain, kind, length, bytes). All zero: a hole, which is no block.
struct BlockName {
  std::array<std::byte, 32> bytes{};

  [[nodiscard]] bool is_hole() const { return *this == BlockName{}; }
  [[nodiscard]] ByteView view() const { return bytes; }
  friend auto operator<=>(const BlockName&, const BlockName&) = default;
};

// Where a block's record is.
struct Placement {
  std::uint32_t segment = 0;  // from 1
  std::uint32_t offset = 0;   // of the record, a multiple of 64
  std::uint32_t length = 0;   // of the payload as stored
  friend bool operator==(const Placement&, const Placement&) = default;
};

// A file's bytes. The tree under `root` covers [0, size - tail.size()); the rest is the tail.
struct Content {
  std::uint64_t size = 0;
  std::uint64_t allocated = 0;  // bytes that are not hole, as quota counts them
  BlockName root;               // a hole: nothing but zeros
  Bytes tail;

  [[nodiscard]] std::uint64_t tree_size() const { return size - tail.size(); }
  friend bool operator==(const Content&, const Content&) = default;
};

// --- nodes ---

enum class NodeKind : std::uint8_t {
  File = 1,
  Directory = 2,
  Symlink = 3,
  Fifo = 4,
  Socket = 5,
  CharacterDevice = 6,
  BlockDevice = 7,
};

// Nanoseconds since 1970 UTC; may be negative.
using FileTime = std::int64_t;

struct Attributes {
  NodeId node;
  NodeKind kind = NodeKind::File;
  std::uint32_t mode = 0;  // permission bits, set-id and sticky (07777)
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t links = 0;  // 0: unlinked, held open
  std::uint64_t size = 0;
  std::uint64_t allocated = 0;
  FileTime mtime = 0;
  FileTime ctime = 0;
  FileTime atime = 0;
  std::uint64_t device = 0;  // of device nodes
  Seq version;               // the last commit that changed it (a directory: or its entries)
  Seq data_version;          // the last commit that changed its content (a directory: its entries)
  NodeId home;  // a directory that has it; of a directory, its parent; of the root, itself
  friend bool operator==(const Attributes&, const Attributes&) = default;
};

// The id that a mount keeps in its cache directory.
struct MountId {
  std::array<std::byte, 16> bytes{};
  friend auto operator<=>(const MountId&, const MountId&) = default;
};

// Names an operation for ever (R4). Numbers of one mount grow.
struct OperationKey {
  MountId mount;
  std::uint64_t number = 0;  // from 1, below 2^63
  friend auto operator<=>(const OperationKey&, const OperationKey&) = default;
};

using VolumeUuid = std::array<std::byte, 16>;

}  // namespace fileserver::store

template <>
struct std::hash<fileserver::store::BlockName> {
  std::size_t operator()(const fileserver::store::BlockName& name) const noexcept {
    std::size_t value = 0;  // any eight bytes of a SHA-256 are a hash
    std::memcpy(&value, name.bytes.data(), sizeof value);
    return value;
  }
};
