#pragma once

// A KDC's database in a directory of its own, as making a cell leaves it, and a clock that can be
// set ahead.

#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>

#include "common/cell/first_contents.hpp"
#include "common/crypto/random.hpp"
#include "kdc/database.hpp"
#include "kdc/decoy.hpp"
#include "kdc/private_file.hpp"
#include "tests/support/db_crash_check.hpp"
#include "tests/support/test.hpp"

namespace kdc_test {

using namespace std::chrono_literals;
using common::Bytes;
using common::ByteView;
using common::ErrorCode;
using common::Result;
using common::Status;
using common::crypto::Secret;
using common::db::ReadTx;
using common::db::WriteTx;
using kdc::Actor;
using kdc::Id;
using kdc::Kind;
using kdc::Kvno;
using kdc::Millis;
using kdc::Time;

// The machine's clocks, the wall clock or both moved by an offset.
class TestClock final : public common::Clock {
 public:
  [[nodiscard]] common::Instant now() const override {
    return system_.now() + std::chrono::nanoseconds(passed_.load());
  }
  [[nodiscard]] common::WallTime wall_now() const override {
    return system_.wall_now() + std::chrono::nanoseconds(offset_.load());
  }
  // Sets the wall clock.
  void advance(Millis by) { offset_ += std::chrono::nanoseconds(by).count(); }
  // Time goes by.
  void pass(Millis by) {
    passed_ += std::chrono::nanoseconds(by).count();
    advance(by);
  }

 private:
  common::SystemClock system_;
  std::atomic<std::int64_t> offset_{0};
  std::atomic<std::int64_t> passed_{0};
};

// A directory in memory where there is any: most of what is tested here syncs all the time.
class Scratch {
 public:
  Scratch() : path_(test_support::scratch_directory() + "/troth-kdc-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr)
      std::abort();
  }
  ~Scratch() { std::filesystem::remove_all(path_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] std::filesystem::path path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const {
    return path() / name;
  }

 private:
  std::string path_;
};

inline constexpr std::string_view kCell = "cell-0001";

inline Secret random_key() {
  Secret key(32);
  if (!common::crypto::random_bytes(key.writable()))
    std::abort();
  return key;
}

// No scrypt in tests of the database: it keeps whatever key it is given.
inline kdc::PasswordKey password_key(std::string_view name, unsigned log2_n = 15) {
  std::array<std::byte, 16> random{};
  if (!common::crypto::random_bytes(random))
    std::abort();
  return {kdc::password_salt(kCell, name, random),
          *common::crypto::ScryptParameters::make(log2_n, 8, 1), random_key()};
}

inline common::cell::FirstContents first_contents() {
  common::cell::FirstContents contents;
  contents.cell = kCell;
  contents.master_key = random_key();
  contents.services.push_back({"fileserver/fs1", random_key()});
  contents.services.push_back({"host/desk7", random_key()});
  contents.administrator = "root";
  kdc::PasswordKey key = password_key("root");
  contents.salt = key.salt;
  contents.parameters = key.parameters;
  contents.administrator_key = std::move(key.key);
  return contents;
}

inline void write_first_contents(const std::filesystem::path& directory,
                                 const common::cell::FirstContents& contents) {
  const auto bytes = common::cell::encode_first_contents(contents);
  REQUIRE_OK(bytes);
  REQUIRE_OK(kdc::write_private_file(directory / kdc::kFirstContentsFile, *bytes));
}

inline Result<std::unique_ptr<kdc::Database>> open_in(const std::filesystem::path& directory,
                                                      const common::Clock& clock,
                                                      common::db::DiskProbe* probe = nullptr) {
  return kdc::Database::open(
      {.directory = directory, .cell = std::string(kCell), .first_contents = {}, .probe = probe},
      clock);
}

struct Fixture {
  Scratch directory;
  TestClock clock;
  std::unique_ptr<kdc::Database> db;
  Actor admin;

  Fixture() {
    write_first_contents(directory.path(), first_contents());
    open();
    admin = actor("root");
  }
  void open() {
    db.reset();
    auto opened = open_in(directory.path(), clock);
    REQUIRE_OK(opened);
    db = *std::move(opened);
  }
  Actor actor(const std::string& name) {
    const auto found = db->principals().find(name);
    REQUIRE_OK(found);
    REQUIRE(found->has_value());
    return {(*found)->id, name, "192.0.2.7", std::nullopt};
  }
  Id add_user(const std::string& name) {
    const auto id = db->principals().add_user(
        admin, {.kind = Kind::User, .name = name, .id = std::nullopt, .policy = {}},
        password_key(name));
    REQUIRE_OK(id);
    return *id;
  }
  Id id_of(const std::string& name) {
    const auto id = db->principals().id_of(name);
    REQUIRE_OK(id);
    return *id;
  }
  // What nobody may do but a test: SQL of its own.
  template <typename... Values>
  void sql(std::string_view text, const Values&... values) {
    REQUIRE_OK(db->core().db().commit([&](WriteTx& tx) { return tx.run(text, values...); }));
  }
  std::int64_t number(std::string_view text) {
    const auto value = db->core().read([&](ReadTx& tx) -> Result<std::int64_t> {
      TROTH_TRY(auto row, tx.query(text));
      TROTH_TRY(const bool found, row.step());
      return found ? row.column_int64(0) : -1;
    });
    REQUIRE_OK(value);
    return *value;
  }
};

inline Actor with_operation(Actor actor) {
  actor.operation = *common::crypto::new_operation_id();
  return actor;
}

inline bool same(const Secret& a, const Secret& b) {
  return common::crypto::constant_time_equal(a.bytes(), b.bytes());
}

}  // namespace kdc_test
