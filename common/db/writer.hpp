#pragma once

// The one connection that writes, and the only one that copies the WAL into the database.

#include <array>
#include <memory>
#include <span>
#include <thread>

#include "common/db/flusher.hpp"
#include "common/db/function_ref.hpp"
#include "common/db/read_pool.hpp"
#include "common/db/transaction.hpp"
#include "common/sync/event.hpp"
#include "common/sync/locked.hpp"

namespace common::db {

// Group commit. A caller commits in its own thread while it is alone, since a hand-off to another
// thread and back costs twice the commit itself; once several come at a time, the thread
// (db-writer) takes all that wait into one transaction, each in a savepoint of its own.
class Writer {
 public:
  struct Options {
    int checkpoint_pages = 4000;
    int wal_cap_pages = 16'000;
  };
  struct Counters {
    std::uint64_t commits = 0;  // transactions
    std::uint64_t requests = 0;
    std::uint64_t largest_group = 0;
    std::uint64_t checkpoints = 0;
    std::uint64_t blocked_checkpoints = 0;  // those that a reader kept from copying all
    int wal_pages = 0;
    std::size_t waiting = 0;
  };
  using Change = FunctionRef<Status(WriteTx&)>;

  // `readers` are asked to let the WAL go before each checkpoint, `state` is theirs.
  Writer(std::unique_ptr<Connection> connection, std::uint64_t last_commit, Options options,
         Flusher& flusher, ReadPool& readers, ReadState& state, Poison& poison, const Clock& clock);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // See Database::commit.
  [[nodiscard]] Result<std::uint64_t> commit(Change change, Instant deadline);

  // Runs `task` on the connection, outside of any transaction, while nobody commits.
  [[nodiscard]] Status with_connection(FunctionRef<Status(Connection&)> task);

  // Does not wait for a commit that is under way.
  [[nodiscard]] Counters counters();

  // Ends the thread; commits that still wait fail with Unavailable. With `clean`, empties the WAL.
  [[nodiscard]] Status close(bool clean);

 private:
  // A commit that somebody waits for; lives on that caller's stack.
  struct Request {
    Request(Change c, Instant d) : change(c), deadline(d) {}
    const Change change;
    const Instant deadline;
    Result<std::uint64_t> outcome = fail(ErrorCode::Internal, "not executed");
    Event done;
    Request* next = nullptr;
    Request* previous = nullptr;
    bool waiting = false;  // still in the queue, so its caller may take it back
  };

  // How many requests one transaction takes at most: beyond it the gain is lost in the noise, and
  // the first of the group waits for the last.
  static constexpr std::size_t kMaxGroup = 256;
  using Group = std::span<Request* const>;

  void writer_main();
  void commit_waiting() EXCLUDES(commit_mutex_, queue_mutex_);
  [[nodiscard]] bool try_commit_alone(Request& request) EXCLUDES(commit_mutex_, queue_mutex_);
  [[nodiscard]] Status enqueue(Request& request) EXCLUDES(queue_mutex_);
  [[nodiscard]] bool is_wal_full() const;
  [[nodiscard]] Status wait_for_room(Instant deadline) EXCLUDES(queue_mutex_);
  void announce_room() EXCLUDES(queue_mutex_);
  void wait_until_done(Request& request) EXCLUDES(queue_mutex_);
  void unlink_locked(Request& request) REQUIRES(queue_mutex_);
  [[nodiscard]] std::size_t take_group(std::array<Request*, kMaxGroup>& into)
      EXCLUDES(queue_mutex_);

  // Gives the first ones of the group their outcomes and returns how many.
  [[nodiscard]] std::size_t run_group(Group group) REQUIRES(commit_mutex_);
  [[nodiscard]] std::size_t run_transaction(Group group, std::size_t& finished)
      REQUIRES(commit_mutex_);
  static std::size_t fail_all(Group group, const Error& error);
  void run_one_by_one(Group group, const Request& culprit) REQUIRES(commit_mutex_);
  [[nodiscard]] Status run_request(Request& request, bool alone, std::uint64_t number)
      REQUIRES(commit_mutex_);
  [[nodiscard]] Status finish_commit(Transaction& transaction, std::uint64_t number)
      REQUIRES(commit_mutex_);
  [[nodiscard]] bool cover_failed_commit() REQUIRES(commit_mutex_);
  void notice_damage() REQUIRES(commit_mutex_);
  void notice_wal() REQUIRES(commit_mutex_);
  void checkpoint() EXCLUDES(commit_mutex_);
  void checkpoint_if_memory_allows() EXCLUDES(commit_mutex_);
  void wake_thread() EXCLUDES(queue_mutex_);

  const Options options_;
  Flusher& flusher_;
  ReadPool& readers_;
  ReadState& state_;
  Poison& poison_;
  const Clock& clock_;

  Mutex commit_mutex_;  // held for a whole transaction; taken before queue_mutex_
  const std::unique_ptr<Connection> connection_ PT_GUARDED_BY(commit_mutex_);
  std::uint64_t last_commit_ GUARDED_BY(commit_mutex_);
  int checkpointed_pages_ GUARDED_BY(commit_mutex_) = 0;  // WAL pages at the last checkpoint
  Instant next_checkpoint_ GUARDED_BY(commit_mutex_){};
  Duration back_off_ GUARDED_BY(commit_mutex_){};
  // Whether the last checkpoint waited for readers, in vain.
  bool readers_outlasted_it_ GUARDED_BY(commit_mutex_) = false;

  Mutex queue_mutex_;
  CondVar queue_changed_;
  CondVar room_made_;
  Request* first_ GUARDED_BY(queue_mutex_) = nullptr;
  Request* last_ GUARDED_BY(queue_mutex_) = nullptr;
  bool stopping_ GUARDED_BY(queue_mutex_) = false;

  // Looked at without a lock; each only decides who does something, never whether it is right.
  std::atomic<std::size_t> waiting_{0};
  std::atomic<Instant::rep> last_crowd_{0};  // when a group of more than one was last seen
  std::atomic<bool> checkpoint_due_{false};
  std::atomic<int> wal_pages_{0};
  std::atomic<bool> asleep_{false};
  Locked<Counters> counters_;
  std::thread thread_;
};

}  // namespace common::db
