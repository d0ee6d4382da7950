#pragma once

// What the registry says of a volume: names, policy, place in the tree. Never changed in place: a
// change replaces the whole entry, so whoever holds one sees one moment.

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/ids.hpp"
#include "common/ticket/principal.hpp"
#include "fileserver/store/types.hpp"

namespace fileserver {

using common::Fid;
using common::NodeId;
using common::VolumeId;
using common::ticket::PrincipalId;

// What a store does whose base is not the present version any more.
enum class WriteConflict : std::uint8_t { LastWins = 0, Refuse = 1 };
// What a close waits for.
enum class CloseLevel : std::uint8_t { Committed = 0, Stable = 1 };

inline constexpr std::size_t kMaxVolumeName = 64;
// Ids are part of inode numbers: 24 bits.
inline constexpr std::uint32_t kHighestVolume = (1U << 24) - 1;
inline constexpr std::size_t kMaxPolicyPrincipals = 64;

struct VolumePolicy {
  WriteConflict write_conflict = WriteConflict::LastWins;
  CloseLevel close_level = CloseLevel::Committed;
  // Hosts that may speak for their local users here; ascending.
  std::vector<PrincipalId> trusted_hosts;
  // Users and groups that may do everything here; ascending.
  std::vector<PrincipalId> administrators;
  friend bool operator==(const VolumePolicy&, const VolumePolicy&) = default;
};

struct VolumeEntry {
  VolumeId id;
  std::string name;  // unique, 1-64 of a-z A-Z 0-9 . _ -
  store::VolumeUuid uuid{};
  bool is_root = false;  // of the cell's tree; at most one
  bool sealed = false;
  VolumePolicy policy;
  // The directory (of another volume) on which this one lies.
  std::optional<Fid> attached_at;
  // Directories of this volume on which others lie.
  std::unordered_map<NodeId, VolumeId> attachments;
};
using VolumeEntryPtr = std::shared_ptr<const VolumeEntry>;

// 1-64 letters, digits, '.', '_' and '-', not beginning with '.' or '-': InvalidArgument.
[[nodiscard]] common::Status check_volume_name(std::string_view name);

}  // namespace fileserver
