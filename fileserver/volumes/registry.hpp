#pragma once

// What a file server knows besides its volumes, on its disk: which volumes there are, which
// sessions may hold promises, how it stopped. DIRECTORY/fileserver.db.

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/crypto/secret.hpp"
#include "common/result.hpp"
#include "fileserver/volumes/volume_entry.hpp"

namespace fileserver {

using common::Result;
using common::SessionId;
using common::Status;

// A session as it is known stably (R10).
struct SessionRecord {
  SessionId session;
  store::MountId mount;
  PrincipalId opener;
  std::string opener_name;
  std::shared_ptr<const common::crypto::Secret> key;
  std::chrono::milliseconds lease{0};
};

// What the life before left.
struct FormerServer {
  bool clean = true;
  std::vector<SessionRecord> sessions;
  std::chrono::milliseconds longest_lease{0};  // ever granted
};

// Safe from any thread; every change blocks until it survives a power loss.
class Registry {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Registry>> open(const std::string& directory,
                                                              const common::Clock& clock);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // As it was when this was opened; from then on the stop is not clean until close(). Its lease is
  // the longest that was ever granted.
  [[nodiscard]] const FormerServer& former() const;

  // --- volumes ---
  enum class Stage : std::uint8_t { Making = 1, There = 2, Deleting = 3, Gone = 4 };
  struct VolumeRow {
    VolumeEntry entry;  // attachments left out
    Stage stage = Stage::There;
  };
  // All but those that are gone.
  [[nodiscard]] Result<std::vector<VolumeRow>> volumes();
  // AlreadyExists: the name or id is or was used (an id for ever).
  [[nodiscard]] Status add_volume(const VolumeEntry& entry);
  [[nodiscard]] Status set_stage(VolumeId id, Stage stage);
  // Name, policy, place and root mark as in `entry`.
  [[nodiscard]] Status update_volume(const VolumeEntry& entry);

  // --- sessions ---
  // Stable before it returns; so is that no longer lease was ever granted.
  [[nodiscard]] Status add_session(const SessionRecord& record);
  [[nodiscard]] Status remove_session(SessionId session);
  // A mount belongs to who opened it first; nobody: it is new.
  [[nodiscard]] Result<std::optional<PrincipalId>> owner_of(const store::MountId& mount);

  // --- node ids that are a mount's ---
  // The newest ones, at most `most`; further ones are forgotten as new ones come.
  [[nodiscard]] Status add_node_range(const store::MountId& mount, VolumeId volume, NodeId first,
                                      std::uint64_t count, std::size_t most);
  struct Range {
    NodeId first;
    std::uint64_t count = 0;
  };
  [[nodiscard]] Result<std::vector<Range>> node_ranges(const store::MountId& mount,
                                                       VolumeId volume);

  [[nodiscard]] Status health() const;
  // Notes the clean stop if `clean`. No other call may be under way or follow.
  [[nodiscard]] Status close(bool clean);

 private:
  struct Parts;
  explicit Registry(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace fileserver
