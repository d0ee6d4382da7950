#pragma once

// The keys of the KDC's own services while it runs: `kdc/tgs`, whose tickets are TGTs, and
// `kdc/admin`, whose tickets give a session at the KDC itself.

#include <atomic>
#include <cstdint>
#include <memory>

#include "common/clock.hpp"
#include "common/sync/mutex.hpp"
#include "common/ticket/verifier.hpp"
#include "kdc/database.hpp"

namespace kdc {

// Safe from any thread.
class OwnKeys {
 public:
  OwnKeys(Database& database, std::string cell, const common::Clock& clock);

  // Takes what the database holds now. At start, after every change of these keys, and with
  // housekeeping, which rotates them. Reads the database.
  [[nodiscard]] common::Status refresh() EXCLUDES(mutex_);
  // Before a ticket leaves that names this key of one of them: whoever shows it must be believed.
  [[nodiscard]] common::Status need(std::string_view service, Kvno kvno);

  [[nodiscard]] const common::ticket::TicketOpener& tgs() const { return tgs_; }
  [[nodiscard]] const std::shared_ptr<common::ticket::Verifier>& admin() const { return admin_; }

 private:
  Database& database_;
  const common::Clock& clock_;
  common::ticket::TicketOpener tgs_;
  const std::shared_ptr<common::ticket::Verifier> admin_;
  std::atomic<Kvno> tgs_newest_{0};
  std::atomic<Kvno> admin_newest_{0};

  // Two refreshes at once: the one that looked later stands.
  std::atomic<std::uint64_t> looks_{0};
  common::Mutex mutex_;
  std::uint64_t taken_ GUARDED_BY(mutex_) = 0;
};

// A keytab of those keys which are good at `now`, or (with `pending`) will be: at most the newest
// that one holds. Corrupt if there are none.
common::Result<common::ticket::Keytab> keytab_of(const std::string& cell, const std::string& name,
                                                 std::vector<StoredKey> keys, Time now,
                                                 bool pending);

}  // namespace kdc
