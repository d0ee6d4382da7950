// What one caller can make the database keep, by being refused or by changing things on and on.

#include "kdc/refusals.hpp"

#include "tests/unit/kdc/kdc_fixture.hpp"

using namespace kdc_test;

namespace {

struct Refusing : Fixture {
  Actor alice;
  Actor bob;
  Refusing() {
    add_user("alice");
    add_user("bob");
    alice = actor("alice");
    bob = actor("bob");
  }
  std::uint64_t records() { return db->audit().range()->last; }
  void be_refused(const Actor& who, int i) {
    CHECK_FAILS(db->groups().create(who, fmt::format("system:mine{}", i)),
                ErrorCode::PermissionDenied);
  }
  std::vector<kdc::AuditRecord> counted() {
    auto found = db->audit().list({.after = 0, .limit = 9, .event = "refusals", .subject = {}});
    REQUIRE_OK(found);
    return *std::move(found);
  }
};

}  // namespace

TEST_CASE_FIXTURE(Refusing, "a caller who is refused on and on does not fill the audit log (F73)") {
  const auto before = records();
  for (int i = 0; i < 1'000; ++i)
    be_refused(alice, i);
  // Noted ones, each another, count likewise.
  for (int i = 0; i < 100; ++i) {
    REQUIRE_OK(db->audit().refused({.event = fmt::format("admin.x{}", i),
                                    .actor = alice.id,
                                    .actor_name = "alice",
                                    .outcome = "expired"}));
  }
  CHECK(records() - before >= 100);
  CHECK(records() - before <= 110);  // what the time that passed gave
  // Another's are recorded one by one all the same.
  const auto then = records();
  be_refused(bob, 1);
  CHECK(records() == then + 1);

  // Nothing is forgotten: the others are counted.
  clock.advance(kdc::kRefusalsCountedFor);
  REQUIRE_OK(db->housekeeping());
  const auto sum = counted();
  REQUIRE(sum.size() == 1);
  CHECK(sum[0].actor == alice.id);
  CHECK(sum[0].actor_name == "alice");
  CHECK(sum[0].times + (then - before) == 1'100);
  CHECK(db->audit().verify()->ok);
}

TEST_CASE_FIXTURE(Refusing, "counted refusals are written at closing") {
  for (int i = 0; i < 200; ++i)
    be_refused(alice, i);
  REQUIRE_OK(db->audit().flush());
  CHECK(counted().empty());
  REQUIRE_OK(db->close());
  open();
  REQUIRE(counted().size() == 1);
  CHECK(counted()[0].times >= 90);
}

TEST_CASE("callers beyond the table share one place in it") {
  kdc::Refusals refusals(2);
  const auto at = [](std::uint32_t actor) {
    return kdc::AuditRecord{.at = kdc::time_from(1'800'000'000'000), .actor = Id(actor)};
  };
  CHECK(refusals.admit(at(1)));
  CHECK(refusals.admit(at(2)));
  int admitted = 0;
  for (std::uint32_t actor = 3; actor < 1'003; ++actor)
    admitted += refusals.admit(at(actor));
  CHECK(admitted == 100);
  CHECK(refusals.admit(at(1)));
  const auto counted =
      refusals.take_counted(kdc::time_from(1'800'000'000'000), 9, kdc::Refusals::Which::All);
  REQUIRE(counted.size() == 1);
  CHECK(counted[0].actor == kdc::kNobody);
  CHECK(counted[0].times == 900);
}

TEST_CASE_FIXTURE(Refusing, "nobody's operations push out another's") {
  const auto group = db->groups().create(alice, "alice:friends");
  REQUIRE_OK(group);
  const Actor once = with_operation(alice);
  REQUIRE_OK(db->groups().add_member(once, *group, bob.id));
  // Later ones of bob's, more than there is room for.
  std::array<std::byte, 4> bobs{};
  for (std::size_t i = 0; i < 4; ++i)
    bobs[i] = std::byte(bob.id.value >> (24 - 8 * i) & 0xffU);
  sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100001) "
      "INSERT INTO operation SELECT CAST(CAST(printf('%016d', i) AS BLOB) || ?2 AS BLOB), "
      "zeroblob(32), 0, "
      "?1 + i FROM n",
      kdc::to_number(kdc::time_now(clock)), ByteView(bobs));
  REQUIRE_OK(db->housekeeping());
  CHECK(number("SELECT count(*) FROM operation") == 90'000);
  // Answered as the first time: doing it again would say that he is a member already.
  CHECK_OK(db->groups().add_member(once, *group, bob.id));
  // Of bob's the oldest went.
  CHECK(number("SELECT count(*) FROM operation WHERE substr(id, 1, 16) = "
               "CAST(printf('%016d', 100001) AS BLOB)") == 1);
}
