#pragma once

// Who has been disabled in the cell, as this server knows it: what a ticket that was given earlier
// does not say. README.md tells what that is worth while no KDC can be reached.

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "common/auth/disabled.hpp"
#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/sync/mutex.hpp"

namespace fileserver {

using common::ticket::PrincipalId;

// More were never disabled or removed in a cell of any size: ids of 4 bytes each.
inline constexpr std::size_t kMostDisabled = 1'000'000;
// Everybody is asked for again after this: an answer that was lost for any reason (a KDC whose
// database was put back counts its versions anew) is made good then.
inline constexpr std::chrono::hours kWholeEvery{1};

class DisabledList {
 public:
  using Ask = std::function<common::Result<common::auth::DisabledNews>(
      std::optional<std::uint64_t> since, PrincipalId after)>;

  // --- any thread ---
  // One atomic load while nobody is disabled.
  [[nodiscard]] bool has(PrincipalId id) const EXCLUDES(mutex_);
  [[nodiscard]] std::size_t size() const EXCLUDES(mutex_);

  // --- one thread ---
  // Asks for what has changed since the last time, or for everybody, page by page. Returns, in
  // ascending order, who was not disabled before. After a failure everything is as it was.
  [[nodiscard]] common::Result<std::vector<PrincipalId>> refresh(const Ask& ask,
                                                                 common::Instant now)
      EXCLUDES(mutex_);

 private:
  common::Result<std::vector<PrincipalId>> read_everybody(const Ask& ask,
                                                          common::auth::DisabledNews first) const;
  std::vector<PrincipalId> replace(std::vector<PrincipalId> all) EXCLUDES(mutex_);

  mutable common::Mutex mutex_;
  std::vector<PrincipalId> ids_ GUARDED_BY(mutex_);  // ascending
  std::atomic<bool> any_{false};
  std::optional<std::uint64_t> version_;
  common::Instant whole_at_{};
};

}  // namespace fileserver
