#pragma once

// What both sides say of nodes: attributes, access lists, errors in the place of attributes.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/bytes.hpp"
#include "common/fileproto/limits.hpp"
#include "common/ids.hpp"
#include "common/result.hpp"

namespace common::fileproto {

// The value is the byte in packed attributes; in JSON a letter: f d l p s c b.
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

// Names a file's whole content (STORE.md 1). In JSON 64 hex digits.
using ContentName = std::array<std::byte, 32>;

struct Attributes {
  NodeId node;
  NodeKind kind = NodeKind::File;
  std::uint32_t mode = 0;  // 07777
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t links = 0;
  std::uint64_t size = 0;
  std::uint64_t allocated = 0;
  FileTime mtime = 0;
  FileTime ctime = 0;
  FileTime atime = 0;
  std::uint64_t device = 0;
  Seq version;
  Seq data_version;
  NodeId home;
  bool governed = false;  // an access list says who may
  bool granted = false;   // the session has a promise on it from this reply on
  bool has_xattrs = false;
  VolumeId attached;                   // 0: none
  std::optional<ContentName> content;  // not in the packed form
  friend bool operator==(const Attributes&, const Attributes&) = default;
};

// The packed form (PROTOCOL.md 4). Exact length; Protocol for anything the encoder would not write.
// Encoding drops `content`.
inline constexpr std::size_t kPackedAttributes = 103;
[[nodiscard]] std::array<std::byte, kPackedAttributes> pack(const Attributes& attributes);
[[nodiscard]] Result<Attributes> unpack(ByteView packed);

// Where a node was asked for that may not be had.
using AttributesOrError = Result<Attributes>;

struct NodeVersion {
  Fid fid;
  Seq version;
  friend bool operator==(const NodeVersion&, const NodeVersion&) = default;
};

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

// --- access lists ---

enum class AclWho : std::uint8_t { User = 1, Group = 2, Host = 3, AnyUser = 4, AuthUser = 5 };

// Bits of AclEntry::rights; in JSON letters in the order rlidwka.
namespace right {
inline constexpr std::uint8_t kRead = 1;         // r: read files
inline constexpr std::uint8_t kLookup = 2;       // l: list, look up, stat
inline constexpr std::uint8_t kInsert = 4;       // i: create, link into
inline constexpr std::uint8_t kDelete = 8;       // d: unlink, rename out of
inline constexpr std::uint8_t kWrite = 16;       // w: change files
inline constexpr std::uint8_t kLock = 32;        // k
inline constexpr std::uint8_t kAdminister = 64;  // a: lists, modes, owners, as an owner may
inline constexpr std::uint8_t kAll = 127;
}  // namespace right

struct AclEntry {
  AclWho who = AclWho::User;
  std::uint32_t id = 0;  // principal or group; 0 of AnyUser and AuthUser
  std::uint8_t rights = 0;
  bool denied = false;
  friend auto operator<=>(const AclEntry&, const AclEntry&) = default;
};
// At most kMaxAclEntries; an empty list lets nobody in but administrators.
using Acl = std::vector<AclEntry>;

// "rlidwka" and back; InvalidArgument for another letter, one twice, or another order.
[[nodiscard]] std::string rights_text(std::uint8_t rights);
[[nodiscard]] Result<std::uint8_t> rights_from_text(std::string_view text);

// 1-255 bytes without '/' and NUL, not "." or "..": InvalidArgument; a longer one is TooLarge with
// ENAMETOOLONG. Every decoder of this folder asks it of every name.
[[nodiscard]] Status check_file_name(std::string_view name);

}  // namespace common::fileproto
