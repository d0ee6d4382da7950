// --dump and --load: from one directory into another, whole or not at all.

#include "kdc/offline.hpp"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/failpoint/failpoint.hpp"
#include "kdc/dump.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/kdc/kdc_fixture.hpp"
#include "tests/unit/kdc/killing_disk.hpp"

using namespace kdc_test;
namespace fs = std::filesystem;

namespace {

struct Offline : Fixture {
  Scratch files;
  Scratch other;
  std::string file = files / "kdc.dump";

  Offline() {
    add_user("alice");
    REQUIRE_OK(db->groups().create(actor("alice"), "alice:friends"));
  }
  static kdc::DatabaseOptions in(const Scratch& place) {
    return {.directory = place.path(), .cell = std::string(kCell), .first_contents = {}};
  }
  Result<std::string> dump() {
    db.reset();
    auto done = kdc::dump_to_file(in(directory), file, clock);
    open();
    return done;
  }
  Result<std::string> load() { return kdc::load_from_file(in(other), file, clock); }
  void give_stash() const {
    fs::copy_file(directory / kdc::kMasterKeyFile, other / kdc::kMasterKeyFile,
                  fs::copy_options::overwrite_existing);
  }
  [[nodiscard]] std::vector<kdc::AuditRecord> records(kdc::Database& of, const char* event) const {
    const auto found = of.audit().list({.event = event});
    REQUIRE_OK(found);
    return *found;
  }
  // The child does that and nothing else. True: it was killed.
  static bool killed(const std::function<bool()>& work) {
    const pid_t child = ::fork();
    if (child == 0)
      ::_exit(work() ? 0 : 1);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    const bool by_kill = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    REQUIRE((by_kill || (WIFEXITED(status) && WEXITSTATUS(status) == 0)));
    return by_kill;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Offline, "what is dumped here is loaded there, and both are on record") {
  const auto dumped = dump();
  REQUIRE_OK(dumped);
  CHECK(dumped->find(kdc::kMasterKeyFile) != std::string::npos);
  struct stat info {};
  REQUIRE(::stat(file.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  const auto here = records(*db, "dump");
  REQUIRE(here.size() == 1);
  CHECK(here[0].subject == file);

  give_stash();
  const auto loaded = load();
  REQUIRE_OK(loaded);
  CHECK(loaded->find("the audit log is whole") != std::string::npos);
  const auto copy = open_in(other.path(), clock);
  REQUIRE_OK(copy);
  CHECK(same((*copy)->keys().key(id_of("alice"))->key, db->keys().key(id_of("alice"))->key));
  CHECK((*copy)->groups().find("alice:friends")->has_value());
  CHECK((*copy)->audit().verify()->ok);
  CHECK(records(**copy, "load").size() == 1);
  // Ids go on where they were: none is given out twice.
  const auto next =
      (*copy)->groups().create({id_of("root"), "root", "local", std::nullopt}, "system:next");
  REQUIRE_OK(next);
  CHECK(next->value > id_of("alice:friends").value);
}

TEST_CASE_FIXTURE(Offline, "a dump replaces no file, and makes no cell where there is none") {
  REQUIRE_OK(test_support::write_file(file, "somebody's only copy"));
  CHECK_FAILS(dump(), ErrorCode::AlreadyExists);
  CHECK(test_support::read_file(file).value() == "somebody's only copy");
  CHECK(records(*db, "dump").empty());
  fs::remove(file);
  write_first_contents(other.path(), first_contents());
  CHECK_FAILS(kdc::dump_to_file(in(other), file, clock), ErrorCode::NotFound);
  CHECK(fs::exists(other / kdc::kFirstContentsFile));
  CHECK_FALSE(fs::exists(other / kdc::kDatabaseFile));
  CHECK(fs::is_empty(files.path()));
  CHECK_FAILS(kdc::dump_to_file(in(directory), files / "no" / "such", clock), ErrorCode::NotFound);
}

TEST_CASE_FIXTURE(Offline, "only a file that nobody else could have changed is loaded") {
  REQUIRE_OK(dump());
  give_stash();
  REQUIRE(::chmod(file.c_str(), 0660) == 0);
  CHECK_FAILS(load(), ErrorCode::PermissionDenied);
  REQUIRE(::chmod(file.c_str(), 0600) == 0);
  const std::string real = file + ".real";
  fs::rename(file, real);
  fs::create_symlink(real, file);
  CHECK_FAILS(load(), ErrorCode::PermissionDenied);
  fs::remove(file);
  CHECK_FAILS(load(), ErrorCode::NotFound);
  REQUIRE_OK(test_support::write_file(file, ""));
  REQUIRE(::chmod(file.c_str(), 0600) == 0);
  CHECK_FAILS(load(), ErrorCode::Corrupt);
  fs::rename(real, file);
  CHECK_OK(load());
  CHECK_FAILS(load(), ErrorCode::AlreadyExists);
}

TEST_CASE_FIXTURE(Offline, "a log that was broken before it was dumped is loaded, and said") {
  sql("UPDATE audit SET subject = 'nobody' WHERE seq = 2");
  REQUIRE_OK(dump());
  give_stash();
  const auto loaded = load();
  CHECK_FAILS(loaded, ErrorCode::Corrupt);
  CHECK(loaded.error().message.find("record 2") != std::string::npos);
  CHECK_OK(open_in(other.path(), clock));
}

TEST_CASE_FIXTURE(Offline, "killed at every write of a load: nothing is there, or everything") {
  REQUIRE_OK(dump());
  const Secret key = db->keys().key(id_of("alice"))->key.clone();
  const Id alice = id_of("alice");
  db.reset();  // its threads must not be in the midst of something in a child
  int kills = 0;
  int whole = 0;
  for (int at = 1;; ++at) {
    REQUIRE(at < 500);
    fs::remove_all(other.path());
    fs::create_directory(other.path());
    give_stash();
    const bool was_killed = killed([&] {
      KillingDisk disk(at);
      kdc::DatabaseOptions options = in(other);
      options.probe = &disk;
      return kdc::load_from_file(options, file, clock).has_value();
    });
    CAPTURE(at);
    if (!was_killed)
      break;
    ++kills;
    // Again: it was loaded already, or is now.
    const auto again = load();
    REQUIRE((again || again.error().code == ErrorCode::AlreadyExists));
    whole += again ? 0 : 1;
    const auto copy = open_in(other.path(), clock);
    REQUIRE_OK(copy);
    REQUIRE((*copy)->audit().verify()->ok);
    REQUIRE(same((*copy)->keys().key(alice)->key, key));
  }
  MESSAGE("killed at each of " << kills << " writes; " << whole << " times it was loaded by then");
  CHECK(kills >= 5);
  CHECK(whole >= 1);
  CHECK(whole < kills);
}

TEST_CASE_FIXTURE(Offline, "killed at every write of a dump: the file is whole or not there") {
  db.reset();
  int kills = 0;
  for (int at = 1;; ++at) {
    REQUIRE(at < 500);
    fs::remove(file);
    const bool was_killed = killed([&] {
      KillingDisk disk(at);
      kdc::DatabaseOptions options = in(directory);
      options.probe = &disk;
      return kdc::dump_to_file(options, file, clock).has_value();
    });
    if (!was_killed)
      break;
    ++kills;
    // By then it has no name; all that is done to the database comes before.
    CHECK(fs::is_empty(files.path()));
  }
  MESSAGE("killed at each of " << kills << " writes");
  CHECK(kills >= 3);
  CHECK(fs::exists(file));
  open();
  CHECK(db->audit().verify()->ok);
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("this build has no failpoints");
  db.reset();
  for (const std::string place :
       {"kdc.dump.written", "io.new_file.before_name", "io.new_file.named"}) {
    CAPTURE(place);
    fs::remove(file);
    CHECK(killed([&] {
      return common::failpoint::arm(place + "=kill").has_value() &&
             kdc::dump_to_file(in(directory), file, clock).has_value();
    }));
    const bool there = fs::exists(file);
    CHECK(there == (place == "io.new_file.named"));
    if (!there)
      continue;
    give_stash();
    CHECK_OK(load());
  }
  open();
}
