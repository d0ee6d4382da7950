#include "tests/support/db_crash_check.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>

namespace test_support {

using common::Result;
using common::Status;
using common::db::Database;
using common::db::ReadTx;
using common::db::WriteTx;

namespace {

// Sizes from a few bytes to over a page, so entries share pages and span them.
std::string value_of(std::int64_t key) {
  std::string value;
  const auto size = static_cast<std::size_t>(key * 7919 % 6000);
  value.reserve(size);
  while (value.size() < size)
    value += std::to_string(key * 1'000'003 + static_cast<int>(value.size()));
  value.resize(size);
  return value;
}

Status check_content(ReadTx& tx, CrashVerdict& verdict) {
  std::int64_t bytes = 0;
  TROTH_TRY(auto rows, tx.query("SELECT key, value FROM entry ORDER BY key"));
  for (;;) {
    TROTH_TRY(const bool row, rows.step());
    if (!row)
      break;
    const std::string expected = value_of(++verdict.entries);
    const auto blob = rows.column_blob(1);
    const std::string_view found(reinterpret_cast<const char*>(blob.data()), blob.size());
    if (rows.column_int64(0) != verdict.entries || found != expected) {
      return common::fail(common::ErrorCode::Corrupt, "entry {} is missing or changed",
                          verdict.entries);
    }
    bytes += static_cast<std::int64_t>(found.size());
  }
  TROTH_TRY(auto total, tx.query("SELECT entries, bytes FROM total"));
  TROTH_TRY(const bool row, total.step());
  if (!row || total.column_int64(0) != verdict.entries || total.column_int64(1) != bytes) {
    return common::fail(common::ErrorCode::Corrupt, "totals of {} entries do not agree",
                        verdict.entries);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Database>> open_crash_database(const std::string& path,
                                                      const common::Clock& clock,
                                                      common::db::DiskProbe* probe) {
  return Database::open(path,
                        {.application_id = 0x63726173,
                         .readers = 1,
                         .flush_interval = std::chrono::milliseconds(5),
                         .checkpoint_pages = 40,
                         .wal_cap_pages = 200,
                         .probe = probe},
                        kCrashSchema, clock);
}

Result<std::uint64_t> add_entry(Database& db, std::int64_t key) {
  const std::string value = value_of(key);
  return db.commit([&](WriteTx& tx) -> Status {
    TROTH_TRY_VOID(tx.run("INSERT INTO entry VALUES (?1, ?2)", key,
                          std::as_bytes(std::span(value.data(), value.size()))));
    return tx.run("UPDATE total SET entries = entries + 1, bytes = bytes + ?1", value.size());
  });
}

CrashVerdict inspect_crash_database(const std::string& path, const common::Clock& clock) {
  CrashVerdict verdict;
  auto db = open_crash_database(path, clock);
  if (!db) {
    verdict.why = db.error().message;
    return verdict;
  }
  verdict.opened = true;
  verdict.commits = (*db)->committed();
  Status content = (*db)->read([&](ReadTx& tx) { return check_content(tx, verdict); });
  if (content)
    content = (*db)->check(Database::CheckDepth::Full);
  // And it can go on.
  if (content) {
    if (auto added = add_entry(**db, verdict.entries + 1); !added) {
      content = tl::unexpected(added.error());
    }
  }
  verdict.consistent = content.has_value();
  if (!content)
    verdict.why = content.error().message;
  return verdict;
}

void run_and_kill(const std::function<void()>& child, std::chrono::microseconds lifetime) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    sigevent kill_me{};
    kill_me.sigev_notify = SIGEV_SIGNAL;
    kill_me.sigev_signo = SIGKILL;
    timer_t timer{};
    itimerspec when{};
    when.it_value.tv_sec = lifetime.count() / 1'000'000;
    when.it_value.tv_nsec = lifetime.count() % 1'000'000 * 1000 + 1;
    if (::timer_create(CLOCK_MONOTONIC, &kill_me, &timer) != 0)
      ::_exit(1);
    if (::timer_settime(timer, 0, &when, nullptr) != 0)
      ::_exit(1);
    child();
    ::_exit(0);
  }
  int status = 0;
  if (pid > 0)
    ::waitpid(pid, &status, 0);
}

std::string scratch_directory() {
  std::error_code ignored;
  const std::filesystem::path memory = "/dev/shm";
  if (std::filesystem::is_directory(memory, ignored) && ::access(memory.c_str(), W_OK) == 0) {
    return memory;
  }
  return std::filesystem::temp_directory_path();
}

}  // namespace test_support
