#include "common/failpoint/failpoint.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/kdc/kdc_fixture.hpp"

using namespace kdc_test;

TEST_CASE("the first contents are what was written, and every bit of them counts") {
  const auto contents = first_contents();
  const auto bytes = common::cell::encode_first_contents(contents);
  REQUIRE_OK(bytes);
  const auto decoded = common::cell::decode_first_contents(bytes->bytes());
  REQUIRE_OK(decoded);
  CHECK(decoded->cell == contents.cell);
  CHECK(same(decoded->master_key, contents.master_key));
  CHECK(decoded->administrator == "root");
  CHECK(decoded->salt == contents.salt);
  CHECK(same(decoded->administrator_key, contents.administrator_key));
  REQUIRE(decoded->services.size() == 2);
  CHECK(decoded->services[1].name == "host/desk7");
  CHECK(same(decoded->services[1].key, contents.services[1].key));
  for (std::size_t bit = 0; bit < bytes->size() * 8; ++bit) {
    Secret flipped = bytes->clone();
    flipped.writable()[bit / 8] ^= std::byte{1} << (bit % 8);
    REQUIRE_FALSE(common::cell::decode_first_contents(flipped.bytes()).has_value());
  }
  for (std::size_t size = 0; size < bytes->size(); ++size)
    REQUIRE_FALSE(common::cell::decode_first_contents(bytes->bytes().first(size)).has_value());
  auto bad = first_contents();
  bad.administrator_key = Secret(16);
  CHECK_FAILS(common::cell::encode_first_contents(bad), ErrorCode::InvalidArgument);
}

TEST_CASE("the file is gone after the first start, and services have the keys it gave") {
  const Scratch directory;
  const TestClock clock;
  const auto contents = first_contents();
  write_first_contents(directory.path(), contents);
  const auto db = open_in(directory.path(), clock);
  REQUIRE_OK(db);
  CHECK_FALSE(std::filesystem::exists(directory / kdc::kFirstContentsFile));
  const auto id = (*db)->principals().id_of("fileserver/fs1");
  REQUIRE_OK(id);
  CHECK(same((*db)->keys().key(*id, 1)->key, contents.services[0].key));
  const auto root = (*db)->keys().credentials("root");
  REQUIRE_OK(root);
  CHECK(same(root->key.key, contents.administrator_key));
  CHECK(root->key.salt == contents.salt);
}

TEST_CASE("what does not fit is refused, and left as it is") {
  const Scratch directory;
  const TestClock clock;
  CHECK_FAILS(open_in(directory.path(), clock), ErrorCode::NotFound);
  auto contents = first_contents();
  contents.cell = "another-cell";
  write_first_contents(directory.path(), contents);
  CHECK_FAILS(open_in(directory.path(), clock), ErrorCode::InvalidArgument);
  contents = first_contents();
  contents.services.push_back({"kdc/tgs", random_key()});
  write_first_contents(directory.path(), contents);
  CHECK_FAILS(open_in(directory.path(), clock), ErrorCode::InvalidArgument);
  std::filesystem::remove(directory / kdc::kMasterKeyFile);
  contents.services.pop_back();
  contents.services.push_back({"Not A Name", random_key()});
  write_first_contents(directory.path(), contents);
  CHECK_FAILS(open_in(directory.path(), clock), ErrorCode::InvalidArgument);
  std::filesystem::permissions(directory / kdc::kFirstContentsFile, std::filesystem::perms(0644));
  CHECK_FAILS(open_in(directory.path(), clock), ErrorCode::PermissionDenied);
  std::filesystem::remove(directory / kdc::kMasterKeyFile);
  write_first_contents(directory.path(), first_contents());
  REQUIRE_OK(open_in(directory.path(), clock));
  // Another one, over a database that has its contents already.
  write_first_contents(directory.path(), first_contents());
  CHECK_FAILS(open_in(directory.path(), clock), ErrorCode::AlreadyExists);
  CHECK(std::filesystem::exists(directory / kdc::kFirstContentsFile));
}

TEST_CASE("a stash of another key is never overwritten") {
  const Scratch directory;
  const TestClock clock;
  kdc::MasterKeys old{std::string(kCell)};
  REQUIRE_OK(old.add_random());
  REQUIRE_OK(old.save(directory / kdc::kMasterKeyFile));
  write_first_contents(directory.path(), first_contents());
  CHECK_FAILS(open_in(directory.path(), clock), ErrorCode::AlreadyExists);
  CHECK(
      kdc::MasterKeys::load(directory / kdc::kMasterKeyFile, std::string(kCell))->fingerprint(1) ==
      *old.fingerprint(1));
}

TEST_CASE("a database with a damaged page is refused at the start, not at the first login (F10)") {
  const Scratch directory;
  const TestClock clock;
  write_first_contents(directory.path(), first_contents());
  {
    auto db = open_in(directory.path(), clock);
    REQUIRE_OK(db);
    for (int i = 0; i < 200; ++i) {
      REQUIRE_OK((*db)->audit().record(
          {.event = "test", .subject = std::string(200, 'x'), .details = std::to_string(i)}));
    }
    REQUIRE_OK((*db)->close());
  }
  const std::string file = directory / kdc::kDatabaseFile;
  const auto whole = test_support::read_file(file);
  REQUIRE_OK(whole);
  constexpr std::size_t kPage = 4096;
  REQUIRE(whole->size() > 20 * kPage);
  std::size_t refused = 0;
  for (std::size_t at = kPage / 2; at < whole->size(); at += kPage) {
    CAPTURE(at);
    const Scratch other;
    std::filesystem::copy(directory.path(), other.path(), std::filesystem::copy_options::recursive);
    const std::string its_file = other / kdc::kDatabaseFile;
    std::string damaged = *whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    REQUIRE_OK(test_support::write_file(its_file, damaged));
    auto db = open_in(other.path(), clock);
    if (db) {  // a page that nothing is in: then it must not matter
      CHECK_OK((*db)->audit().record({.event = "test", .subject = "after"}));
      continue;
    }
    ++refused;
    CHECK_MESSAGE(db.error().code == ErrorCode::Corrupt, db.error().message);
    CHECK_MESSAGE(db.error().message.find("restore it from a") != std::string::npos,
                  db.error().message);
    CHECK(test_support::read_file(its_file).value() == damaged);
  }
  CHECK(refused * 10 > whole->size() / kPage * 8);
  CHECK_OK(open_in(directory.path(), clock));
}
