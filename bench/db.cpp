// Commits, beside the same transaction on bare SQLite in the same run.
//   bench_db --json
// One transaction is five statements, as creating a file is. "Bare" for one caller is a loop on one
// connection; for several, a mutex around that connection: both with stock SQLite at the settings
// that give the same promises (WAL, NORMAL), without page checksums, savepoints or commit numbers.

#include <sqlite3.h>
#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "common/db/database.hpp"
#include "common/sync/mutex.hpp"

namespace {

using namespace std::chrono_literals;
using common::Result;
using common::Status;
using common::db::Database;
using common::db::WriteTx;

const common::SystemClock kClock;
constexpr int kRuns = 5;
constexpr auto kRunTime = 400ms;

constexpr const char* kSchema =
    "CREATE TABLE commits(seq INTEGER PRIMARY KEY, op INTEGER, name BLOB) STRICT;"
    "CREATE TABLE reply(session INTEGER, op INTEGER, body BLOB, PRIMARY KEY(session, op)) STRICT, "
    "WITHOUT ROWID;"
    "CREATE TABLE node(id INTEGER PRIMARY KEY, seq INTEGER, size INTEGER, mtime INTEGER) STRICT;"
    "CREATE TABLE dirent(parent INTEGER, name BLOB, child INTEGER, PRIMARY KEY(parent, name)) "
    "STRICT, "
    "WITHOUT ROWID;"
    "INSERT INTO node VALUES (0, 0, 0, 0);";
constexpr std::array<const char*, 5> kStatements{
    "INSERT INTO commits VALUES (?1, 7, ?2)", "INSERT INTO node VALUES (?1, ?1, 0, 1)",
    "INSERT INTO dirent VALUES (?1 / 1000, ?2, ?1)", "UPDATE node SET seq = ?1 WHERE id = 0",
    "INSERT INTO reply VALUES (?1 % 16, ?1, ?2)"};

struct Scratch {
  std::string path = std::filesystem::temp_directory_path() / "troth-bench-db-XXXXXX";
  Scratch() {
    if (::mkdtemp(path.data()) == nullptr)
      std::abort();
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

void must(bool worked, const char* what) {
  if (worked)
    return;
  std::fprintf(stderr, "bench_db: %s failed\n", what);
  std::exit(1);
}

// Stock SQLite, one connection behind a mutex.
class Bare {
 public:
  explicit Bare(const std::string& path) {
    must(sqlite3_open_v2(path.c_str(), &db_,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                         nullptr) == SQLITE_OK,
         "opening");
    must(sqlite3_exec(
             db_,
             "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
             "PRAGMA secure_delete = OFF; PRAGMA cache_size = -8000;"
             "PRAGMA wal_autocheckpoint = 4000;",
             nullptr, nullptr, nullptr) == SQLITE_OK,
         "tuning");
    must(sqlite3_exec(db_, kSchema, nullptr, nullptr, nullptr) == SQLITE_OK, "the schema");
    begin_ = prepare("BEGIN IMMEDIATE");
    commit_ = prepare("COMMIT");
    for (std::size_t i = 0; i < kStatements.size(); ++i)
      statements_[i] = prepare(kStatements[i]);
  }
  ~Bare() {
    for (sqlite3_stmt* statement : statements_)
      sqlite3_finalize(statement);
    sqlite3_finalize(begin_);
    sqlite3_finalize(commit_);
    sqlite3_close(db_);
  }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;

  void commit(std::int64_t key) {
    const std::string name = "name-" + std::to_string(key);
    const common::MutexLock lock(mutex_);
    step(begin_);
    for (sqlite3_stmt* statement : statements_) {
      sqlite3_bind_int64(statement, 1, key);
      if (sqlite3_bind_parameter_count(statement) > 1) {
        sqlite3_bind_blob(statement, 2, name.data(), static_cast<int>(name.size()), SQLITE_STATIC);
      }
      step(statement);
    }
    step(commit_);
  }

 private:
  sqlite3_stmt* prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    must(sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr) == SQLITE_OK, sql);
    return statement;
  }
  static void step(sqlite3_stmt* statement) {
    must(sqlite3_step(statement) == SQLITE_DONE, sqlite3_sql(statement));
    sqlite3_reset(statement);
  }

  sqlite3* db_ = nullptr;
  sqlite3_stmt* begin_ = nullptr;
  sqlite3_stmt* commit_ = nullptr;
  std::array<sqlite3_stmt*, kStatements.size()> statements_{};
  common::Mutex mutex_;
};

class Ours {
 public:
  explicit Ours(const std::string& path) {
    const std::array migrations{common::db::Migration{kSchema}};
    auto opened = Database::open(path, {}, migrations, kClock);
    must(opened.has_value(), "opening");
    db_ = *std::move(opened);
  }
  void commit(std::int64_t key) {
    const std::string name = "name-" + std::to_string(key);
    const auto bytes = std::as_bytes(std::span(name.data(), name.size()));
    const auto done = db_->commit([&](WriteTx& tx) -> Status {
      TROTH_TRY_VOID(tx.run(kStatements[0], key, bytes));
      TROTH_TRY_VOID(tx.run(kStatements[1], key));
      TROTH_TRY_VOID(tx.run(kStatements[2], key, bytes));
      TROTH_TRY_VOID(tx.run(kStatements[3], key));
      return tx.run(kStatements[4], key, bytes);
    });
    must(done.has_value(), "a commit");
  }

 private:
  std::unique_ptr<Database> db_;
};

struct Measured {
  double per_s = 0;
  double cpu_us = 0;  // of the whole process, for each commit: what other processes cannot blur
};

double process_cpu_us() {
  timespec ts{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
  return static_cast<double>(ts.tv_sec) * 1e6 + static_cast<double>(ts.tv_nsec) / 1e3;
}

// Commits by `callers` threads on a fresh database.
template <typename Store>
Measured measure(int callers) {
  const Scratch scratch;
  Store store(scratch.path + "/bench.db");
  std::atomic<std::int64_t> next{1};
  std::atomic<std::int64_t> done{0};
  const double cpu_before = process_cpu_us();
  const auto begun = kClock.now();
  const auto end = begun + kRunTime;
  const auto work = [&] {
    while (kClock.now() < end) {
      store.commit(next++);
      ++done;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < callers; ++i)
    threads.emplace_back(work);
  work();
  for (auto& thread : threads)
    thread.join();
  const std::chrono::duration<double> took = kClock.now() - begun;
  const auto commits = static_cast<double>(done.load());
  return {commits / took.count(), (process_cpu_us() - cpu_before) / commits};
}

Measured median(const std::vector<Measured>& runs) {
  const auto middle = [&](double Measured::*field) {
    std::vector<double> values;
    values.reserve(runs.size());
    for (const Measured& run : runs)
      values.push_back(run.*field);
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  };
  return {middle(&Measured::per_s), middle(&Measured::cpu_us)};
}

}  // namespace

int main() {
  std::string json = "{";
  for (const int callers : {1, 4, 16, 64}) {
    std::vector<Measured> ours;
    std::vector<Measured> bare;
    for (int run = 0; run < kRuns; ++run) {
      // By turns, so that whatever else the machine does hits both.
      ours.push_back(measure<Ours>(callers));
      bare.push_back(measure<Bare>(callers));
      std::fprintf(stderr, "%d callers: %.0f/s, %.1f us of CPU; bare %.0f/s, %.1f us\n", callers,
                   ours.back().per_s, ours.back().cpu_us, bare.back().per_s, bare.back().cpu_us);
    }
    const Measured us = median(ours);
    const Measured them = median(bare);
    std::array<char, 512> text{};
    if (callers == 1) {
      std::snprintf(text.data(), text.size(),
                    "\"commit_us_lone\":%.1f,\"commit_us_lone_bare\":%.1f,"
                    "\"commit_cpu_us_lone\":%.1f,\"commit_cpu_us_lone_bare\":%.1f,",
                    1e6 / us.per_s, 1e6 / them.per_s, us.cpu_us, them.cpu_us);
      json += text.data();
    }
    std::snprintf(text.data(), text.size(),
                  "\"commits_per_s_%d\":%.0f,\"commits_per_s_%d_bare\":%.0f,"
                  "\"commits_per_s_%d_vs_bare\":%.2f,",
                  callers, us.per_s, callers, them.per_s, callers, us.per_s / them.per_s);
    json += text.data();
  }
  json.back() = '}';
  std::printf("%s\n", json.c_str());
  return 0;
}
