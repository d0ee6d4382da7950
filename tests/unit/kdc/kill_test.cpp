// kill -9 at every write of a change, and power loss at many: old or new, never between.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "common/failpoint/failpoint.hpp"
#include "kdc/dump.hpp"
#include "tests/support/db_crash_check.hpp"
#include "tests/support/db_crash_model.hpp"
#include "tests/unit/kdc/kdc_fixture.hpp"
#include "tests/unit/kdc/killing_disk.hpp"

using namespace kdc_test;

namespace {

// What a test looks at: the same before and after is old, everything moved on is new.
struct Look {
  Kvno alice = 0;
  std::vector<Id> groups;
  Kvno service_active = 0;
  Kvno service_last = 0;
  bool operator==(const Look&) const = default;
};

Actor root_of(kdc::Database& db) {
  return {*db.principals().id_of("root"), "root", "local", std::nullopt};
}

// Everything that must be true of any state, and the look of this one.
Result<Look> inspect(kdc::Database& db) {
  TROTH_TRY(const auto verdict, db.audit().verify());
  if (!verdict.ok)
    return common::fail(ErrorCode::Corrupt, "audit: {}", verdict.why);
  TROTH_TRY_VOID(db.core().db().check(common::db::Database::CheckDepth::Full));
  Look look;
  TROTH_TRY(const Id alice, db.principals().id_of("alice"));
  TROTH_TRY(const auto key, db.keys().key(alice));
  look.alice = key.kvno;
  TROTH_TRY(const auto membership, db.groups().closure(alice));
  look.groups = membership.groups;
  TROTH_TRY(const Id service, db.principals().id_of("fileserver/fs1"));
  TROTH_TRY(const auto active, db.keys().key(service));
  look.service_active = active.kvno;
  TROTH_TRY(const auto all, db.keys().all_of_service(service));
  look.service_last = all.front().kvno;
  TROTH_TRY_VOID(db.keys().key(*db.principals().id_of("kdc/tgs")));
  return look;
}

// A state on the disk from which each attempt starts.
struct Kills {
  Scratch prepared;
  Scratch place;
  TestClock clock;

  Kills() {
    write_first_contents(prepared.path(), first_contents());
    const auto db = open_in(prepared.path(), clock);
    REQUIRE_OK(db);
    REQUIRE_OK((*db)->principals().add_user(
        root_of(**db), {.kind = Kind::User, .name = "alice", .id = std::nullopt, .policy = {}},
        password_key("alice")));
    REQUIRE_OK((*db)->groups().create(root_of(**db), "system:staff"));
  }
  void reset() const {
    std::filesystem::remove_all(place.path());
    std::filesystem::copy(prepared.path(), place.path());
  }
  // True: it was killed. The child does nothing but open and change.
  bool run_and_kill(const std::function<void(kdc::Database&)>& change, int at,
                    const std::string& failpoint = {}) const {
    reset();
    const pid_t child = ::fork();
    if (child == 0) {
      if (!failpoint.empty() && !common::failpoint::arm(failpoint))
        ::_exit(2);
      KillingDisk disk(at);
      const auto db = open_in(place.path(), clock, &disk);
      if (!db)
        ::_exit(3);
      change(**db);
      const Status closed = (*db)->close();
      ::_exit(closed ? 0 : 4);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    REQUIRE((killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0)));
    return killed;
  }
  Look look() const {
    const auto db = open_in(place.path(), clock);
    REQUIRE_OK(db);
    const auto seen = inspect(**db);
    REQUIRE_OK(seen);
    return *seen;
  }
  // Kills `change` at each of its writes; it makes `allowed`, in this order, and nothing else.
  void kill_everywhere(const std::function<void(kdc::Database&)>& change,
                       const std::vector<Look>& allowed) const {
    int kills = 0;
    std::size_t newest = 0;
    for (int at = 1;; ++at) {
      REQUIRE(at < 500);
      const bool killed = run_and_kill(change, at);
      const Look seen = look();
      const auto found = std::find(allowed.begin(), allowed.end(), seen);
      CAPTURE(at);
      REQUIRE(found != allowed.end());
      newest = std::max(newest, static_cast<std::size_t>(found - allowed.begin()));
      if (!killed) {
        CHECK(newest == allowed.size() - 1);
        CHECK(seen == allowed.back());
        break;
      }
      ++kills;
    }
    MESSAGE("killed at each of " << kills << " writes");
    CHECK(kills >= 5);
  }
};

const Look kOld{.alice = 1, .groups = {}, .service_active = 1, .service_last = 1};

void change_password(kdc::Database& db) {
  static_cast<void>(db.keys().set_password(root_of(db), *db.principals().id_of("alice"), 1,
                                           password_key("alice"),
                                           kdc::PasswordReason::NewPassword));
}

void change_group(kdc::Database& db) {
  static_cast<void>(db.groups().add_member(root_of(db), *db.principals().id_of("system:staff"),
                                           *db.principals().id_of("alice")));
}

}  // namespace

TEST_CASE_FIXTURE(Kills, "killed at every write of a password change: the old one or the new one") {
  Look fresh = kOld;
  fresh.alice = 2;
  kill_everywhere(change_password, {kOld, fresh});
}

TEST_CASE_FIXTURE(Kills, "killed at every write of a group change: in it or not") {
  const auto db = open_in(prepared.path(), clock);
  REQUIRE_OK(db);
  Look in = kOld;
  in.groups = {*(*db)->principals().id_of("system:staff")};
  REQUIRE_OK((*db)->close());
  kill_everywhere(change_group, {kOld, in});
}

TEST_CASE_FIXTURE(Kills, "killed at every write of a key rotation: each step done or not") {
  Look rotated = kOld;
  rotated.service_last = 2;
  Look activated = rotated;
  activated.service_active = 2;
  const auto change = [](kdc::Database& db) {
    const Id service = *db.principals().id_of("fileserver/fs1");
    const auto kvno = db.keys().rotate(root_of(db), service);
    if (kvno)
      static_cast<void>(
          db.keys().activate(root_of(db), service, *kvno, kdc::Overlap::LongestTicket));
  };
  kill_everywhere(change, {kOld, rotated, activated});
}

TEST_CASE_FIXTURE(Kills,
                  "killed at every write of a master rollover: every key opens, and it goes on") {
  const auto change = [](kdc::Database& db) {
    static_cast<void>(db.master_rollover().run(root_of(db)));
  };
  const auto finish = [&] {
    const auto db = open_in(place.path(), clock);
    REQUIRE_OK(db);
    const auto seen = inspect(**db);
    REQUIRE_OK(seen);
    CHECK(*seen == kOld);
    for (int i = 0; i < 5; ++i)
      REQUIRE_OK((*db)->housekeeping());
    CHECK_FALSE((*db)->master_rollover().progress()->under_way);
    CHECK((*db)->master_rollover().progress()->rows_left == 0);
    REQUIRE_OK(inspect(**db));
  };
  int kills = 0;
  for (int at = 1; run_and_kill(change, at); ++at, ++kills) {
    CAPTURE(at);
    finish();
  }
  CHECK(kills >= 5);
  MESSAGE("killed at each of " << kills << " writes");
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("this build has no failpoints");
  for (const std::string place_of_death :
       {"before_stash", "after_stash", "sealed_some", "before_forgetting", "after_forgetting"}) {
    CAPTURE(place_of_death);
    CHECK(run_and_kill(change, 0, "kdc.rollover." + place_of_death + "=kill"));
    finish();
  }
}

TEST_CASE("killed at every write of the first start: starting again makes the cell") {
  Scratch prepared;
  Scratch place;
  const TestClock clock;
  write_first_contents(prepared.path(), first_contents());
  const auto start_and_kill = [&](int at, const std::string& failpoint) {
    std::filesystem::remove_all(place.path());
    std::filesystem::copy(prepared.path(), place.path());
    const pid_t child = ::fork();
    if (child == 0) {
      if (!failpoint.empty() && !common::failpoint::arm(failpoint))
        ::_exit(2);
      KillingDisk disk(at);
      const auto db = open_in(place.path(), clock, &disk);
      ::_exit(db ? 0 : 3);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    const auto db = open_in(place.path(), clock);
    REQUIRE_OK(db);
    CHECK((*db)->audit().verify()->last == 1);
    CHECK((*db)->keys().credentials("root")->exists);
    CHECK_FALSE(std::filesystem::exists(place / kdc::kFirstContentsFile));
    return WIFSIGNALED(status);
  };
  int kills = 0;
  for (int at = 1; start_and_kill(at, ""); ++at)
    ++kills;
  CHECK(kills > 10);
  MESSAGE("killed at each of " << kills << " writes");
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("this build has no failpoints");
  for (const std::string failpoint :
       {"kdc.first.after_stash", "kdc.first.after_import", "kdc.wipe.before_unlink"}) {
    CAPTURE(failpoint);
    CHECK(start_and_kill(0, failpoint + "=kill"));
  }
}

TEST_CASE_FIXTURE(Kills, "no power loss takes an answered change, or leaves half of one") {
  constexpr int kImages = 120;
  std::mt19937_64 random(1);
  test_support::RecordingDisk disk;
  reset();
  {
    const auto db = open_in(place.path(), clock, &disk);
    REQUIRE_OK(db);
    disk.start(place / kdc::kDatabaseFile);
    for (Kvno kvno = 1; kvno <= 40; ++kvno) {
      REQUIRE_OK((*db)->keys().set_password(root_of(**db), *(*db)->principals().id_of("alice"),
                                            kvno, password_key("alice"),
                                            kdc::PasswordReason::NewPassword));
      disk.note_stable(kvno + 1);  // what may not be lost is the kvno that was answered
    }
  }
  for (int i = 0; i < kImages; ++i) {
    Scratch after;
    std::filesystem::copy_file(place / kdc::kMasterKeyFile, after / kdc::kMasterKeyFile);
    const auto image =
        disk.make_image(random() % (disk.length() + 1), random, after / kdc::kDatabaseFile);
    const auto db = open_in(after.path(), clock);
    REQUIRE_OK(db);
    const auto seen = inspect(**db);
    REQUIRE_OK(seen);
    REQUIRE(seen->alice >= image.stable);
    REQUIRE((*db)->audit().range()->last == 2 + seen->alice);
  }
}
