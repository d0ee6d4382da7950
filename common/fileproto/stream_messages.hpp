#pragma once

// The eight messages of a session's stream (PROTOCOL.md 2), binary. Each decodes from exactly the
// bytes that encode it; anything else is Protocol, and ends the stream.

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/fileproto/node.hpp"

namespace common::fileproto {

// As common/stream carries it at most.
inline constexpr std::size_t kMaxStreamMessage = 16 * 1024;

// The first message: that it is the server who knows the session's key (sessions.hpp).
struct ServerProof {
  std::array<std::byte, 32> proof{};
  friend bool operator==(const ServerProof&, const ServerProof&) = default;
};

// Bits of BrokenNode::what: what is about to change. A hint only, the whole promise is withdrawn.
namespace broken {
inline constexpr std::uint8_t kBytes = 1;
inline constexpr std::uint8_t kAttributes = 2;
inline constexpr std::uint8_t kEntries = 4;
inline constexpr std::uint8_t kList = 8;
inline constexpr std::uint8_t kGone = 16;
inline constexpr std::uint8_t kAll = 31;
}  // namespace broken

struct BrokenNode {
  Fid fid;
  std::uint8_t what = 0;  // at least one
  friend bool operator==(const BrokenNode&, const BrokenNode&) = default;
};
struct Break {
  std::uint64_t number = 0;  // from 1
  std::uint64_t grant_clock = 0;
  std::vector<BrokenNode> nodes;  // at most kMaxBreakNodes; none: everything
  friend bool operator==(const Break&, const Break&) = default;
};
inline constexpr std::size_t kMaxBreakNodes = 1'250;  // 16,269 bytes

struct Acknowledge {
  std::uint64_t number = 0;
  friend bool operator==(const Acknowledge&, const Acknowledge&) = default;
};

struct Flushing {
  std::uint64_t number = 0;
  std::chrono::milliseconds more{0};  // at most kMaxFlushing
  friend bool operator==(const Flushing&, const Flushing&) = default;
};
inline constexpr std::chrono::milliseconds kMaxFlushing{60'000};

// What has become of a directory's one entry.
struct EntryChange {
  std::string name;
  NodeId child;  // 0: the name is gone
  friend bool operator==(const EntryChange&, const EntryChange&) = default;
};
struct UpdatedNode {
  NodeId node;
  Seq old_version;
  bool granted = false;
  bool gone = false;
  std::optional<Attributes> attributes;  // of this node
  std::optional<EntryChange> entry;
  friend bool operator==(const UpdatedNode&, const UpdatedNode&) = default;
};
struct Update {
  std::uint64_t grant_clock = 0;
  VolumeId volume;
  Epoch epoch;
  Seq seq;
  std::vector<UpdatedNode> nodes;  // at least one
  friend bool operator==(const Update&, const Update&) = default;
};

struct Stable {
  VolumeId volume;
  Epoch epoch;
  Seq seq;
  friend bool operator==(const Stable&, const Stable&) = default;
};

enum class EndedWhy : std::uint8_t { Replaced = 1, Lease = 2, VolumeDeleted = 3, Revoked = 4 };
struct Ended {
  EndedWhy why = EndedWhy::Lease;
  VolumeId volume;  // 0: the session as a whole
  friend bool operator==(const Ended&, const Ended&) = default;
};

struct GiveBack {
  VolumeId volume;
  std::uint64_t bytes = 0;
  friend bool operator==(const GiveBack&, const GiveBack&) = default;
};

using ServerMessage = std::variant<ServerProof, Break, Update, Stable, Ended, GiveBack>;
using MountMessage = std::variant<Acknowledge, Flushing>;

// InvalidArgument where the decoder would refuse it (a cap, a length).
[[nodiscard]] Result<Bytes> encode_message(const ServerMessage& message);
[[nodiscard]] Result<Bytes> encode_message(const MountMessage& message);
// What a mount takes from its server, and the other way round: the other's messages are refused.
[[nodiscard]] Result<ServerMessage> decode_server_message(ByteView bytes);
[[nodiscard]] Result<MountMessage> decode_mount_message(ByteView bytes);

// The same update in as few messages as fit, in order of its nodes; each is an Update of its own.
[[nodiscard]] std::vector<Update> split(Update update);

}  // namespace common::fileproto
