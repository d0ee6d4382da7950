#pragma once

// One mount known to this server.

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/crypto/secret.hpp"
#include "common/ids.hpp"
#include "common/sync/locked.hpp"
#include "common/ticket/principal.hpp"
#include "fileserver/store/types.hpp"

namespace fileserver {

// Whose an open file is: a principal's own, or theirs for whom he said that he spoke. What one of
// them was allowed is no other's.
struct HandleOwner {
  enum class Kind : std::uint8_t { Principal, LocalUser, Anybody };
  common::ticket::PrincipalId principal;
  Kind kind = Kind::Principal;
  std::uint32_t uid = 0;  // of the local user
  friend bool operator==(const HandleOwner&, const HandleOwner&) = default;
};

// An open file: its version is pinned, and what its owner was allowed stays allowed to him.
struct OpenHandle {
  common::Fid fid;
  common::Seq version;  // that is pinned
  HandleOwner owner;
  bool read = false;
  bool write = false;
};
inline constexpr std::size_t kMaxHandles = 10'000;  // of a session

// Node ids that are a mount's to give, in one volume.
struct NodeRange {
  common::NodeId first;
  std::uint64_t count = 0;
  [[nodiscard]] bool has(common::NodeId node) const {
    return node >= first && node.value - first.value < count;
  }
};
inline constexpr std::size_t kMaxNodeRanges = 16;  // older ones are forgotten

// Who has joined a session beside its opener.
struct JoinedCallers {
  std::vector<common::ticket::PrincipalId> who;  // ascending
  bool more = false;                             // others, too, than are remembered
  void add(common::ticket::PrincipalId caller);
  [[nodiscard]] bool has_any(std::span<const common::ticket::PrincipalId> ascending) const;
};
// Users of one machine; of whoever comes later, nobody knows in which session he is.
inline constexpr std::size_t kMaxJoinedCallers = 1'024;

// Pins of a session in one volume that no handle stands for.
struct LoosePins {
  using Pin = std::pair<common::NodeId, common::Seq>;
  // Made in the server's life before, how often each: who reopens what it was made for takes it
  // over. As the volume said when it was asked first in this life, less what was taken.
  std::optional<std::map<Pin, std::uint64_t>> former;
  // Of handles that were released while the volume could not be had.
  std::vector<Pin> owed;
};

// Shared by the calls of its connections; constant but for what is atomic or locked.
struct FileSession {
  common::SessionId id;
  store::MountId mount;
  common::ticket::PrincipalId opener;
  std::string opener_name;
  std::shared_ptr<const common::crypto::Secret> key;  // 32 bytes; what connections are proved with
  bool is_former = false;                             // it began before this life of the server

  // It has ended: whatever comes is `stale`.
  std::atomic<bool> over{false};
  // The highest operation number that has arrived in this session: only what is at or below it can
  // be a retry of something that this life of the server has executed. Before the first, whatever
  // comes can be.
  std::atomic<std::uint64_t> highest_number{0};

  struct Held {
    std::unordered_map<std::uint64_t, OpenHandle> handles;
    std::map<common::VolumeId, std::vector<NodeRange>> ranges;  // as the registry has them
  };
  common::Locked<Held> held;
  common::Locked<JoinedCallers> callers;
  // Held while a volume says what it has: only opening and releasing wait for that.
  common::Locked<std::map<common::VolumeId, LoosePins>> loose;
};
using FileSessionPtr = std::shared_ptr<FileSession>;

}  // namespace fileserver
