#pragma once

// PromiseCore in production: behind one lock, with the machine's clock, a thread for what time
// alone brings about, and its effects carried out in order.

#include <atomic>
#include <deque>
#include <memory>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/clock.hpp"
#include "common/sync/mutex.hpp"
#include "fileserver/promises/promise_core.hpp"
#include "fileserver/store/volume.hpp"

namespace fileserver {

// What a commit has changed, as updates tell it.
struct ChangeNews {
  common::VolumeId volume;
  store::CommitReply commit;
};
using ChangeNewsPtr = std::shared_ptr<const ChangeNews>;

// Where effects go. Called by whatever thread is at hand, one call at a time, in the order of the
// effects; must not block. May not call the keeper.
class PromiseOutlet {
 public:
  PromiseOutlet() = default;
  PromiseOutlet(const PromiseOutlet&) = delete;
  PromiseOutlet& operator=(const PromiseOutlet&) = delete;
  virtual ~PromiseOutlet() = default;

  virtual void send_break(const SendBreak& message) = 0;
  // `news`: of the commit that it tells of; never null.
  virtual void send_update(const SendUpdate& message, const ChangeNews& news) = 0;
  virtual void acknowledge_renewal(const AcknowledgeRenewal& message) = 0;
  virtual void session_over(const SessionOver& message) = 0;
  virtual void forget_session(const ForgetSession& message) = 0;
  virtual void close_stream(const CloseStream& message) = 0;
  virtual void grace_over() {}
};

// Who waits for a change: told once, by any thread, and must not block. Must not call the keeper.
class ChangeWaiter {
 public:
  ChangeWaiter() = default;
  ChangeWaiter(const ChangeWaiter&) = delete;
  ChangeWaiter& operator=(const ChangeWaiter&) = delete;
  virtual ~ChangeWaiter() = default;
  // `ready`: commit it now; else its deadline has come and it is no more.
  virtual void settled(bool ready) = 0;
};
// Who waits may go at any time; then nobody is told.
using ChangeWaiterPtr = std::weak_ptr<ChangeWaiter>;

// Safe from any thread. Nothing is waited for under the lock.
class PromiseKeeper {
 public:
  PromiseKeeper(const PromiseOptions& options, const FormerLife& former, const common::Clock& clock,
                PromiseOutlet& outlet);
  ~PromiseKeeper();
  PromiseKeeper(const PromiseKeeper&) = delete;
  PromiseKeeper& operator=(const PromiseKeeper&) = delete;
  // Ends the thread; waiting changes stay unsettled.
  void stop() EXCLUDES(mutex_);

  // --- sessions and their streams: as PromiseCore ---
  [[nodiscard]] Status open_session(SessionId session) EXCLUDES(mutex_);
  [[nodiscard]] Status resume_session(SessionId session) EXCLUDES(mutex_);
  void end_session(SessionId session, SessionOver::Why why) EXCLUDES(mutex_);
  void break_session(SessionId session) EXCLUDES(mutex_);
  [[nodiscard]] Status check_session(SessionId session) EXCLUDES(mutex_);
  [[nodiscard]] Status stream_up(SessionId session) EXCLUDES(mutex_);
  void stream_down(SessionId session) EXCLUDES(mutex_);
  void on_renewal(SessionId session, std::uint64_t number) EXCLUDES(mutex_);
  [[nodiscard]] Status on_acknowledge(SessionId session, std::uint64_t number) EXCLUDES(mutex_);
  [[nodiscard]] Status on_flushing(SessionId session, std::uint64_t number,
                                   std::chrono::milliseconds more, bool may_write) EXCLUDES(mutex_);
  void break_everything() EXCLUDES(mutex_);

  // --- reads ---
  [[nodiscard]] ReadToken begin_read() EXCLUDES(mutex_);
  struct Granted {
    std::uint64_t clock = 0;  // 0: nothing was granted
    std::vector<bool> nodes;  // as asked
  };
  [[nodiscard]] Granted grant(SessionId session, std::span<const Fid> nodes, ReadToken token)
      EXCLUDES(mutex_);

  // --- changes ---
  enum class Progress : std::uint8_t {
    Ready,    // go on
    Waiting,  // `waiter` will be told
  };
  [[nodiscard]] Result<Progress> begin_change(ChangeId change, std::optional<ChangeOrigin> origin,
                                              std::span<const Touched> nodes, Instant deadline,
                                              ChangeWaiterPtr waiter) EXCLUDES(mutex_);
  [[nodiscard]] Result<Progress> extend_change(ChangeId change, std::span<const Touched> nodes,
                                               ChangeWaiterPtr waiter) EXCLUDES(mutex_);
  // Inside the transaction, as its last check: steps the core with the present time (F17), then
  // looks whether all of `nodes` are marked by this change and puts those that are not into
  // `unmarked`. Stale: the caller's own session has ended.
  [[nodiscard]] Status check_marks(ChangeId change, std::optional<SessionId> session,
                                   std::span<const Fid> nodes, std::vector<Fid>& unmarked)
      EXCLUDES(mutex_);
  // `news` unless it was given up. Not after its waiter was told that it is no more.
  PromiseCore::Ended end_change(ChangeId change, ChangeNewsPtr news) EXCLUDES(mutex_);

  // Whether it was committed nobody can say: it stays as it is, its nodes marked, until
  // forget_volume().
  void leave_change(ChangeId change, common::VolumeId volume) EXCLUDES(mutex_);
  // The volume has been recovered, so that what it says is so, or is gone: changes that were left
  // have ended.
  void forget_volume(common::VolumeId volume) EXCLUDES(mutex_);

  [[nodiscard]] ChangeId new_change() { return next_change_.fetch_add(1); }
  [[nodiscard]] PromiseCounts counts() EXCLUDES(mutex_);
  [[nodiscard]] bool clean_to_stop() EXCLUDES(mutex_);
  [[nodiscard]] std::size_t memory_bytes() EXCLUDES(mutex_);

 private:
  struct Outgoing {
    PromiseEffect effect;
    ChangeNewsPtr news;      // of an update
    ChangeWaiterPtr waiter;  // of a change that has settled
  };

  void timer_main() EXCLUDES(mutex_);
  // Puts effects behind those that are on their way; carries them out unless another thread is at
  // it, which then takes these as well.
  void carry_out(PromiseEffects& effects, const ChangeNewsPtr& news = {}) REQUIRES(mutex_);
  void queue_locked(PromiseEffects& effects, const ChangeNewsPtr& news) REQUIRES(mutex_);
  void deliver(const Outgoing& outgoing);
  [[nodiscard]] Result<Progress> wait_unless_ready(ChangeId change, PromiseEffects& effects,
                                                   ChangeWaiterPtr waiter) REQUIRES(mutex_);

  const common::Clock& clock_;
  PromiseOutlet& outlet_;
  std::atomic<ChangeId> next_change_{1};

  common::Mutex mutex_;
  common::CondVar wake_;
  PromiseCore core_ GUARDED_BY(mutex_);
  std::unordered_map<ChangeId, ChangeWaiterPtr> waiters_ GUARDED_BY(mutex_);
  // No more than were under way when a disk failed: then the volume takes no others.
  std::unordered_map<common::VolumeId, std::vector<ChangeId>> left_ GUARDED_BY(mutex_);
  std::deque<Outgoing> outgoing_ GUARDED_BY(mutex_);
  bool delivering_ GUARDED_BY(mutex_) = false;
  bool stopped_ GUARDED_BY(mutex_) = false;
  Instant timer_until_ GUARDED_BY(mutex_){};  // when the thread will look by itself
  std::thread timer_;                         // last: it uses the others
};

}  // namespace fileserver
