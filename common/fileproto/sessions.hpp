#pragma once

// Who is calling and for whom: opening, joining and closing sessions, their proofs, and what every
// call may say of its caller (PROTOCOL.md 1 and 5).

#include <array>
#include <chrono>
#include <optional>
#include <variant>
#include <vector>

#include "common/fileproto/node.hpp"

namespace common::fileproto {

// Random with a first bit of 0, kept in a mount's cache directory. In JSON 32 hex digits.
using MountId = std::array<std::byte, 16>;
using SessionKey = std::array<std::byte, 32>;
using Proof = std::array<std::byte, 32>;

// A local user whom a host speaks for.
struct LocalUser {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> groups;  // at most kMaxLocalGroups
  friend bool operator==(const LocalUser&, const LocalUser&) = default;
};
// A local user without a ticket.
struct AnyUser {
  friend bool operator==(const AnyUser&, const AnyUser&) = default;
};
// For whom a call is made: the ticket's principal, or one of these.
using Speaker = std::variant<std::monostate, AnyUser, LocalUser>;

// --- messages ---

struct Resume {
  SessionId session;
  Proof proof{};  // kResumeLabel
  friend bool operator==(const Resume&, const Resume&) = default;
};
struct SessionOpenArgs {
  MountId mount{};
  std::optional<Resume> resume;
  friend bool operator==(const SessionOpenArgs&, const SessionOpenArgs&) = default;
};
// What a mount must compare its changes with that are not known to be stable. JSON: a triple.
struct VolumeProgress {
  VolumeId volume;
  Epoch epoch;
  Seq stable;
  friend bool operator==(const VolumeProgress&, const VolumeProgress&) = default;
};
struct SessionOpenResult {
  SessionId session;
  SessionKey key{};  // whoever keeps it wipes it
  std::chrono::milliseconds lease{0};
  std::chrono::milliseconds margin{0};
  std::uint16_t stream_port = 0;        // of this server, at the address of its calls
  std::vector<VolumeProgress> volumes;  // of a resume: those that the session has used
  friend bool operator==(const SessionOpenResult&, const SessionOpenResult&) = default;
};

struct SessionJoinArgs {
  SessionId session;
  Proof proof{};  // kJoinLabel
  friend bool operator==(const SessionJoinArgs&, const SessionJoinArgs&) = default;
};
struct SessionCloseArgs {
  SessionId session;
  friend bool operator==(const SessionCloseArgs&, const SessionCloseArgs&) = default;
};
// Of calls that answer nothing but that they were done.
struct Done {
  friend bool operator==(const Done&, const Done&) = default;
};

// --- proofs ---

inline constexpr std::string_view kJoinLabel = "troth join 1";
inline constexpr std::string_view kResumeLabel = "troth resume 1";
inline constexpr std::string_view kStreamLabel = "troth stream 1";
inline constexpr std::string_view kServerLabel = "troth server 1";

// HMAC-SHA-256(key, label || binding || name): the connection's exporter value, and its caller's
// name (of a stream: the opener's).
[[nodiscard]] Result<Proof> session_proof(ByteView key, std::string_view label, ByteView binding,
                                          std::string_view name);
// Takes the same time wherever they differ.
[[nodiscard]] bool is_session_proof(ByteView key, std::string_view label, ByteView binding,
                                    std::string_view name, const Proof& proof);

// What a stream's Hello carries. Binary: u64 session, 32 bytes proof (kStreamLabel).
struct StreamCredential {
  SessionId session;
  Proof proof{};
  friend bool operator==(const StreamCredential&, const StreamCredential&) = default;
};
[[nodiscard]] Bytes encode_stream_credential(const StreamCredential& credential);
[[nodiscard]] Result<StreamCredential> decode_stream_credential(ByteView bytes);

}  // namespace common::fileproto
