#pragma once

// Calls by which administrators make, show, change, place and delete volumes (PROTOCOL.md 3).

#include <optional>
#include <string>
#include <vector>

#include "common/fileproto/reads.hpp"

namespace common::fileproto {

inline constexpr std::size_t kMaxPolicyPrincipals = 64;

// What a store does whose base is not the present version; what a change waits for.
enum class WriteConflict : std::uint8_t { LastWins = 0, Refuse = 1 };
enum class CloseLevel : std::uint8_t { Committed = 0, Stable = 1 };

struct VolumePolicy {
  WriteConflict write_conflict = WriteConflict::LastWins;
  CloseLevel close_level = CloseLevel::Committed;
  std::vector<std::uint32_t> trusted_hosts;   // principals; ascending
  std::vector<std::uint32_t> administrators;  // users and groups; ascending
  friend bool operator==(const VolumePolicy&, const VolumePolicy&) = default;
};

struct VolumeCreateArgs {
  std::string name;
  bool root = false;    // where paths of the cell begin
  bool sealed = false;  // blocks are encrypted on the disk
  VolumePolicy policy;
  std::optional<std::uint64_t> quota_bytes;
  std::optional<std::uint64_t> quota_nodes;
  // Of its root directory; left out: root's, 0755.
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t mode = 0755;
  friend bool operator==(const VolumeCreateArgs&, const VolumeCreateArgs&) = default;
};
struct VolumeDescription {
  VolumeId volume;
  std::array<std::byte, 16> uuid{};
  std::string name;
  bool root = false;
  bool sealed = false;
  VolumePolicy policy;
  std::optional<Fid> attached;  // the directory on which it lies
  std::string state;            // closed, opening, open, closing, unavailable
  std::string why;              // it is unavailable
  std::optional<std::uint64_t> quota_bytes;
  std::optional<std::uint64_t> quota_nodes;
  std::uint64_t used_bytes = 0;
  std::uint64_t used_nodes = 0;
  friend bool operator==(const VolumeDescription&, const VolumeDescription&) = default;
};
// Of all these calls but volume-delete and volume-list.
struct VolumeResult {
  VolumeDescription volume;
  friend bool operator==(const VolumeResult&, const VolumeResult&) = default;
};

// Which volume: by number or by name.
struct VolumeRef {
  std::optional<VolumeId> volume;
  std::optional<std::string> name;
  friend bool operator==(const VolumeRef&, const VolumeRef&) = default;
};
struct VolumeShowArgs {
  VolumeRef which;
  friend bool operator==(const VolumeShowArgs&, const VolumeShowArgs&) = default;
};
// All volumes of this server, without their quota and use.
struct VolumeListArgs {
  friend bool operator==(const VolumeListArgs&, const VolumeListArgs&) = default;
};
struct VolumeListResult {
  std::vector<VolumeDescription> volumes;
  friend bool operator==(const VolumeListResult&, const VolumeListResult&) = default;
};
struct VolumeDeleteArgs {
  VolumeRef which;
  friend bool operator==(const VolumeDeleteArgs&, const VolumeDeleteArgs&) = default;
};
struct VolumeRenameArgs {
  VolumeRef which;
  std::string to;
  friend bool operator==(const VolumeRenameArgs&, const VolumeRenameArgs&) = default;
};
// What is not named stays; 0: no limit.
struct VolumeQuotaArgs {
  VolumeRef which;
  std::optional<std::uint64_t> bytes;
  std::optional<std::uint64_t> nodes;
  friend bool operator==(const VolumeQuotaArgs&, const VolumeQuotaArgs&) = default;
};
// The whole new policy.
struct VolumePolicyArgs {
  VolumeRef which;
  VolumePolicy policy;
  friend bool operator==(const VolumePolicyArgs&, const VolumePolicyArgs&) = default;
};
struct VolumeAttachArgs {
  VolumeRef which;
  Fid dir;  // of another volume
  friend bool operator==(const VolumeAttachArgs&, const VolumeAttachArgs&) = default;
};
struct VolumeDetachArgs {
  VolumeRef which;
  friend bool operator==(const VolumeDetachArgs&, const VolumeDetachArgs&) = default;
};

}  // namespace common::fileproto
