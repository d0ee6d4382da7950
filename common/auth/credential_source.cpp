#include "common/auth/credential_source.hpp"

#include <algorithm>

#include "common/rpc/socket.hpp"

namespace common::auth {
namespace {

using ticket::Credential;

constexpr const char* kLogInAgain = "your login has expired; log in again with: troth login";

bool is_tgt(const Credential& credential) {
  return credential.service == ticket::kTgsService;
}

// How long a waiter sleeps before it looks again, whatever it was told.
constexpr std::chrono::milliseconds kLook{100};
// Tickets that are written to the cache: a person's few. A mount keeps its many in memory.
constexpr std::size_t kMaxKept = 32;

}  // namespace

SourceOptions from_kdc(KdcClient kdc, std::optional<ticket::Keytab> keytab) {
  static const SystemClock clock;
  SourceOptions options;
  options.clock = &clock;
  const auto shared = std::make_shared<const KdcClient>(std::move(kdc));
  options.ticket = [shared](const ticket::TgsWanted& wanted, const Credential& tgt,
                            Instant deadline) { return shared->ticket(wanted, tgt, deadline); };
  if (keytab) {
    const auto keys = std::make_shared<const ticket::Keytab>(*std::move(keytab));
    options.login = [shared, keys](Instant deadline) {
      return shared->login(ticket::AsWanted{}, *keys, deadline);
    };
  }
  return options;
}

bool CredentialSource::usable(const CredentialPtr& credential) const {
  return credential != nullptr &&
         credential->kdc_time(options_.clock->now()) + kTooLate < credential->validity.end;
}

void CredentialSource::load_once() {
  {
    const MutexLock lock(mutex_);
    if (loaded_)
      return;
  }
  auto credentials = options_.cache ? options_.cache->load() : std::vector<Credential>();
  const MutexLock lock(mutex_);
  if (std::exchange(loaded_, true))
    return;
  if (!credentials) {
    cache_trouble_ = tl::unexpected(credentials.error());
    return;
  }
  for (Credential& credential : *credentials) {
    Held& held = held_[credential.service];
    held.credential = std::make_shared<const Credential>(std::move(credential));
  }
}

Result<CredentialPtr> CredentialSource::for_service(std::string_view service, Instant deadline) {
  load_once();
  const std::string name(service);
  std::optional<std::uint64_t> waited_from;
  MutexLock lock(mutex_);
  for (;;) {
    Held& held = held_[name];
    const Instant now = options_.clock->now();
    const bool good = usable(held.credential);
    if (good &&
        (held.fetching || now < held.not_before || !held.credential->should_be_renewed(now)))
      return held.credential;
    // An attempt that ended while we waited answers for us, too.
    if (waited_from && held.attempts != *waited_from && held.failure)
      return tl::unexpected(*held.failure);
    if (!held.fetching) {
      held.fetching = true;
      break;
    }
    if (!waited_from)
      waited_from = held.attempts;
    const Duration left = deadline - rpc::now();
    if (left <= Duration::zero())
      return fail(ErrorCode::DeadlineExceeded, "no ticket for {} came in time", service);
    ended_.wait_for(mutex_, std::min<Duration>(left, kLook));
  }
  lock.unlock();
  Result<CredentialPtr> fetched;
  try {
    fetched = fetch(name, deadline);
  } catch (...) {
    // Memory ran out, or what the owner of the source gave us threw: the next caller tries again.
    lock.lock();
    end_attempt_locked(name);
    throw;
  }
  lock.lock();
  Held& held = end_attempt_locked(name);
  if (fetched) {
    held.credential = *fetched;
  } else {
    held.failure = fetched.error();
    if (usable(held.credential)) {
      // It is good for a while yet; the KDC may be back by then.
      held.not_before = options_.clock->now() + kRenewalPause;
      fetched = held.credential;
    }
  }
  make_room_locked();  // `held` may be gone now
  return fetched;
}

// Whoever waits for this attempt looks again.
CredentialSource::Held& CredentialSource::end_attempt_locked(const std::string& service) {
  Held& held = held_.find(service)->second;  // what is being fetched is never dropped
  held.fetching = false;
  held.failure.reset();
  ++held.attempts;
  ended_.notify_all();
  return held;
}

Result<CredentialPtr> CredentialSource::fetch(const std::string& service, Instant deadline) {
  if (service == ticket::kTgsService) {
    TROTH_TRY(Credential fresh, fetch_tgt(deadline));
    return std::make_shared<const Credential>(std::move(fresh));
  }
  TROTH_TRY(const CredentialPtr ours, tgt(deadline));
  TROTH_TRY(Credential fresh, options_.ticket({.service = service}, *ours, deadline));
  keep(fresh, deadline);
  return std::make_shared<const Credential>(std::move(fresh));
}

// A TGT that is good and young: another process's, renewed, or by logging in.
Result<Credential> CredentialSource::fetch_tgt(Instant deadline) {
  std::optional<StoreLock> store_lock;
  std::vector<Credential> cached;
  if (options_.cache) {
    auto locked = options_.cache->lock(deadline);
    if (locked)
      store_lock = *std::move(locked);
    auto loaded = options_.cache->load();
    if (loaded) {
      cached = *std::move(loaded);
    } else if (!options_.login) {
      return tl::unexpected(loaded.error());
    }
  }
  Credential current;
  if (!cached.empty() && is_tgt(cached.front())) {
    current = cached.front().clone();
  } else {
    const MutexLock lock(mutex_);
    if (const auto& held = held_[std::string(ticket::kTgsService)]; held.credential)
      current = held.credential->clone();
  }
  const Instant now = options_.clock->now();
  const bool some = !current.ticket.empty();
  if (some && !current.ended(now) && !current.should_be_renewed(now))
    return current;  // somebody else has renewed it
  if (!some && !options_.login)
    return fail(ErrorCode::NotFound, "you are not logged in; log in with: troth login");
  TROTH_TRY(Credential fresh,
            options_.login ? options_.login(deadline) : renew_tgt(current, deadline));
  if (options_.cache && store_lock) {  // without it, two could write at once, or after a logout
    std::erase_if(cached, [](const Credential& credential) { return is_tgt(credential); });
    cached.insert(cached.begin(), fresh.clone());
    const Status saved = options_.cache->save(*store_lock, cached);
    const MutexLock lock(mutex_);
    cache_trouble_ = saved;
  }
  return fresh;
}

Result<Credential> CredentialSource::renew_tgt(const Credential& current, Instant deadline) const {
  const Instant now = options_.clock->now();
  const bool renewable =
      current.validity.renew_till && current.kdc_time(now) < *current.validity.renew_till;
  if (current.ended(now))
    return fail(ErrorCode::Expired, "{}", kLogInAgain);
  if (!renewable || *current.validity.renew_till <= current.validity.end)
    return fail(ErrorCode::Expired, "the login cannot be renewed; log in again with: troth login");
  return options_.ticket({.service = std::string(ticket::kTgsService), .renew = true}, current,
                         deadline);
}

// Adds a ticket to the cache, if the cache is still the same person's.
void CredentialSource::keep(const Credential& fresh, Instant deadline) {
  if (!options_.cache)
    return;
  const auto save = [&]() -> Status {
    TROTH_TRY(const StoreLock held, options_.cache->lock(deadline));
    TROTH_TRY(std::vector<Credential> cached, options_.cache->load());
    if (cached.empty() || cached.front().client != fresh.client)
      return {};
    const Instant now = options_.clock->now();
    std::erase_if(cached, [&](const Credential& credential) {
      return credential.service == fresh.service || (!is_tgt(credential) && credential.ended(now));
    });
    if (cached.size() < kMaxKept)
      cached.push_back(fresh.clone());
    return options_.cache->save(held, cached);
  };
  Status saved = save();
  const MutexLock lock(mutex_);
  cache_trouble_ = std::move(saved);
}

void CredentialSource::make_room_locked() {
  if (held_.size() > kMaxHeldTickets)
    std::erase_if(held_, [](const auto& entry) {
      return !entry.second.fetching && !entry.second.credential;
    });
  while (held_.size() > kMaxHeldTickets) {
    auto oldest = held_.end();
    for (auto at = held_.begin(); at != held_.end(); ++at) {
      if (at->second.fetching || !at->second.credential || is_tgt(*at->second.credential))
        continue;
      if (oldest == held_.end() ||
          at->second.credential->validity.end < oldest->second.credential->validity.end)
        oldest = at;
    }
    if (oldest == held_.end())
      return;
    held_.erase(oldest);
  }
}

void CredentialSource::forget(const CredentialPtr& credential) {
  const MutexLock lock(mutex_);
  const auto found = held_.find(credential->service);
  if (found != held_.end() && found->second.credential == credential)
    found->second.credential.reset();
}

Status CredentialSource::cache_trouble() const {
  const MutexLock lock(mutex_);
  return cache_trouble_;
}

}  // namespace common::auth
