#pragma once

// A database of this project: SQLite, with what SQLite leaves to its user done once and for all.
// Who may write, when a change is committed, when it is on the disk, and what is refused rather
// than served: see README.md.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include "common/clock.hpp"
#include "common/db/disk_probe.hpp"
#include "common/db/function_ref.hpp"
#include "common/db/transaction.hpp"
#include "common/result.hpp"

namespace common::db {

// One step of the schema, run once, in a transaction of its own. The first takes an empty database
// to version 1. `sql` has no BEGIN or COMMIT.
struct Migration {
  std::string_view sql;
};

struct Options {
  // Tells our kinds of database apart; one that carries another is refused.
  std::uint32_t application_id = 0;

  // Reads at once, each with a cache of its own; more wait.
  std::size_t readers = 8;
  int reader_cache_kib = 2000;
  // A read that takes longer fails: an open read keeps the WAL from being reused.
  std::chrono::milliseconds longest_read{5000};
  // Small transactions slow down with more.
  int writer_cache_kib = 8000;
  // What a deleted row held is overwritten with zeros in its page: for databases of secrets. Older
  // frames of the WAL keep it until the WAL is used again.
  bool overwrite_deleted = false;

  // Committed changes reach the disk within this time even if nobody asks.
  std::chrono::milliseconds flush_interval{50};
  // Runs before each sync of the WAL, on the thread that syncs: whatever committed rows point to
  // must reach the disk first. Its failure poisons.
  std::function<Status()> before_sync;

  // The WAL is copied into the database at this many pages (16 MB), and above the cap (64 MB, some
  // 26 ms to recover) by waiting for readers to end.
  int checkpoint_pages = 4000;
  int wal_cap_pages = 16'000;

  // After anything but a clean stop, check the structure of the whole database before serving it.
  bool check_after_unclean_stop = true;
  // For recovery tools: take a database that is older than its stable mark, or has lost the mark,
  // as the truth from now on.
  bool accept_lost_commits = false;
  // The mark stays where it was until release_mark(): for an owner who first looks whether what
  // commits point to has reached the disk, too. Closing before that leaves it there.
  bool hold_mark = false;

  DiskProbe* probe = nullptr;  // for tests
};

template <typename T>
struct Committed {
  T value;
  std::uint64_t number = 0;  // of the commit, for wait_stable()
};

struct DatabaseStatus {
  std::uint64_t committed = 0;
  std::uint64_t stable = 0;
  std::uint64_t requests = 0;
  std::size_t waiting = 0;  // commits in the queue
  std::uint64_t largest_group = 0;
  std::uint64_t checkpoints = 0;
  std::uint64_t blocked_checkpoints = 0;
  int wal_pages = 0;
  bool wal_over_cap = false;    // a reader stays too long: an alarm
  std::optional<Error> poison;  // why nothing is written any more
};

// Safe from any thread. Threads of its own: db-writer, db-flush.
class Database {
 public:
  // Opens `path`, or makes it: the directory must exist. Beside it appear `path`.lock, `path`-mark
  // and SQLite's own `path`-wal and `path`-shm. Refuses, with one line that says what to do: Busy
  // (another process or object has it), Unsupported (a newer schema), Corrupt (damaged, or older
  // than it is known to have been), InvalidArgument (not a database of this kind). `clock` must
  // outlive the database; migrations are not kept.
  [[nodiscard]] static Result<std::unique_ptr<Database>> open(const std::string& path,
                                                              Options options,
                                                              std::span<const Migration> migrations,
                                                              const Clock& clock);

  // Closes in order unless close() has been called; its failures are lost.
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Runs `change`, a function (WriteTx&) -> Result<T> or Status, in a transaction, and returns when
  // that is committed: visible to every read begun later, and safe from kill -9; wait_stable() for
  // power loss. If `change` fails, nothing of it is kept and its error is returned; others of its
  // group are not touched.
  //
  // `change` runs on this thread or on db-writer, while this call waits. It may run more than once,
  // of which only the last counts, so it resets what it captured; it must not block or use this
  // Database. Also: Overloaded (too many wait), DeadlineExceeded (not executed), NoSpace, IoError
  // or Corrupt (poisoned), OutcomeUnknown (the disk failed during COMMIT).
  template <typename F>
  [[nodiscard]] auto commit(F&& change, std::optional<Instant> deadline = std::nullopt) {
    using Value = typename std::invoke_result_t<F&, WriteTx&>::value_type;
    if constexpr (std::is_void_v<Value>) {
      return commit_change(change, deadline);
    } else {
      std::optional<Value> value;
      auto keep = [&](WriteTx& tx) -> Status {
        Result<Value> result = change(tx);
        if (!result)
          return tl::unexpected(std::move(result).error());
        value = *std::move(result);
        return {};
      };
      Result<std::uint64_t> number = commit_change(keep, deadline);
      if (!number)
        return Result<Committed<Value>>(tl::unexpected(std::move(number).error()));
      return Result<Committed<Value>>(Committed<Value>{*std::move(value), *number});
    }
  }

  // Runs `look`, a function (ReadTx&) -> Result<T> or Status, on a consistent view that holds every
  // commit that had returned. Statements fail with DeadlineExceeded after `longest_read` or the
  // deadline. Overloaded: no connection became free in time.
  template <typename F>
  [[nodiscard]] auto read(F&& look, std::optional<Instant> deadline = std::nullopt)
      -> std::invoke_result_t<F&, ReadTx&> {
    using Value = typename std::invoke_result_t<F&, ReadTx&>::value_type;
    if constexpr (std::is_void_v<Value>) {
      return read_view(look, deadline);
    } else {
      std::optional<Value> value;
      auto keep = [&](ReadTx& tx) -> Status {
        Result<Value> result = look(tx);
        if (!result)
          return tl::unexpected(std::move(result).error());
        value = *std::move(result);
        return {};
      };
      TROTH_TRY_VOID(read_view(keep, deadline));
      return *std::move(value);
    }
  }

  // What a read that begins now sees, as a number that stands for these rows and no others; 0: that
  // is about to change. For whoever keeps what he has read: ask, read, keep it under that number,
  // and use it while the answer is still the same.
  [[nodiscard]] std::uint64_t read_state() const;

  // The newest commit, and the newest that survives a power loss.
  [[nodiscard]] std::uint64_t committed() const;
  [[nodiscard]] std::uint64_t stable() const;
  // How far the mark went when the database was opened: what a former life had made stable, with
  // `before_sync`, and perhaps told somebody. Not the whole of it: the mark follows.
  [[nodiscard]] std::uint64_t marked_when_opened() const;
  // See Options::hold_mark: from here on the mark follows what is stable.
  void release_mark();
  // Returns once commit `number` survives a power loss. DeadlineExceeded leaves it committed.
  [[nodiscard]] Status wait_stable(std::uint64_t number, Instant deadline);
  // The same for all that has been committed so far.
  [[nodiscard]] Status sync(Instant deadline);

  // Reads the whole database: pages, structure, and with Full also indices against tables. Takes
  // its time, during which the WAL grows; other calls go on. Corrupt poisons.
  enum class CheckDepth : std::uint8_t { Quick, Full };
  [[nodiscard]] Status check(CheckDepth depth);

  // Ok, or why nothing is written any more.
  [[nodiscard]] Status health() const;
  // Neither waits for the disk.
  [[nodiscard]] DatabaseStatus status() const;

  // Syncs, empties the WAL, notes the clean stop, closes. No other call may be under way or follow.
  [[nodiscard]] Status close();

 private:
  struct Parts;
  explicit Database(std::unique_ptr<Parts> parts);
  [[nodiscard]] Result<std::uint64_t> commit_change(FunctionRef<Status(WriteTx&)> change,
                                                    std::optional<Instant> deadline);
  [[nodiscard]] Status read_view(FunctionRef<Status(ReadTx&)> look,
                                 std::optional<Instant> deadline);

  std::unique_ptr<Parts> parts_;
};

}  // namespace common::db
