#include <map>
#include <set>

#include "tests/support/temp_dir.hpp"
#include "tests/unit/kdc/kdc_fixture.hpp"

using namespace kdc_test;
using kdc::Overlap;
using kdc::PasswordReason;

TEST_CASE_FIXTURE(Fixture, "a changed password counts at once, and only it") {
  const Id alice = add_user("alice");
  const auto old = db->keys().key(alice);
  REQUIRE_OK(old);
  const auto fresh = password_key("alice", 16);
  CHECK(db->keys().set_password(actor("alice"), alice, 1, fresh, PasswordReason::NewPassword) == 2);
  const auto now = db->keys().key(alice);
  REQUIRE_OK(now);
  CHECK(now->kvno == 2);
  CHECK(same(now->key, fresh.key));
  CHECK(now->salt == fresh.salt);
  CHECK(now->parameters.log2_n() == 16);
  CHECK_FAILS(db->keys().key(alice, 1), ErrorCode::NotFound);
  CHECK_FAILS(db->keys().set_password(admin, alice, 1, fresh, PasswordReason::NewPassword),
              ErrorCode::Conflict);
  add_user("bob");
  CHECK_FAILS(db->keys().set_password(actor("bob"), alice, 2, fresh, PasswordReason::NewPassword),
              ErrorCode::PermissionDenied);
}

TEST_CASE_FIXTURE(Fixture, "as many old passwords are kept as the policy forbids, then destroyed") {
  kdc::Policy policy = kdc::default_policy(Kind::User);
  policy.history = 3;
  policy.max_age = std::chrono::days(90);
  REQUIRE_OK(db->policies().set(admin, policy));
  const Id alice = add_user("alice");
  CHECK((*db->principals().find(alice))->password_end.has_value());  // the first one ages, too
  for (Kvno kvno = 1; kvno < 6; ++kvno) {
    REQUIRE_OK(db->keys().set_password(admin, alice, kvno, password_key("alice"),
                                       PasswordReason::NewPassword));
  }
  const auto history = db->keys().password_history(alice);
  REQUIRE_OK(history);
  REQUIRE(history->size() == 3);
  CHECK((*history)[0].kvno == 6);
  CHECK((*history)[2].kvno == 4);
  CHECK(number("SELECT count(*) FROM key WHERE purpose = 1 AND kvno < 4 AND principal = " +
               std::to_string(alice.value)) == 0);
  const auto end = (*db->principals().find(alice))->password_end;
  REQUIRE(end.has_value());
  CHECK(*end > kdc::time_now(clock) + std::chrono::days(89));
  // Stronger parameters for the same password do not prolong it.
  clock.advance(std::chrono::days(10));
  REQUIRE_OK(db->keys().set_password(actor("alice"), alice, 6, password_key("alice", 16),
                                     PasswordReason::StrongerParameters));
  CHECK((*db->principals().find(alice))->password_end == end);
}

TEST_CASE_FIXTURE(Fixture,
                  "a service's new key is used from its activation, the old one a day on") {
  const Id service = id_of("fileserver/fs1");
  const Actor self = actor("fileserver/fs1");
  const auto old = db->keys().key(service);
  REQUIRE_OK(old);
  CHECK(db->keys().rotate(self, service) == 2);
  CHECK(db->keys().rotate(self, service) == 2);  // a crash in between: goes on
  CHECK(db->keys().key(service)->kvno == 1);
  CHECK_FAILS(db->keys().key(service, 2), ErrorCode::NotFound);
  CHECK(db->keys().all_of_service(service)->size() == 2);
  CHECK_FAILS(db->keys().activate(self, service, 3, Overlap::LongestTicket), ErrorCode::NotFound);
  REQUIRE_OK(db->keys().activate(self, service, 2, Overlap::LongestTicket));
  REQUIRE_OK(db->keys().activate(self, service, 2, Overlap::LongestTicket));
  CHECK(db->keys().key(service)->kvno == 2);
  CHECK(same(db->keys().key(service, 1)->key, old->key));

  clock.advance(kdc::kLongestTicket - 1min);
  REQUIRE_OK(db->housekeeping());
  CHECK_OK(db->keys().key(service, 1));
  clock.advance(1min);
  CHECK_FAILS(db->keys().key(service, 1), ErrorCode::NotFound);
  CHECK(number("SELECT count(*) FROM key WHERE state = 3") == 1);
  REQUIRE_OK(db->housekeeping());
  CHECK(number("SELECT count(*) FROM key WHERE state = 3") == 0);
  // Its number is not used again.
  CHECK(db->keys().rotate(self, service) == 3);
}

TEST_CASE_FIXTURE(Fixture, "rotating now destroys the old keys at once") {
  const Id service = id_of("fileserver/fs1");
  REQUIRE_OK(db->keys().rotate(admin, service));
  REQUIRE_OK(db->keys().activate(admin, service, 2, Overlap::LongestTicket));
  REQUIRE_OK(db->keys().rotate(admin, service));
  REQUIRE_OK(db->keys().activate(admin, service, 3, Overlap::None));
  CHECK_FAILS(db->keys().key(service, 1), ErrorCode::NotFound);
  CHECK_FAILS(db->keys().key(service, 2), ErrorCode::NotFound);
  CHECK(db->keys().all_of_service(service)->size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "of a destroyed key nothing is left in the file, not even sealed") {
  const Id service = id_of("fileserver/fs1");
  const auto sealed = db->core().read([&](ReadTx& tx) -> Result<std::string> {
    TROTH_TRY(auto row, tx.query("SELECT sealed FROM key WHERE principal = ?1", service.value));
    TROTH_TRY(const bool found, row.step());
    return found ? std::string(common::as_text(row.column_blob(0))) : std::string();
  });
  REQUIRE_OK(sealed);
  REQUIRE(sealed->size() == 60);
  const auto in_file = [&] {
    REQUIRE_OK(db->close());  // empties the WAL
    const auto file = test_support::read_file(directory / kdc::kDatabaseFile);
    REQUIRE_OK(file);
    open();
    return file->find(*sealed) != std::string::npos;
  };
  CHECK(in_file());
  REQUIRE_OK(db->keys().rotate(admin, service));
  REQUIRE_OK(db->keys().activate(admin, service, 2, Overlap::None));
  CHECK_FALSE(in_file());
}

TEST_CASE_FIXTURE(Fixture, "the KDC rotates its own keys every 30 days, with overlap") {
  const Id tgs = id_of("kdc/tgs");
  clock.advance(std::chrono::days(30) - 1min);
  REQUIRE_OK(db->housekeeping());
  CHECK(db->keys().key(tgs)->kvno == 1);
  clock.advance(2min);
  REQUIRE_OK(db->housekeeping());
  REQUIRE_OK(db->housekeeping());
  CHECK(db->keys().key(tgs)->kvno == 2);
  CHECK(db->keys().key(id_of("kdc/admin"))->kvno == 2);
  CHECK_OK(db->keys().key(tgs, 1));
  clock.advance(kdc::kLongestTicket);
  CHECK_FAILS(db->keys().key(tgs, 1), ErrorCode::NotFound);
}

TEST_CASE_FIXTURE(Fixture, "a clock that was years ahead leaves no key that outlives it (F27)") {
  const Id tgs = id_of("kdc/tgs");
  clock.advance(std::chrono::days(3650));
  REQUIRE_OK(db->housekeeping());
  REQUIRE(db->keys().key(tgs)->kvno == 2);
  clock.advance(-std::chrono::days(3650));
  REQUIRE_OK(db->housekeeping());
  CHECK(db->keys().key(tgs)->kvno == 3);
  clock.advance(kdc::kLongestTicket + 1min);
  REQUIRE_OK(db->housekeeping());
  CHECK_FAILS(db->keys().key(tgs, 1), ErrorCode::NotFound);
  CHECK_FAILS(db->keys().key(tgs, 2), ErrorCode::NotFound);
  clock.advance(std::chrono::days(31));
  REQUIRE_OK(db->housekeeping());
  CHECK(db->keys().key(tgs)->kvno == 4);
}

TEST_CASE_FIXTURE(Fixture, "a sealed key opens in its own row only, and with every bit right") {
  const Id alice = add_user("alice");
  const Id bob = add_user("bob");
  const auto sealed = db->core().read([&](ReadTx& tx) -> Result<Bytes> {
    TROTH_TRY(auto row, tx.query("SELECT sealed FROM key WHERE principal = ?1", alice.value));
    TROTH_TRY(const bool found, row.step());
    const ByteView blob = found ? row.column_blob(0) : ByteView();
    return Bytes(blob.begin(), blob.end());
  });
  REQUIRE_OK(sealed);
  REQUIRE(sealed->size() == 60);
  const auto put = [&](Id id, const Bytes& bytes) {
    sql("UPDATE key SET sealed = ?2 WHERE principal = ?1", id.value, ByteView(bytes));
  };
  put(bob, *sealed);
  CHECK_FAILS(db->keys().key(bob), ErrorCode::Corrupt);
  for (std::size_t bit = 0; bit < sealed->size() * 8; ++bit) {
    Bytes flipped = *sealed;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    put(alice, flipped);
    const auto opened = db->keys().key(alice);
    CHECK_FAILS(opened, ErrorCode::Corrupt);
  }
  put(alice, *sealed);
  CHECK_OK(db->keys().key(alice));
  sql("UPDATE key SET purpose = 2 WHERE principal = ?1", alice.value);
  CHECK_FAILS(db->keys().key(alice), ErrorCode::Corrupt);
}

TEST_CASE_FIXTURE(Fixture, "a name that does not exist looks like one that does") {
  for (int i = 0; i < 20; ++i)
    add_user("user" + std::to_string(i));
  const auto real = db->keys().credentials("user3");
  const auto decoy = db->keys().credentials("nobody");
  REQUIRE_OK(real);
  REQUIRE_OK(decoy);
  CHECK(real->exists);
  CHECK_FALSE(decoy->exists);
  CHECK(decoy->key.salt.size() == std::string("cell-0001.nobody.").size() + 16);
  CHECK(decoy->key.parameters.log2_n() == 15);
  // Always the same answer, also after a restart.
  const auto preauth = db->keys().preauth("nobody");
  REQUIRE_OK(preauth);
  CHECK(preauth->salt == decoy->key.salt);
  open();
  CHECK(db->keys().preauth("nobody")->salt == preauth->salt);
  CHECK(db->keys().preauth("nobodz")->salt != preauth->salt);
  CHECK(same(db->keys().credentials("nobody")->key.key, decoy->key.key));
  // A service has no salt: it is answered as nobody would be.
  CHECK(db->keys().preauth("fileserver/fs1")->salt.size() > 16);
  // A kvno that is not there: no proof fits, and it is nobody.
  CHECK_FALSE(db->keys().credentials("user3", 7)->exists);
  CHECK(db->keys().credentials("fileserver/fs1", 1)->exists);
}

TEST_CASE_FIXTURE(Fixture, "decoys take their parameters from users, wherever the hash points") {
  add_user("alice");
  const Id alice = id_of("alice");
  REQUIRE_OK(db->keys().set_password(admin, alice, 1, password_key("alice", 16),
                                     PasswordReason::StrongerParameters));
  std::set<unsigned> seen;
  for (int i = 0; i < 64; ++i)
    seen.insert(db->keys().preauth("ghost" + std::to_string(i))->parameters.log2_n());
  CHECK(seen == std::set<unsigned>{15, 16});
}

TEST_CASE_FIXTURE(Fixture, "a decoy changes as a user does: never its parameters alone") {
  for (int i = 0; i < 20; ++i)
    add_user("user" + std::to_string(i));
  using Look = std::map<std::string, std::pair<unsigned, Bytes>>;
  const auto look = [&] {
    Look found;
    for (int i = 0; i < 200; ++i) {
      const std::string ghost = "ghost" + std::to_string(i);
      const auto preauth = db->keys().preauth(ghost);
      REQUIRE_OK(preauth);
      found[ghost] = {preauth->parameters.log2_n(), preauth->salt};
    }
    return found;
  };
  struct Changed {
    int parameters = 0;
    int salts = 0;
  };
  const auto change = [&](const Look& before) {
    Changed changed;
    for (const auto& [ghost, now] : look()) {
      const auto& was = before.at(ghost);
      changed.parameters += now.first != was.first;
      changed.salts += now.second != was.second;
      if (now.first != was.first)
        CHECK(now.second != was.second);
    }
    return changed;
  };
  auto before = look();
  const Id donor = id_of("user3");
  REQUIRE_OK(db->keys().set_password(admin, donor, 1, password_key("user3", 16),
                                     PasswordReason::StrongerParameters));
  auto changed = change(before);
  CHECK(changed.parameters > 0);
  CHECK(changed.salts < 60);  // his alone
  // A new password under the same parameters shows, too: users' salts do not stay either.
  before = look();
  REQUIRE_OK(db->keys().set_password(admin, donor, 2, password_key("user3", 16),
                                     PasswordReason::NewPassword));
  changed = change(before);
  CHECK(changed.parameters == 0);
  CHECK(changed.salts > 0);
  // Who comes or goes touches few, and a policy or a disabled user none.
  before = look();
  add_user("late");
  CHECK(change(before).salts < 60);
  before = look();
  REQUIRE_OK(db->principals().set_disabled(admin, "user7", true));
  REQUIRE_OK(db->policies().set(admin, {.name = "strict", .min_length = 20}));
  REQUIRE_OK(db->principals().set_policy(admin, "user3", "strict"));
  CHECK(change(before).salts == 0);
}
