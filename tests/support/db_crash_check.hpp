#pragma once

// A workload on a database and what must be true of it after any crash: shared by the test and the
// soak program.

#include <cstdint>
#include <functional>
#include <string>

#include "common/clock.hpp"
#include "common/db/database.hpp"

namespace test_support {

// Entry n is the whole of commit n of the workload: present entries must be 1..k without a gap.
inline constexpr common::db::Migration kCrashSchema[] = {
    {"CREATE TABLE entry(key INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT;"
     "CREATE TABLE total(only_row INTEGER PRIMARY KEY, entries INTEGER, bytes INTEGER) STRICT;"
     "INSERT INTO total VALUES (1, 0, 0);"}};

// Opens with small limits, so that checkpoints and reuse of the WAL happen often.
[[nodiscard]] common::Result<std::unique_ptr<common::db::Database>> open_crash_database(
    const std::string& path, const common::Clock& clock, common::db::DiskProbe* probe = nullptr);

// Adds the next entry in one commit of several rows; returns the commit's number.
[[nodiscard]] common::Result<std::uint64_t> add_entry(common::db::Database& db, std::int64_t key);

struct CrashVerdict {
  bool opened = false;
  bool consistent = false;    // 1..k, every value as written, totals agree
  std::int64_t entries = 0;   // k
  std::uint64_t commits = 0;  // as the database counts them
  std::string why;            // what was wrong
};
// Opens, checks everything, and closes.
[[nodiscard]] CrashVerdict inspect_crash_database(const std::string& path,
                                                  const common::Clock& clock);

// Runs `child` in a forked process that ends by SIGKILL after about `lifetime`, or earlier if it
// returns; the kill is asked of the kernel's timer, so it strikes anywhere.
void run_and_kill(const std::function<void()>& child, std::chrono::microseconds lifetime);

// Where many small images are made fastest: memory if there is any, else the usual place.
[[nodiscard]] std::string scratch_directory();

}  // namespace test_support
