#include "common/db/writer.hpp"

#include <pthread.h>

#include <algorithm>
#include <exception>
#include <new>

#include "common/failpoint/failpoint.hpp"

// The life of one commit: commit() -> try_commit_alone() or enqueue() and wait_until_done();
// writer_main() -> take_group() -> run_group(); both end in finish_commit().

namespace common::db {
namespace {

using namespace std::chrono_literals;

// Requests that may wait: at some 50,000 a second, this much is 80 ms of work.
constexpr std::size_t kMaxWaiting = 4096;
constexpr auto kRetryAfter = 50ms;
// A group stops taking more of its requests after this time, so the first is not held up for long.
constexpr auto kMaxGroupTime = 5ms;
// Measured: with this memory of a crowd, both one caller and many get what the better of "commit
// yourself" and "hand over" gives them.
constexpr auto kCrowdMemory = 5ms;
// No wait is without an end.
constexpr auto kLongestRest = 1h;
// A WAL that nobody has added to for this long is copied while there is time.
constexpr auto kIdle = 500ms;
// After a checkpoint that a reader blocked.
constexpr auto kFirstBackOff = 20ms;
constexpr auto kLongestBackOff = 2s;
// The WAL may pass its cap by this factor while readers hold it; then commits wait for them to end:
// so many turns of so long at most, whatever the clock shows.
constexpr int kHardCapFactor = 6;
constexpr int kMostTurns = 100;
constexpr auto kTurn = 20ms;

Status call_change(Writer::Change& change, WriteTx& tx) {
  try {
    return change(tx);
  } catch (const std::bad_alloc&) {
    return tl::unexpected(Error{ErrorCode::ResourceExhausted, "out of memory"});
  } catch (const std::exception& e) {
    return fail(ErrorCode::Internal, "a commit threw: {}", e.what());
  }
}

}  // namespace

Writer::Writer(std::unique_ptr<Connection> connection, std::uint64_t last_commit, Options options,
               Flusher& flusher, ReadPool& readers, ReadState& state, Poison& poison,
               const Clock& clock)
    : options_(options),
      flusher_(flusher),
      readers_(readers),
      state_(state),
      poison_(poison),
      clock_(clock),
      connection_(std::move(connection)),
      last_commit_(last_commit) {
  thread_ = std::thread([this] { writer_main(); });
  ::pthread_setname_np(thread_.native_handle(), "db-writer");
}

Writer::~Writer() {
  static_cast<void>(close(false));
}

Result<std::uint64_t> Writer::commit(Change change, Instant deadline) {
  TROTH_TRY_VOID(poison_.check());
  if (is_wal_full())
    TROTH_TRY_VOID(wait_for_room(deadline));
  Request request(change, deadline);
  if (try_commit_alone(request))
    return std::move(request.outcome);
  TROTH_TRY_VOID(enqueue(request));
  wait_until_done(request);
  return std::move(request.outcome);
}

bool Writer::is_wal_full() const {
  return wal_pages_.load() > options_.wal_cap_pages * kHardCapFactor;
}

Status Writer::wait_for_room(Instant deadline) {
  MutexLock lock(queue_mutex_);
  for (int turn = 0; is_wal_full(); ++turn) {
    TROTH_TRY_VOID(poison_.check());
    if (stopping_)
      return fail(ErrorCode::Unavailable, "the database is being closed");
    if (turn == kMostTurns || clock_.now() >= deadline) {
      auto refused = fail(ErrorCode::Overloaded, "the WAL has {} pages that a reader keeps in use",
                          wal_pages_.load());
      refused.value().retry_after = kRetryAfter;
      return refused;
    }
    // However long it wanted to wait since a reader blocked it: nobody commits meanwhile.
    checkpoint_due_.store(true);
    queue_changed_.notify_one();
    room_made_.wait_for(queue_mutex_, kTurn);
  }
  return {};
}

bool Writer::try_commit_alone(Request& request) {
  if (waiting_.load() != 0 || checkpoint_due_.load())
    return false;
  const Instant::rep crowd_until =
      last_crowd_.load() + std::chrono::duration_cast<Duration>(kCrowdMemory).count();
  if (clock_.now().time_since_epoch().count() < crowd_until)
    return false;
  if (!commit_mutex_.try_lock())
    return false;
  {
    // Given up also if an allocation of ours throws; the transaction is undone then.
    const MutexLock lock(commit_mutex_, std::adopt_lock);
    Request* const group = &request;
    static_cast<void>(run_group(Group(&group, 1)));
  }
  if (asleep_.load() && asleep_.exchange(false))
    wake_thread();
  return true;
}

Status Writer::enqueue(Request& request) {
  {
    MutexLock lock(queue_mutex_);
    if (stopping_)
      return fail(ErrorCode::Unavailable, "the database is being closed");
    if (waiting_.load() >= kMaxWaiting) {
      auto refused = fail(ErrorCode::Overloaded, "{} commits wait already, which is as many as may",
                          kMaxWaiting);
      refused.value().retry_after = kRetryAfter;
      return refused;
    }
    request.waiting = true;
    request.previous = last_;
    (last_ == nullptr ? first_ : last_->next) = &request;
    last_ = &request;
    if (waiting_.fetch_add(1) != 0)
      return {};  // whoever was first has woken the thread
  }
  queue_changed_.notify_one();
  return {};
}

void Writer::unlink_locked(Request& request) {
  (request.previous == nullptr ? first_ : request.previous->next) = request.next;
  (request.next == nullptr ? last_ : request.next->previous) = request.previous;
  request.next = request.previous = nullptr;
  request.waiting = false;
  waiting_.fetch_sub(1);
}

void Writer::wait_until_done(Request& request) {
  while (!request.done.is_set()) {
    const Duration left = request.deadline - clock_.now();
    // Once it has been taken into a group, the disk decides how long it takes: the request uses
    // this thread's memory, and its outcome will be known.
    if (request.done.wait_for(left > Duration::zero() ? std::min<Duration>(left, 1s) : 1s))
      return;
    if (clock_.now() < request.deadline)
      continue;
    MutexLock lock(queue_mutex_);
    if (!request.waiting)
      continue;
    unlink_locked(request);
    request.outcome = fail(ErrorCode::DeadlineExceeded, "the commit waited too long for its turn");
    return;
  }
}

std::size_t Writer::take_group(std::array<Request*, kMaxGroup>& into) {
  MutexLock lock(queue_mutex_);
  std::size_t taken = 0;
  while (first_ != nullptr && taken < kMaxGroup) {
    Request& request = *first_;
    unlink_locked(request);
    into[taken++] = &request;
  }
  return taken;
}

void Writer::wake_thread() {
  { MutexLock lock(queue_mutex_); }  // the thread is either before its check or in its wait
  queue_changed_.notify_one();
}

void Writer::writer_main() {
  std::uint64_t seen_commits = flusher_.last_committed();
  for (;;) {
    bool timed_out = false;
    {
      MutexLock lock(queue_mutex_);
      if (stopping_)
        return;
      if (first_ == nullptr && !checkpoint_due_.load()) {
        // In this order, so that a commit in between either is seen or sees this thread asleep.
        asleep_.store(true);
        TROTH_FAILPOINT("db.writer.falls_asleep");
        const bool copied = wal_pages_.load() == 0;
        asleep_.store(copied);
        timed_out = !queue_changed_.wait_for(queue_mutex_, copied ? kLongestRest : kIdle);
        asleep_.store(false);
      }
    }
    if (timed_out && wal_pages_.load() != 0 && flusher_.last_committed() == seen_commits) {
      checkpoint_due_.store(true);
    }
    seen_commits = flusher_.last_committed();
    if (checkpoint_due_.load())
      checkpoint_if_memory_allows();
    if (waiting_.load() != 0)
      commit_waiting();
  }
}

void Writer::commit_waiting() {
  std::array<Request*, kMaxGroup> taken{};
  std::size_t count = 0;
  for (std::size_t begin = 0; begin == 0 || begin < count;) {
    std::size_t finished = 0;
    {
      MutexLock lock(commit_mutex_);
      // Only now: while somebody committed alone, more have come.
      if (count == 0)
        count = take_group(taken);
      if (count == 0)
        return;
      finished = run_group(Group(taken).subspan(begin, count - begin));
    }
    for (std::size_t i = 0; i < finished; ++i)
      taken[begin + i]->done.set();
    begin += finished;
  }
}

// What fails for want of memory here fails these requests, never the process: this may be
// db-writer.
std::size_t Writer::run_group(Group group) {
  const std::uint64_t before = last_commit_;
  std::size_t finished = 0;
  try {
    return run_transaction(group, finished);
  } catch (const std::bad_alloc&) {
    finished = std::max<std::size_t>(finished, 1);  // so that it ends
    if (last_commit_ != before)
      return finished;  // done; it was the work afterwards that had no memory
    return fail_all(group.first(finished), {ErrorCode::ResourceExhausted, "out of memory"});
  }
}

// Those that have not failed by themselves.
std::size_t Writer::fail_all(Group group, const Error& error) {
  for (Request* request : group) {
    if (!request->outcome)
      continue;
    Error copy{error.code, {}};
    try {
      copy = error;
    } catch (const std::bad_alloc&) {
      copy.message.clear();  // the code is what matters: that an outcome is unknown, say
    }
    request->outcome = tl::unexpected(std::move(copy));
  }
  return group.size();
}

// Longer than most: the steps of one transaction, each with its own way to fail. `finished` is how
// many of the group have been run.
std::size_t Writer::run_transaction(Group group, std::size_t& finished) {
  const Instant begun = clock_.now();
  if (group.size() > 1)
    last_crowd_.store(begun.time_since_epoch().count());
  const std::uint64_t number = last_commit_ + 1;
  for (Request* request : group)
    request->outcome = number;
  if (Status usable = poison_.check(); !usable)
    return fail_all(group, usable.error());
  auto transaction = Transaction::begin(*connection_);
  if (!transaction) {
    notice_damage();
    return fail_all(group, transaction.error());
  }
  std::size_t succeeded = 0;
  while (finished < group.size() && (finished == 0 || clock_.now() - begun < kMaxGroupTime)) {
    Request& request = *group[finished++];
    Status done = run_request(request, group.size() == 1, number);
    if (done) {
      ++succeeded;
      continue;
    }
    request.outcome = tl::unexpected(std::move(done).error());
    if (!connection_->in_transaction()) {
      // SQLite undid the whole transaction (no memory, full disk, interrupt): so the others', too.
      notice_damage();
      run_one_by_one(group.first(finished), request);
      return finished;
    }
  }
  if (succeeded > 0) {
    if (Status committed = finish_commit(*transaction, number); !committed) {
      fail_all(group.first(finished), committed.error());
    }
  }
  {
    auto counters = counters_.lock();
    counters->commits += succeeded > 0 ? 1 : 0;
    counters->requests += finished;
    counters->largest_group = std::max<std::uint64_t>(counters->largest_group, finished);
  }
  notice_damage();
  notice_wal();
  return finished;
}

void Writer::run_one_by_one(Group group, const Request& culprit) {
  for (Request* request : group) {
    if (request != &culprit)
      static_cast<void>(run_group(Group(&request, 1)));
  }
}

Status Writer::run_request(Request& request, bool alone, std::uint64_t number) {
  if (clock_.now() >= request.deadline) {
    return fail(ErrorCode::DeadlineExceeded, "the commit's deadline passed before its turn");
  }
  WriteTx tx(*connection_, number);
  Change change = request.change;
  connection_->set_deadline(request.deadline);
  Status done;
  if (alone) {
    done = call_change(change, tx);
  } else {
    auto part = Savepoint::begin(*connection_);
    if (part) {
      done = call_change(change, tx);
      connection_->set_deadline(std::nullopt);
      if (done && connection_->in_transaction())
        done = part->release();
    } else {
      done = tl::unexpected(part.error());
    }
  }
  connection_->set_deadline(std::nullopt);
  if (done && !connection_->in_transaction()) {
    return fail(ErrorCode::ResourceExhausted, "SQLite gave the transaction up");
  }
  return done;
}

Status Writer::finish_commit(Transaction& transaction, std::uint64_t number) {
  TROTH_TRY_VOID(connection_->run("UPDATE troth_database SET commits = ?1", number));
  ReadState::Change change(state_);
  Status committed = transaction.commit();
  if (!committed) {
    // With the outcome unknown, what a reader or a next group would see is unknown, too.
    if (committed.error().code == ErrorCode::OutcomeUnknown) {
      change.outcome_unknown();
      poison_.set(committed.error());
    } else if (connection_->failed_beside_the_wal()) {
      if (!cover_failed_commit())
        committed.error().code = ErrorCode::OutcomeUnknown;  // after a kill -9 it may be there
      // Readers never see it, nor what covers it.
    }
    return committed;
  }
  last_commit_ = number;
  flusher_.committed(number);
  return {};
}

// The failed commit may be whole in the WAL, only not in its index: SQLite goes on without it, but
// a recovery would find it. A commit that changes nothing takes its place there.
bool Writer::cover_failed_commit() {
  constexpr const char* kSetNumber = "UPDATE troth_database SET commits = ?1";
  try {
    auto cover = Transaction::begin(*connection_);
    // There and back: a page that never changed is not written.
    return cover && connection_->run(kSetNumber, last_commit_ + 1) &&
           connection_->run(kSetNumber, last_commit_) && cover->commit();
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void Writer::notice_damage() {
  if (const auto damage = connection_->take_damage())
    poison_.set(*damage);
}

void Writer::notice_wal() {
  const int pages = connection_->wal_pages();
  wal_pages_.store(pages);
  if (pages < checkpointed_pages_)
    checkpointed_pages_ = 0;  // it began anew
  if (pages - checkpointed_pages_ < options_.checkpoint_pages)
    return;
  // One that did not wait for readers is no reason to put off one that will.
  const bool backs_off =
      clock_.now() < next_checkpoint_ && (pages <= options_.wal_cap_pages || readers_outlasted_it_);
  if (backs_off || checkpoint_due_.exchange(true))
    return;
  wake_thread();
}

void Writer::checkpoint_if_memory_allows() {
  try {
    checkpoint();
  } catch (const std::bad_alloc&) {
    return;  // it becomes due again, by its size or when idle
  }
  if (!is_wal_full())
    announce_room();
}

void Writer::announce_room() {
  { MutexLock lock(queue_mutex_); }  // who waits is either before its check or in its wait
  room_made_.notify_all();
}

void Writer::checkpoint() {
  checkpoint_due_.store(false);
  if (poison_.is_set())
    return;
  // Outside of the lock: this leaves little for the checkpoint's own sync to wait for.
  if (!flusher_.wait_stable(flusher_.last_committed(), clock_.now() + kLongestRest))
    return;
  const ReadPool::LetGo let_go(readers_);
  MutexLock lock(commit_mutex_);
  // Over the cap, wait for readers to end (as long as the busy timeout) and give the space back.
  const int pages = connection_->wal_pages();
  const auto mode = pages > options_.wal_cap_pages ? Connection::CheckpointMode::Truncate
                                                   : Connection::CheckpointMode::Passive;
  const auto done = connection_->checkpoint(mode);
  notice_damage();
  const bool whole = done && done->copied_pages >= done->wal_pages;
  {
    auto counters = counters_.lock();
    ++counters->checkpoints;
    if (!whole)
      ++counters->blocked_checkpoints;
  }
  if (whole) {
    back_off_ = Duration::zero();
    readers_outlasted_it_ = false;
    checkpointed_pages_ = done->wal_pages;
    wal_pages_.store(0);  // nothing left to copy, although the file keeps its length
    return;
  }
  readers_outlasted_it_ = mode == Connection::CheckpointMode::Truncate;
  back_off_ = std::clamp<Duration>(back_off_ * 2, kFirstBackOff, kLongestBackOff);
  next_checkpoint_ = clock_.now() + back_off_;
}

Status Writer::with_connection(FunctionRef<Status(Connection&)> task) {
  MutexLock lock(commit_mutex_);
  Status done = task(*connection_);
  notice_damage();
  return done;
}

Writer::Counters Writer::counters() {
  Counters counters = *counters_.lock();
  counters.wal_pages = wal_pages_.load();
  counters.waiting = waiting_.load();
  return counters;
}

Status Writer::close(bool clean) {
  {
    MutexLock lock(queue_mutex_);
    stopping_ = true;
    queue_changed_.notify_all();
    room_made_.notify_all();
  }
  if (!thread_.joinable())
    return {};
  thread_.join();
  std::array<Request*, kMaxGroup> left{};
  while (const std::size_t count = take_group(left)) {
    for (Request* request : Group(left).first(count)) {
      request->outcome = fail(ErrorCode::Unavailable, "the database is being closed");
      request->done.set();
    }
  }
  if (!clean)
    return {};
  TROTH_TRY_VOID(poison_.check());
  const auto empty_wal = [](Connection& connection) -> Status {
    TROTH_TRY(const auto done, connection.checkpoint(Connection::CheckpointMode::Truncate));
    static_cast<void>(done);
    return {};
  };
  return with_connection(empty_wal);
}

}  // namespace common::db
