#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "kdc/dump.hpp"
#include "tests/unit/kdc/kdc_fixture.hpp"

using namespace kdc_test;
using kdc::MasterKeys;

namespace {

std::string stash_of(const Scratch& directory) {
  return directory / kdc::kMasterKeyFile;
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "the stash is private, or it is refused") {
  db.reset();
  const std::string stash = stash_of(directory);
  struct stat about {};
  REQUIRE(::stat(stash.c_str(), &about) == 0);
  CHECK((about.st_mode & 07777) == 0600);

  REQUIRE(::chmod(stash.c_str(), 0640) == 0);
  CHECK_FAILS(open_in(directory.path(), clock), ErrorCode::PermissionDenied);
  REQUIRE(::chmod(stash.c_str(), 0600) == 0);
  REQUIRE(::rename(stash.c_str(), (stash + ".real").c_str()) == 0);
  REQUIRE(::symlink((stash + ".real").c_str(), stash.c_str()) == 0);
  CHECK_FAILS(open_in(directory.path(), clock), ErrorCode::PermissionDenied);
  REQUIRE(::unlink(stash.c_str()) == 0);
  CHECK_FAILS(open_in(directory.path(), clock), ErrorCode::NotFound);
  REQUIRE(::mkfifo(stash.c_str(), 0600) == 0);
  CHECK_FAILS(open_in(directory.path(), clock), ErrorCode::PermissionDenied);
  REQUIRE(::unlink(stash.c_str()) == 0);
  if (::geteuid() == 0) {
    REQUIRE(::chown((stash + ".real").c_str(), 12345, 0) == 0);
    REQUIRE(::rename((stash + ".real").c_str(), stash.c_str()) == 0);
    CHECK_FAILS(open_in(directory.path(), clock), ErrorCode::PermissionDenied);
    REQUIRE(::chown(stash.c_str(), 0, 0) == 0);
    CHECK_OK(open_in(directory.path(), clock));
  }
}

TEST_CASE_FIXTURE(Fixture, "another master key is refused in one line that says so") {
  db.reset();
  MasterKeys other{std::string(kCell)};
  REQUIRE_OK(other.add(1, random_key()));
  REQUIRE_OK(other.save(stash_of(directory)));
  const auto refused = open_in(directory.path(), clock);
  CHECK_FAILS(refused, ErrorCode::InvalidArgument);
  CHECK(refused.error().message.find("not the one that this database was sealed with") !=
        std::string::npos);
  CHECK(refused.error().message.find('\n') == std::string::npos);
  MasterKeys later{std::string(kCell)};
  REQUIRE_OK(later.add(2, random_key()));
  REQUIRE_OK(later.save(stash_of(directory)));
  CHECK_FAILS(open_in(directory.path(), clock), ErrorCode::NotFound);
}

TEST_CASE("every byte and every end of the stash counts") {
  const Scratch directory;
  const std::string path = stash_of(directory);
  MasterKeys keys{std::string(kCell)};
  REQUIRE_OK(keys.add_random());
  REQUIRE_OK(keys.add_random());
  REQUIRE_OK(keys.save(path));
  const auto loaded = MasterKeys::load(path, std::string(kCell));
  REQUIRE_OK(loaded);
  CHECK(loaded->versions() == std::vector<std::uint32_t>{1, 2});
  CHECK(loaded->fingerprint(2) == *keys.fingerprint(2));
  CHECK(loaded->fingerprint(1) != *keys.fingerprint(2));
  CHECK_FAILS(MasterKeys::load(path, "another"), ErrorCode::InvalidArgument);

  const auto content = kdc::read_private_file(path, 4096);
  REQUIRE_OK(content);
  // One bit of each byte: each is a file that is synced.
  for (std::size_t byte = 0; byte < content->size(); ++byte) {
    const std::size_t bit = byte * 8 + byte % 8;
    Secret flipped = content->clone();
    flipped.writable()[bit / 8] ^= std::byte{1} << (bit % 8);
    REQUIRE_OK(kdc::write_private_file(path, flipped));
    REQUIRE_FALSE(MasterKeys::load(path, std::string(kCell)).has_value());
  }
  for (std::size_t size = 0; size < content->size(); ++size) {
    REQUIRE_OK(kdc::write_private_file(path, Secret::copy_of(content->bytes().first(size))));
    REQUIRE_FALSE(MasterKeys::load(path, std::string(kCell)).has_value());
  }
}

TEST_CASE_FIXTURE(Fixture, "the master key is replaced while everything goes on") {
  for (int i = 0; i < 300; ++i)  // more than one transaction's worth
    add_user("u" + std::to_string(i));
  const auto before = db->keys().key(id_of("u7"));
  REQUIRE_OK(before);
  const Actor once = with_operation(admin);
  CHECK(db->master_rollover().begin(once) == 2);
  CHECK(db->master_rollover().begin(once) == 2);
  CHECK_FAILS(db->master_rollover().begin(admin), ErrorCode::Conflict);
  CHECK(db->master_rollover().progress()->under_way);
  CHECK(db->master_rollover().progress()->rows_left > 300);
  add_user("late");
  int steps = 0;
  for (bool more = true; more; ++steps) {
    CHECK(same(db->keys().key(id_of("u7"))->key, before->key));
    const auto stepped = db->master_rollover().step();
    REQUIRE_OK(stepped);
    more = *stepped;
  }
  CHECK(steps >= 3);
  CHECK_FALSE(db->master_rollover().progress()->under_way);
  CHECK(db->master_rollover().progress()->rows_left == 0);
  CHECK(number("SELECT count(*) FROM master") == 1);
  db.reset();
  CHECK(MasterKeys::load(stash_of(directory), std::string(kCell))->versions() ==
        std::vector<std::uint32_t>{2});
  open();
  CHECK(same(db->keys().key(id_of("u7"))->key, before->key));
  CHECK(db->audit().verify()->ok);
  CHECK_FAILS(db->master_rollover().begin(actor("u7")), ErrorCode::PermissionDenied);
  CHECK_OK(db->master_rollover().run(admin));
}

TEST_CASE_FIXTURE(Fixture,
                  "nobody who reads or changes keys notices that the master key is replaced") {
  for (int i = 0; i < 20; ++i)
    add_user("u" + std::to_string(i));
  const Id alice = add_user("alice");
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  std::atomic<int> reads{0};
  std::thread reader([&] {
    while (!stop) {
      if (!db->keys().key(alice))
        ++failures;
      ++reads;
    }
  });
  std::thread writer([&] {
    for (Kvno kvno = 1; !stop; ++kvno) {
      if (!db->keys().set_password(admin, alice, kvno, password_key("alice"),
                                   kdc::PasswordReason::NewPassword))
        ++failures;
    }
  });
  for (int round = 0; round < 20; ++round) {
    CHECK_OK(db->master_rollover().run(admin));
    // One read outlives one change of the key, not two.
    const int begun = reads;
    const auto patience = clock.now() + 60s;
    while (reads < begun + 2 && clock.now() < patience)
      std::this_thread::yield();
  }
  stop = true;
  reader.join();
  writer.join();
  CHECK(failures == 0);
  CHECK(reads > 0);
  CHECK(db->audit().verify()->ok);
}
