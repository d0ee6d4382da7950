// Opening, proving and ending sessions; what the thread does.

#include "fileserver/sessions/sessions.hpp"

#include <pthread.h>

#include <algorithm>

#include "common/crypto/random.hpp"
#include "common/fileproto/sessions.hpp"
#include "common/log/log.hpp"
#include "fileserver/sessions/sessions_impl.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::MutexLock;
using common::MutexUnlock;
using common::crypto::Secret;
using fileproto::kJoinLabel;
using fileproto::kResumeLabel;

constexpr std::size_t kKeyBytes = 32;
// Stable seqs are told at most so often.
constexpr std::chrono::seconds kTick{1};
// When the server stops, mounts have so long to say that they trust nothing any more.
constexpr std::chrono::milliseconds kAskPatience{500};
constexpr std::chrono::milliseconds kAskAgain{5};
// Volumes deleted within a lease and its margin: each takes the disk some milliseconds.
constexpr std::size_t kMostDeleted = 10'000;

}  // namespace

// --- starting and stopping ---

Status Sessions::Impl::begin(const SessionsOptions& options) {
  const FormerServer& former = volumes_.registry().former();
  FormerLife life;
  life.clean = former.clean;
  life.longest_lease = former.longest_lease;
  {
    const MutexLock lock(mutex_);
    for (const SessionRecord& record : former.sessions) {
      life.sessions.push_back(record.session);
      auto session = std::make_shared<FileSession>();
      session->id = record.session;
      session->mount = record.mount;
      session->opener = record.opener;
      session->opener_name = record.opener_name;
      session->key = record.key;
      session->is_former = true;
      table_.add(std::move(session)).absent = true;
    }
  }
  keeper_ = std::make_unique<PromiseKeeper>(options.promises, life, clock_, *this);
  common::stream::StreamServerOptions streams = options.streams;
  streams.core.hold_renewals = true;
  streams.core.lease = lease_;
  streams.core.lease_margin = margin_;
  streams.core.keep_alive = lease_ / 4;  // at most a third
  TROTH_TRY(streams_, common::stream::StreamServer::start(std::move(streams), *this, clock_));
  volumes_.set_liveness([this](SessionId session) { return lives(session); });
  volumes_.set_recovered([this](VolumeId volume) { keeper_->forget_volume(volume); });
  thread_ = std::thread([this] { thread_main(); });
  return {};
}

void Sessions::Impl::end_thread() {
  {
    const MutexLock lock(mutex_);
    stopped_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable())
    thread_.join();
}

// Asks every session for everything, and gives it a moment: what is not acknowledged is waited for
// in the next life.
bool Sessions::Impl::ask_for_everything() {
  keeper_->break_everything();
  const Instant until = clock_.now() + kAskPatience;
  const MutexLock lock(mutex_);
  while (!keeper_->clean_to_stop()) {
    const Instant now = clock_.now();
    if (now >= until)
      return false;
    wake_.wait_for(mutex_, std::min<common::Duration>(until - now, kAskAgain));
  }
  return true;
}

bool Sessions::Impl::stop() {
  if (std::exchange(ended_all_, true))
    return clean_;
  if (keeper_ && streams_)
    static_cast<void>(ask_for_everything());
  if (streams_)
    streams_->stop();
  end_thread();
  volumes_.set_liveness(nullptr);  // from here on nobody can say
  volumes_.set_recovered(nullptr);
  if (!keeper_)
    return true;
  keeper_->stop();
  clean_ = keeper_->clean_to_stop();
  return clean_;
}

// --- calls ---

Result<FileSessionPtr> Sessions::Impl::make(const Principal& opener, const store::MountId& mount) {
  auto session = std::make_shared<FileSession>();
  session->mount = mount;
  session->opener = opener.id;
  session->opener_name = opener.name;
  TROTH_TRY(const std::uint64_t id, common::crypto::random_u64());
  session->id = SessionId{(id >> 1U) | 1U};  // 63 bits, as databases have them; never 0
  Secret key(kKeyBytes);
  TROTH_TRY_VOID(common::crypto::random_bytes(key.writable()));
  session->key = std::make_shared<const Secret>(std::move(key));
  return session;
}

Result<FileSessionPtr> Sessions::Impl::open(const Principal& opener, const store::MountId& mount) {
  if ((std::to_integer<unsigned>(mount.bytes[0]) & 0x80U) != 0)
    return fail(ErrorCode::InvalidArgument, "a mount id begins with a bit that is 0");
  TROTH_TRY(const auto owner, volumes_.registry().owner_of(mount));
  if (owner && *owner != opener.id)
    return fail(ErrorCode::PermissionDenied,
                "this mount id belongs to somebody else: take a new one");
  {
    const MutexLock lock(mutex_);
    TROTH_TRY_VOID(table_.admit(mount, opener, clock_.now()));
  }
  TROTH_TRY(FileSessionPtr session, make(opener, mount));
  SessionRecord record;
  record.session = session->id;
  record.mount = mount;
  record.opener = opener.id;
  record.opener_name = opener.name;
  record.key = session->key;
  record.lease = lease_;
  Status opened = volumes_.registry().add_session(record);
  if (opened)
    opened = keeper_->open_session(session->id);
  std::optional<SessionId> older;
  {
    const MutexLock lock(mutex_);
    if (!opened) {
      // Its row may be there, on the disk or not: nobody needs it.
      forgotten_.push_back(session->id);
      wake_.notify_all();
      return tl::unexpected(opened.error());
    }
    // As it is now: another one may have been opened while the disk was waited for. One of the
    // former life that has not come back stays awaited until the grace is over.
    if (const auto* const entry = table_.of_mount(mount); entry != nullptr && !entry->absent)
      older = entry->session->id;
    table_.add(session);
    ++opened_;
  }
  // Who has not said that it trusts nothing any more may yet do so until its lease is over: it may
  // be the copy of a disk.
  if (older)
    keeper_->end_session(*older, SessionOver::Why::Replaced);
  return session;
}

Result<FileSessionPtr> Sessions::Impl::proven(std::string_view label, const std::string& caller,
                                              SessionId session, const Proof& proof,
                                              const Proof& binding) {
  FileSessionPtr found;
  {
    const MutexLock lock(mutex_);
    const auto* const entry = table_.find(session);
    if (entry == nullptr)
      return fail(ErrorCode::Stale, "the session is over: open another");
    found = entry->session;
  }
  if (!fileproto::is_session_proof(found->key->bytes(), label, binding, caller, proof))
    return tl::unexpected(not_yours());
  return found;
}

Result<FileSessionPtr> Sessions::Impl::resume(const std::string& caller,
                                              const store::MountId& mount, SessionId session,
                                              const Proof& proof, const Proof& binding) {
  TROTH_TRY(FileSessionPtr found, proven(kResumeLabel, caller, session, proof, binding));
  if (found->mount != mount)
    return tl::unexpected(not_yours());
  TROTH_TRY_VOID(keeper_->resume_session(session));
  const MutexLock lock(mutex_);
  if (auto* const entry = table_.find(session))
    entry->absent = false;
  return found;
}

Result<FileSessionPtr> Sessions::Impl::join(const std::string& caller, SessionId session,
                                            const Proof& proof, const Proof& binding) {
  TROTH_TRY(FileSessionPtr found, proven(kJoinLabel, caller, session, proof, binding));
  TROTH_TRY_VOID(keeper_->check_session(session));
  return found;
}

bool Sessions::Impl::lives(SessionId session) {
  const MutexLock lock(mutex_);
  return table_.find(session) != nullptr;
}

std::vector<SessionId> Sessions::Impl::opened_by(common::ticket::PrincipalId opener) {
  std::vector<SessionId> all;
  {
    const MutexLock lock(mutex_);
    table_.each([&](const SessionTable::Entry& entry) {
      if (entry.session->opener == opener)
        all.push_back(entry.session->id);
    });
  }
  std::sort(all.begin(), all.end());
  return all;
}

void Sessions::Impl::revoke(const std::function<bool(common::ticket::PrincipalId)>& disabled,
                            std::span<const common::ticket::PrincipalId> newly) {
  std::vector<SessionId> over;
  std::vector<SessionId> asked;
  {
    const MutexLock lock(mutex_);
    table_.each([&](const SessionTable::Entry& entry) {
      if (disabled(entry.session->opener))
        over.push_back(entry.session->id);
      else if (entry.session->callers.lock()->has_any(newly))
        asked.push_back(entry.session->id);
    });
  }
  for (const SessionId session : over)
    keeper_->end_session(session, SessionOver::Why::Revoked);
  for (const SessionId session : asked)
    keeper_->break_session(session);
}

void Sessions::Impl::note_unstable(const FileSessionPtr& session, VolumeId volume,
                                   common::Seq seq) {
  const MutexLock lock(mutex_);
  auto* const entry = table_.find(session->id);
  if (entry == nullptr)
    return;
  common::Seq& newest = entry->unstable[volume];
  newest = std::max(newest, seq);
}

std::vector<VolumeId> Sessions::Impl::volumes_of(const FileSessionPtr& session) {
  const MutexLock lock(mutex_);
  std::vector<VolumeId> all;
  if (const auto* const entry = table_.find(session->id)) {
    for (const auto& [volume, seq] : entry->unstable)
      all.push_back(volume);
  }
  return all;
}

void Sessions::Impl::volume_deleted(VolumeId volume) {
  keeper_->forget_volume(volume);
  const Instant now = clock_.now();
  {
    const MutexLock lock(mutex_);
    while (!deleted_.empty() &&
           (deleted_.size() >= kMostDeleted || deleted_.front().first + lease_ + margin_ < now))
      deleted_.pop_front();
    deleted_.emplace_back(now, volume);
  }
  const fileproto::Ended ended{fileproto::EndedWhy::VolumeDeleted, volume};
  if (const auto message = fileproto::encode_message(fileproto::ServerMessage(ended)))
    static_cast<void>(streams_->broadcast(*message));
}

SessionCounts Sessions::Impl::counts() {
  const MutexLock lock(mutex_);
  return {table_.size(), opened_, breaks_sent_, updates_sent_};
}

// --- the thread ---

void Sessions::Impl::thread_main() {
  ::pthread_setname_np(::pthread_self(), "sessions");
  const MutexLock lock(mutex_);
  while (!stopped_ || !forgotten_.empty()) {
    if (beat_)
      beat_();
    forget_ended();
    tell_stable();
    if (!stopped_ && ended_.empty() && forgotten_.empty())
      wake_.wait_for(mutex_, kTick);
  }
}

void Sessions::Impl::forget_ended() {
  while (!ended_.empty()) {
    const SessionId session = ended_.back();
    ended_.pop_back();
    const MutexUnlock unlock(mutex_);
    volumes_.end_session(session);
  }
  while (!forgotten_.empty()) {
    const SessionId session = forgotten_.back();
    forgotten_.pop_back();
    const MutexUnlock unlock(mutex_);
    // Should it stay, the next life waits for it a lease longer.
    if (const Status gone = volumes_.registry().remove_session(session); !gone)
      common::log::warn("an ended session stays in the registry", {{"why", gone.error().message}});
  }
}

void Sessions::Impl::tell_stable() {
  std::map<VolumeId, std::vector<SessionId>> waiting;
  table_.each([&](const SessionTable::Entry& entry) {
    for (const auto& [volume, seq] : entry.unstable)
      waiting[volume].push_back(entry.session->id);
  });
  for (const auto& [volume, sessions] : waiting) {
    common::Seq stable;
    common::Epoch epoch;
    {
      const MutexUnlock unlock(mutex_);
      const auto open = volumes_.use(volume, clock_.now());
      if (!open)
        continue;
      stable = (*open)->stable_seq();
      epoch = (*open)->epoch();
    }
    for (const SessionId session : sessions) {
      auto* const entry = table_.find(session);
      if (entry == nullptr)
        continue;
      const auto noted = entry->unstable.find(volume);
      if (noted == entry->unstable.end() || noted->second > stable)
        continue;
      entry->unstable.erase(noted);
      if (entry->stream)
        send_to(*entry->stream, fileproto::Stable{volume, epoch, stable});
    }
  }
}

// --- the class ---

Result<std::unique_ptr<Sessions>> Sessions::start(SessionsOptions options, VolumeSet& volumes,
                                                  const common::Clock& clock) {
  auto impl = std::make_unique<Impl>(options, volumes, clock);
  TROTH_TRY_VOID(impl->begin(options));
  return std::unique_ptr<Sessions>(new Sessions(std::move(impl)));
}

Sessions::Sessions(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Sessions::~Sessions() {
  static_cast<void>(impl_->stop());
}

PromiseKeeper& Sessions::keeper() {
  return *impl_->keeper_;
}
std::uint16_t Sessions::stream_port() const {
  return impl_->streams_->port();
}
std::chrono::milliseconds Sessions::lease() const {
  return impl_->lease_;
}
std::chrono::milliseconds Sessions::margin() const {
  return impl_->margin_;
}

Result<FileSessionPtr> Sessions::open(const Principal& opener, const store::MountId& mount) {
  return impl_->open(opener, mount);
}
Result<FileSessionPtr> Sessions::resume(const std::string& caller, const store::MountId& mount,
                                        SessionId session, const Proof& proof,
                                        const Proof& binding) {
  return impl_->resume(caller, mount, session, proof, binding);
}
Result<FileSessionPtr> Sessions::join(const std::string& caller, SessionId session,
                                      const Proof& proof, const Proof& binding) {
  return impl_->join(caller, session, proof, binding);
}
void Sessions::close(const FileSessionPtr& session) {
  impl_->keeper_->end_session(session->id, SessionOver::Why::Closed);
}
std::vector<SessionId> Sessions::opened_by(common::ticket::PrincipalId opener) {
  return impl_->opened_by(opener);
}
void Sessions::revoke(const std::function<bool(common::ticket::PrincipalId)>& disabled,
                      std::span<const common::ticket::PrincipalId> newly) {
  impl_->revoke(disabled, newly);
}
bool Sessions::lives(SessionId session) {
  return impl_->lives(session);
}
void Sessions::note_unstable(const FileSessionPtr& session, VolumeId volume, common::Seq seq) {
  impl_->note_unstable(session, volume, seq);
}
void Sessions::volume_deleted(VolumeId volume) {
  impl_->volume_deleted(volume);
}
std::vector<VolumeId> Sessions::volumes_of(const FileSessionPtr& session) {
  return impl_->volumes_of(session);
}
SessionCounts Sessions::counts() {
  return impl_->counts();
}
const common::stream::StreamServerStats& Sessions::stream_stats() const {
  return impl_->streams_->stats();
}
bool Sessions::stop() {
  return impl_->stop();
}

}  // namespace fileserver
