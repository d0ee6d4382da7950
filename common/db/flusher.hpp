#pragma once

// From committed to stable: syncs the WAL, and remembers how far.

#include <functional>
#include <memory>
#include <thread>

#include "common/clock.hpp"
#include "common/db/poison.hpp"
#include "common/db/stable_mark.hpp"
#include "common/io/unique_fd.hpp"
#include "common/sync/event.hpp"
#include "common/sync/mutex.hpp"

namespace common::db {

// Knows the number of the last commit in the WAL and of the last one that has reached the disk.
//
// The rule: S is read from `committed` before a sync of the WAL begins, and is stable when that
// sync has succeeded. Should a checkpoint reset the WAL in between, SQLite has synced the WAL, then
// the database, before doing so, and the rule still holds. A failed sync poisons.
//
// The thread (db-flush) syncs within `interval` of a commit and then brings the stable mark up to
// date; callers in a hurry sync themselves, one for all who wait.
class Flusher {
 public:
  struct Options {
    std::chrono::milliseconds interval{50};
    std::function<Status()> before_sync;
    DiskProbe* probe = nullptr;
    bool hold_mark = false;  // until release_mark()
  };
  // `wal` is a descriptor of its own on the WAL (which carries no POSIX locks that closing it could
  // drop). Everything up to `committed` is on the disk already.
  Flusher(UniqueFd wal, std::unique_ptr<StableMark> mark, std::uint64_t committed, Options options,
          Poison& poison, const Clock& clock);
  ~Flusher();
  Flusher(const Flusher&) = delete;
  Flusher& operator=(const Flusher&) = delete;

  // The writer says so after each COMMIT, before it answers anybody. Does not block.
  void committed(std::uint64_t number);
  [[nodiscard]] std::uint64_t last_committed() const { return committed_.load(); }
  [[nodiscard]] std::uint64_t stable() const { return stable_.load(); }

  // Waits until commit `number` is stable; may do the sync in this thread, which the deadline
  // cannot cut short. A number that was never committed is InvalidArgument.
  [[nodiscard]] Status wait_stable(std::uint64_t number, Instant deadline);

  // The mark follows from now on.
  void release_mark();

  // Ends the thread. With `clean`, notes in the mark that everything is on the disk: the caller has
  // synced, emptied the WAL, and writes no more.
  [[nodiscard]] Status close(bool clean);

 private:
  // Who waits for somebody else's sync, on its own stack. Each is woken by itself, and only when
  // there is something for it: woken all at once, they would queue for the lock and be woken for
  // that again.
  struct Waiter {
    explicit Waiter(std::uint64_t number_) : number(number_) {}
    const std::uint64_t number;
    Waiter* next = nullptr;
    bool listed = true;  // under the lock
    Event woken;         // stable, or poisoned, or it has to sync itself
  };

  void flush_main();
  // Syncs, and wakes those whom that concerns.
  [[nodiscard]] Status lead() REQUIRES(mutex_);
  // Waits for whoever syncs now; false: the deadline has passed.
  [[nodiscard]] bool wait_in_line(std::uint64_t number, Instant deadline) REQUIRES(mutex_);
  void wake() REQUIRES(mutex_);
  [[nodiscard]] Waiter* take_those_to_wake() REQUIRES(mutex_);
  void unlist(Waiter& waiter) REQUIRES(mutex_);
  [[nodiscard]] Status sync_wal();
  [[nodiscard]] Status write_mark(std::uint64_t stable, bool clean);
  struct Round {
    bool marked = false;
    bool no_room = false;  // the mark could not be written for now
    std::uint64_t stable = 0;
  };
  [[nodiscard]] Round sync_and_mark();

  const UniqueFd wal_;
  const std::unique_ptr<StableMark> mark_;  // the thread's; after its end, close()'s
  const Options options_;
  Poison& poison_;
  const Clock& clock_;
  std::atomic<std::uint64_t> committed_;
  std::atomic<std::uint64_t> stable_;
  std::atomic<bool> asleep_{false};  // the thread waits for the first commit after all was stable
  Mutex mutex_;
  CondVar changed_;  // for the thread alone
  Waiter* waiting_ GUARDED_BY(mutex_) = nullptr;
  bool syncing_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool mark_held_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace common::db
