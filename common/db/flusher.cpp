#include "common/db/flusher.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>

namespace common::db {
namespace {

using namespace std::chrono_literals;

// No wait is without an end: the thread looks around this often even if a wake-up was lost.
constexpr auto kLongestSleep = 1h;

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

}  // namespace

Flusher::Flusher(UniqueFd wal, std::unique_ptr<StableMark> mark, std::uint64_t committed,
                 Options options, Poison& poison, const Clock& clock)
    : wal_(std::move(wal)),
      mark_(std::move(mark)),
      options_(std::move(options)),
      poison_(poison),
      clock_(clock),
      committed_(committed),
      stable_(committed) {
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
  Status synced = call_hook(options_.before_sync);
  if (synced) {
    int error = options_.probe != nullptr ? options_.probe->on_sync(DiskFile::Wal) : 0;
    if (error == 0 && ::fdatasync(wal_.get()) != 0)
      error = errno;
    if (error != 0)
      synced = fail_errno(error, "syncing the database's WAL");
  }
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
    TROTH_TRY_VOID(poison_.check());
    if (syncing_) {
      const Duration left = deadline - clock_.now();
      if (left <= Duration::zero()) {
        return fail(ErrorCode::DeadlineExceeded,
                    "commit {} is not known to be on the disk yet; it stays committed", number);
      }
      changed_.wait_for(mutex_, std::min<Duration>(left, 1s));
      continue;
    }
    syncing_ = true;
    lock.unlock();
    const Status synced = sync_wal();
    lock.lock();
    syncing_ = false;
    changed_.notify_all();
    TROTH_TRY_VOID(synced);
  }
  return {};
}

Status Flusher::write_mark(std::uint64_t stable, bool clean) {
  Status written = mark_->record(stable, clean);
  if (!written)
    poison_.set(written.error());
  return written;
}

void Flusher::flush_main() {
  std::uint64_t marked = stable_.load();
  MutexLock lock(mutex_);
  while (!stopping_) {
    asleep_.store(true);
    if (committed_.load() == marked)
      changed_.wait_for(mutex_, kLongestSleep);
    asleep_.store(false);
    if (committed_.load() == marked)
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
    const Status synced = wait_stable(committed_.load(), clock_.now() + kLongestSleep);
    const std::uint64_t stable = stable_.load();
    const bool marked_now = synced && write_mark(stable, false);
    lock.lock();
    if (poison_.is_set())
      return;  // there is nothing more to flush
    // Otherwise the wait has only run out: the machine slept through somebody else's sync.
    if (marked_now)
      marked = stable;
  }
}

Status Flusher::close(bool clean) {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (!thread_.joinable())
    return {};
  thread_.join();
  if (!clean)
    return {};
  TROTH_TRY_VOID(poison_.check());
  return write_mark(stable_.load(), true);
}

}  // namespace common::db
