#include "fileserver/sessions/promise_keeper.hpp"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::MutexLock;
using common::MutexUnlock;

// The condition variable's clock stands still while the machine sleeps, ours does not.
constexpr std::chrono::seconds kLongestWait{1};

}  // namespace

PromiseKeeper::PromiseKeeper(const PromiseOptions& options, const FormerLife& former,
                             const common::Clock& clock, PromiseOutlet& outlet)
    : clock_(clock),
      outlet_(outlet),
      core_(options, former, clock.now()),
      timer_([this] { timer_main(); }) {}

PromiseKeeper::~PromiseKeeper() {
  stop();
}

void PromiseKeeper::stop() {
  {
    const MutexLock lock(mutex_);
    stopped_ = true;
  }
  wake_.notify_all();
  if (timer_.joinable())
    timer_.join();
}

void PromiseKeeper::timer_main() {
  ::pthread_setname_np(::pthread_self(), "promises");
  const MutexLock lock(mutex_);
  while (!stopped_) {
    const Instant now = clock_.now();
    const Instant next = core_.next_deadline();
    if (next <= now) {
      PromiseEffects effects;
      core_.on_time(now, effects);
      carry_out(effects);
      continue;
    }
    timer_until_ = std::min(next, now + kLongestWait);
    wake_.wait_for(mutex_, timer_until_ - now);
    timer_until_ = Instant::min();  // awake: it will look by itself
  }
}

// --- effects ---

void PromiseKeeper::queue_locked(PromiseEffects& effects, const ChangeNewsPtr& news) {
  for (PromiseEffect& effect : effects) {
    Outgoing& outgoing = outgoing_.emplace_back();
    ChangeId settled = 0;
    if (const auto* ready = std::get_if<ChangeReady>(&effect))
      settled = ready->change;
    else if (const auto* expired = std::get_if<ChangeExpired>(&effect))
      settled = expired->change;
    else if (std::holds_alternative<SendUpdate>(effect))
      outgoing.news = news;
    if (settled != 0) {
      if (auto waiter = waiters_.extract(settled))
        outgoing.waiter = std::move(waiter.mapped());
    }
    outgoing.effect = std::move(effect);
  }
  effects.clear();
}

void PromiseKeeper::carry_out(PromiseEffects& effects, const ChangeNewsPtr& news) {
  if (core_.next_deadline() < timer_until_)
    wake_.notify_one();
  queue_locked(effects, news);
  // Whoever is at it takes these as well: so they leave in order.
  if (delivering_ || outgoing_.empty())
    return;
  delivering_ = true;
  while (!outgoing_.empty()) {
    std::deque<Outgoing> batch;
    batch.swap(outgoing_);
    const MutexUnlock unlock(mutex_);
    for (const Outgoing& outgoing : batch)
      deliver(outgoing);
    batch.clear();  // what it holds may have destructors that ask us
  }
  delivering_ = false;
}

void PromiseKeeper::deliver(const Outgoing& outgoing) {
  struct Visitor {
    PromiseOutlet& outlet;
    const Outgoing& outgoing;
    void operator()(const SendBreak& message) const { outlet.send_break(message); }
    void operator()(const SendUpdate& message) const {
      if (outgoing.news)
        outlet.send_update(message, *outgoing.news);
    }
    void operator()(const AcknowledgeRenewal& message) const {
      outlet.acknowledge_renewal(message);
    }
    void operator()(const ChangeReady&) const { settle(true); }
    void operator()(const ChangeExpired&) const { settle(false); }
    void operator()(const SessionOver& message) const { outlet.session_over(message); }
    void operator()(const ForgetSession& message) const { outlet.forget_session(message); }
    void operator()(const CloseStream& message) const { outlet.close_stream(message); }
    void operator()(const GraceOver&) const { outlet.grace_over(); }
    void settle(bool ready) const {
      if (const auto waiter = outgoing.waiter.lock())
        waiter->settled(ready);
    }
  };
  std::visit(Visitor{outlet_, outgoing}, outgoing.effect);
}

// --- sessions ---

Status PromiseKeeper::open_session(SessionId session) {
  const MutexLock lock(mutex_);
  PromiseEffects none;
  const Status opened = core_.open_session(session, clock_.now());
  carry_out(none);
  return opened;
}

Status PromiseKeeper::resume_session(SessionId session) {
  const MutexLock lock(mutex_);
  PromiseEffects effects;
  const Status resumed = core_.resume_session(session, clock_.now(), effects);
  carry_out(effects);
  return resumed;
}

void PromiseKeeper::end_session(SessionId session, SessionOver::Why why) {
  const MutexLock lock(mutex_);
  PromiseEffects effects;
  core_.end_session(session, why, clock_.now(), effects);
  carry_out(effects);
}

Status PromiseKeeper::check_session(SessionId session) {
  const MutexLock lock(mutex_);
  return core_.check_session(session);
}

Status PromiseKeeper::stream_up(SessionId session) {
  const MutexLock lock(mutex_);
  PromiseEffects effects;
  const Status up = core_.stream_up(session, clock_.now(), effects);
  carry_out(effects);
  return up;
}

void PromiseKeeper::stream_down(SessionId session) {
  const MutexLock lock(mutex_);
  PromiseEffects none;
  core_.stream_down(session, clock_.now());
  carry_out(none);
}

void PromiseKeeper::on_renewal(SessionId session, std::uint64_t number) {
  const MutexLock lock(mutex_);
  PromiseEffects effects;
  core_.on_renewal(session, number, clock_.now(), effects);
  carry_out(effects);
}

Status PromiseKeeper::on_acknowledge(SessionId session, std::uint64_t number) {
  const MutexLock lock(mutex_);
  PromiseEffects effects;
  const Status done = core_.on_acknowledge(session, number, clock_.now(), effects);
  carry_out(effects);
  return done;
}

Status PromiseKeeper::on_flushing(SessionId session, std::uint64_t number,
                                  std::chrono::milliseconds more, bool may_write) {
  const MutexLock lock(mutex_);
  PromiseEffects effects;
  const Status done = core_.on_flushing(session, number, more, may_write, clock_.now(), effects);
  carry_out(effects);
  return done;
}

void PromiseKeeper::break_session(SessionId session) {
  const MutexLock lock(mutex_);
  PromiseEffects effects;
  core_.break_session(session, clock_.now(), effects);
  carry_out(effects);
}

void PromiseKeeper::break_everything() {
  const MutexLock lock(mutex_);
  PromiseEffects effects;
  core_.break_everything(clock_.now(), effects);
  carry_out(effects);
}

// --- reads ---

ReadToken PromiseKeeper::begin_read() {
  const MutexLock lock(mutex_);
  return core_.begin_read();
}

PromiseKeeper::Granted PromiseKeeper::grant(SessionId session, std::span<const Fid> nodes,
                                            ReadToken token) {
  Granted granted;
  const MutexLock lock(mutex_);
  PromiseEffects effects;
  granted.nodes = core_.grant(session, nodes, token, clock_.now(), granted.clock, effects);
  carry_out(effects);
  return granted;
}

// --- changes ---

Result<PromiseKeeper::Progress> PromiseKeeper::wait_unless_ready(ChangeId change,
                                                                 PromiseEffects& effects,
                                                                 ChangeWaiterPtr waiter) {
  bool ready = false;
  bool expired = false;
  std::erase_if(effects, [&](const PromiseEffect& effect) {
    const auto* const now = std::get_if<ChangeReady>(&effect);
    const auto* const never = std::get_if<ChangeExpired>(&effect);
    ready = ready || (now != nullptr && now->change == change);
    expired = expired || (never != nullptr && never->change == change);
    return (now != nullptr && now->change == change) ||
           (never != nullptr && never->change == change);
  });
  if (!ready && !expired)
    waiters_.emplace(change, std::move(waiter));
  carry_out(effects);
  if (expired)
    return fail(ErrorCode::DeadlineExceeded,
                "others did not give up what they were promised in time");
  return ready ? Progress::Ready : Progress::Waiting;
}

Result<PromiseKeeper::Progress> PromiseKeeper::begin_change(ChangeId change,
                                                            std::optional<ChangeOrigin> origin,
                                                            std::span<const Touched> nodes,
                                                            Instant deadline,
                                                            ChangeWaiterPtr waiter) {
  const MutexLock lock(mutex_);
  PromiseEffects effects;
  const Status begun = core_.begin_change(change, origin, nodes, deadline, clock_.now(), effects);
  if (!begun) {
    carry_out(effects);
    return tl::unexpected(begun.error());
  }
  return wait_unless_ready(change, effects, std::move(waiter));
}

Result<PromiseKeeper::Progress> PromiseKeeper::extend_change(ChangeId change,
                                                             std::span<const Touched> nodes,
                                                             ChangeWaiterPtr waiter) {
  const MutexLock lock(mutex_);
  PromiseEffects effects;
  const Status extended = core_.extend_change(change, nodes, clock_.now(), effects);
  if (!extended) {
    carry_out(effects);
    return tl::unexpected(extended.error());
  }
  return wait_unless_ready(change, effects, std::move(waiter));
}

Status PromiseKeeper::check_marks(ChangeId change, std::optional<SessionId> session,
                                  std::span<const Fid> nodes, std::vector<Fid>& unmarked) {
  const MutexLock lock(mutex_);
  PromiseEffects effects;
  core_.on_time(clock_.now(), effects);
  // Carried out with what end_change() brings, for nothing may be waited for in a transaction.
  queue_locked(effects, nullptr);
  if (session)
    TROTH_TRY_VOID(core_.check_session(*session));
  unmarked.clear();
  for (const Fid& node : nodes) {
    if (!core_.marked(change, node))
      unmarked.push_back(node);
  }
  return {};
}

PromiseCore::Ended PromiseKeeper::end_change(ChangeId change, ChangeNewsPtr news) {
  const MutexLock lock(mutex_);
  PromiseEffects effects;
  waiters_.erase(change);
  PromiseCore::Ended ended = core_.end_change(change, news != nullptr, clock_.now(), effects);
  carry_out(effects, news);
  return ended;
}

void PromiseKeeper::leave_change(ChangeId change, common::VolumeId volume) {
  const MutexLock lock(mutex_);
  left_[volume].push_back(change);
}

void PromiseKeeper::forget_volume(common::VolumeId volume) {
  const MutexLock lock(mutex_);
  const auto left = left_.extract(volume);
  if (left.empty())
    return;
  PromiseEffects effects;
  for (const ChangeId change : left.mapped())
    core_.end_change(change, false, clock_.now(), effects);
  carry_out(effects);
}

PromiseCounts PromiseKeeper::counts() {
  const MutexLock lock(mutex_);
  return core_.counts();
}

bool PromiseKeeper::clean_to_stop() {
  const MutexLock lock(mutex_);
  return core_.clean_to_stop();
}

std::size_t PromiseKeeper::memory_bytes() {
  const MutexLock lock(mutex_);
  return core_.memory_bytes();
}

}  // namespace fileserver
