#pragma once

// Tickets for whoever calls services: from memory, from the cache, or from the KDC, renewed from
// half of their life on by whoever needs them. There is no thread of its own.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "common/auth/credential_cache.hpp"
#include "common/auth/kdc_client.hpp"
#include "common/clock.hpp"
#include "common/sync/mutex.hpp"
#include "common/ticket/credential.hpp"

namespace common::auth {

using CredentialPtr = std::shared_ptr<const ticket::Credential>;

// Services of a cell that one user can use at a time; beyond, the ticket that ends first is
// dropped.
inline constexpr std::size_t kMaxHeldTickets = 1024;
// A ticket this close to its end is not handed out: it would end on the way.
inline constexpr std::chrono::seconds kTooLate{5};
// After a renewal that failed, the ticket at hand is used for this long before the next attempt.
inline constexpr std::chrono::seconds kRenewalPause{10};

struct SourceOptions {
  // How tickets are got; from_kdc() fills both in. `login` is empty where only a person can log in.
  std::function<Result<ticket::Credential>(const ticket::TgsWanted&, const ticket::Credential& tgt,
                                           Instant deadline)>
      ticket;
  std::function<Result<ticket::Credential>(Instant deadline)> login;
  std::shared_ptr<CredentialCache> cache;  // none: in memory only
  const Clock* clock = nullptr;            // outlives the source; only its boot clock is read
};
// By that KDC; with a keytab the source logs itself in, as services and hosts do.
SourceOptions from_kdc(KdcClient kdc, std::optional<ticket::Keytab> keytab = {});

// Safe from any thread. Nothing is waited for under the lock: one caller asks the KDC for a ticket,
// the others use the old one, or wait for the new one until their deadline.
class CredentialSource {
 public:
  explicit CredentialSource(SourceOptions options) : options_(std::move(options)) {}

  // A ticket for that service that is good now. Blocks until `deadline` at most, and only if
  // something has to be got. NotFound: nobody is logged in. Expired: the TGT has ended and cannot
  // be renewed; both say what to do. Else whatever the KDC answered.
  Result<CredentialPtr> for_service(std::string_view service, Instant deadline) EXCLUDES(mutex_);
  // The same for the TGT.
  Result<CredentialPtr> tgt(Instant deadline) { return for_service(ticket::kTgsService, deadline); }

  // A service did not take that ticket: it will not be handed out again.
  void forget(const CredentialPtr& credential) EXCLUDES(mutex_);

  // Why the last ticket could not be written to the cache; for a warning. Nothing else fails by it.
  [[nodiscard]] Status cache_trouble() const EXCLUDES(mutex_);

 private:
  struct Held {
    CredentialPtr credential;
    bool fetching = false;
    Instant not_before{};          // no further attempt to renew until then
    std::uint64_t attempts = 0;    // that have ended
    std::optional<Error> failure;  // of the last one
  };

  Result<CredentialPtr> fetch(const std::string& service, Instant deadline) EXCLUDES(mutex_);
  Result<ticket::Credential> fetch_tgt(Instant deadline) EXCLUDES(mutex_);
  Result<ticket::Credential> renew_tgt(const ticket::Credential& current, Instant deadline) const;
  void keep(const ticket::Credential& fresh, Instant deadline) EXCLUDES(mutex_);
  void load_once() EXCLUDES(mutex_);
  Held& end_attempt_locked(const std::string& service) REQUIRES(mutex_);
  void make_room_locked() REQUIRES(mutex_);
  [[nodiscard]] bool usable(const CredentialPtr& credential) const;

  const SourceOptions options_;
  mutable Mutex mutex_;
  CondVar ended_;
  bool loaded_ GUARDED_BY(mutex_) = false;
  std::map<std::string, Held, std::less<>> held_ GUARDED_BY(mutex_);
  Status cache_trouble_ GUARDED_BY(mutex_);
};

}  // namespace common::auth
