#include "common/db/flusher.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <new>

namespace common::db {
namespace {

using namespace std::chrono_literals;

// No wait is without an end: the thread looks around this often even if a wake-up was lost.
constexpr auto kLongestSleep = 1h;

// How long the mark waits for a full disk to have room again.
constexpr auto kRoomRetry = 1s;

// Whatever it throws is its failure: waiters must not be left waiting for a sync that never ends.
Status call_hook(const std::function<Status()>& hook) {
  if (!hook)
    return {};
  try {
    return hook();
  } catch (const std::exception& e) {
    return fail(ErrorCode::Internal, "what runs before a sync threw: {}", e.what());
  }
}

Status sync_after_hook(const std::function<Status()>& hook, DiskProbe* probe, int wal) {
  try {
    TROTH_TRY_VOID(call_hook(hook));
    int error = probe != nullptr ? probe->on_sync(DiskFile::Wal) : 0;
    if (error == 0 && ::fdatasync(wal) != 0)
      error = errno;
    if (error != 0)
      return fail_errno(error, "syncing the database's WAL");
    return {};
  } catch (const std::bad_alloc&) {
    return tl::unexpected(Error{ErrorCode::IoError, "sync failed"});  // no memory to say why
  }
}

}  // namespace

Flusher::Flusher(UniqueFd wal, std::unique_ptr<StableMark> mark, std::uint64_t committed,
                 Options options, Poison& poison, const Clock& clock)
    : wal_(std::move(wal)),
      mark_(std::move(mark)),
      options_(std::move(options)),
      poison_(poison),
      clock_(clock),
      committed_(committed),
      stable_(committed),
      mark_held_(options_.hold_mark) {
  thread_ = std::thread([this] { flush_main(); });
  ::pthread_setname_np(thread_.native_handle(), "db-flush");
}

Flusher::~Flusher() {
  static_cast<void>(close(false));
}

void Flusher::committed(std::uint64_t number) {
  committed_.store(number);
  // Sequentially consistent with the thread's own check, so one of the two sees the other.
  if (!asleep_.load() || !asleep_.exchange(false))
    return;
  { MutexLock lock(mutex_); }  // the thread is either before its check or in its wait
  changed_.notify_all();
}

Status Flusher::sync_wal() {
  const std::uint64_t covered = committed_.load();
  Status synced = sync_after_hook(options_.before_sync, options_.probe, wal_.get());
  if (!synced) {
    poison_.set(synced.error());
    return synced;
  }
  stable_.store(covered);
  return {};
}

Status Flusher::wait_stable(std::uint64_t number, Instant deadline) {
  if (number > committed_.load()) {
    return fail(ErrorCode::InvalidArgument, "commit {} does not exist yet", number);
  }
  MutexLock lock(mutex_);
  while (stable_.load() < number) {
    if (Status healthy = poison_.check(); !healthy) {
      wake();  // this may be who was to sync for the others
      return healthy;
    }
    if (!syncing_) {
      TROTH_TRY_VOID(lead());
    } else if (!wait_in_line(number, deadline)) {
      return fail(ErrorCode::DeadlineExceeded,
                  "commit {} is not known to be on the disk yet; it stays committed", number);
    }
  }
  return {};
}

Status Flusher::lead() {
  syncing_ = true;
  Status synced;
  {
    const MutexUnlock unlocked(mutex_);
    synced = sync_wal();
  }
  syncing_ = false;
  wake();
  return synced;
}

void Flusher::wake() {
  Waiter* next = take_those_to_wake();
  const MutexUnlock unlocked(mutex_);
  while (next != nullptr) {
    Waiter& waiter = *next;
    next = waiter.next;  // once woken it is gone
    waiter.woken.set();
  }
}

// All who have what they wait for, or never will; and one more, to sync for the others.
Flusher::Waiter* Flusher::take_those_to_wake() {
  const std::uint64_t stable = stable_.load();
  const bool all = poison_.is_set();
  bool has_leader = false;
  Waiter* taken = nullptr;
  for (Waiter** place = &waiting_; *place != nullptr;) {
    Waiter& waiter = **place;
    if (!all && waiter.number > stable && std::exchange(has_leader, true)) {
      place = &waiter.next;
      continue;
    }
    *place = waiter.next;
    waiter.listed = false;
    waiter.next = taken;
    taken = &waiter;
  }
  return taken;
}

void Flusher::unlist(Waiter& waiter) {
  for (Waiter** place = &waiting_; *place != nullptr; place = &(*place)->next) {
    if (*place != &waiter)
      continue;
    *place = waiter.next;
    return;
  }
}

bool Flusher::wait_in_line(std::uint64_t number, Instant deadline) {
  Waiter self(number);
  self.next = waiting_;
  waiting_ = &self;
  {
    const MutexUnlock unlocked(mutex_);
    for (bool over = false; !over;) {
      const Duration left = deadline - clock_.now();
      over = self.woken.wait_for(std::min<Duration>(left, 1s)) || left <= Duration::zero();
    }
  }
  if (self.listed) {
    unlist(self);
    return false;
  }
  // Whoever took it off the list is about to touch it for the last time.
  const MutexUnlock unlocked(mutex_);
  while (!self.woken.wait_for(1s)) {
  }
  return true;
}

Status Flusher::write_mark(std::uint64_t stable, bool clean) {
  Status written = mark_->record(stable, clean);
  // The mark is a lower bound, so without room for it nothing is wrong but that it is late. Any
  // other failure is the disk's.
  if (!written && written.error().code != ErrorCode::NoSpace)
    poison_.set(written.error());
  return written;
}

Flusher::Round Flusher::sync_and_mark() {
  Round round;
  try {
    if (!wait_stable(committed_.load(), clock_.now() + kLongestSleep))
      return round;
    round.stable = stable_.load();
    const Status written = write_mark(round.stable, false);
    round.marked = written.has_value();
    round.no_room = !written && written.error().code == ErrorCode::NoSpace;
  } catch (const std::bad_alloc&) {
    round.no_room = true;  // the same for the mark: it is late, and written when it can be
  }
  return round;
}

void Flusher::flush_main() {
  std::uint64_t marked = mark_->state().stable;
  bool no_room = false;
  MutexLock lock(mutex_);
  while (!stopping_) {
    asleep_.store(true);
    // Without room only the mark has to wait, not what is still to be synced.
    const bool wait_for_room = no_room && committed_.load() == stable_.load();
    if (committed_.load() == marked || mark_held_ || wait_for_room)
      changed_.wait_for(mutex_, wait_for_room ? Duration(kRoomRetry) : Duration(kLongestSleep));
    asleep_.store(false);
    // While the mark is held its owner syncs what has to be.
    if (committed_.load() == marked || mark_held_)
      continue;
    // Others' syncs wake this wait, too; they change nothing about when the interval is over.
    const Instant until = clock_.now() + options_.interval;
    for (Duration left = options_.interval; left > Duration::zero() && !stopping_;
         left = until - clock_.now()) {
      changed_.wait_for(mutex_, std::min<Duration>(left, options_.interval));
    }
    if (stopping_)
      return;
    lock.unlock();
    const Round round = sync_and_mark();
    lock.lock();
    if (poison_.is_set())
      return;  // there is nothing more to flush
    // Not marked without a reason: the machine slept through somebody else's sync.
    if (round.marked)
      marked = round.stable;
    no_room = round.no_room;
  }
}

void Flusher::release_mark() {
  MutexLock lock(mutex_);
  mark_held_ = false;
  changed_.notify_all();
}

Status Flusher::close(bool clean) {
  bool held = false;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    held = mark_held_;
    changed_.notify_all();
  }
  if (!thread_.joinable())
    return {};
  thread_.join();
  if (!clean)
    return {};
  TROTH_TRY_VOID(poison_.check());
  Status written = write_mark(held ? mark_->state().stable : stable_.load(), true);
  // All is on the disk; only the next opening has to find that out for itself.
  if (!written && written.error().code == ErrorCode::NoSpace)
    return {};
  return written;
}

}  // namespace common::db
