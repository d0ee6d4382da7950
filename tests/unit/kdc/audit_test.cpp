#include "common/failpoint/failpoint.hpp"
#include "tests/unit/kdc/kdc_fixture.hpp"

using namespace kdc_test;

TEST_CASE_FIXTURE(Fixture, "every change has its record, and the chain holds") {
  add_user("alice");
  const auto records = db->audit().list({.after = 0, .limit = 100, .event = {}, .subject = {}});
  REQUIRE_OK(records);
  REQUIRE(records->size() == 2);
  CHECK((*records)[0].event == "cell.begin");
  CHECK((*records)[1].event == "user.add");
  CHECK((*records)[1].subject == "alice");
  CHECK((*records)[1].actor == admin.id);
  CHECK((*records)[1].outcome == "ok");
  const auto verdict = db->audit().verify();
  REQUIRE_OK(verdict);
  CHECK(verdict->ok);
  CHECK(verdict->first == 1);
  CHECK(verdict->last == 2);
}

TEST_CASE_FIXTURE(Fixture,
                  "whatever is changed in the log, the first record that does not fit is named") {
  for (int i = 0; i < 5; ++i)
    add_user("user" + std::to_string(i));
  const std::array<std::string, 14> tampering{
      "UPDATE audit SET at = at + 1 WHERE seq = 4", "UPDATE audit SET event = 'x' WHERE seq = 4",
      "UPDATE audit SET actor = 7 WHERE seq = 4", "UPDATE audit SET actor_name = 'x' WHERE seq = 4",
      "UPDATE audit SET subject = 'x' WHERE seq = 4", "UPDATE audit SET source = 'x' WHERE seq = 4",
      "UPDATE audit SET outcome = 'x' WHERE seq = 4", "UPDATE audit SET times = 2 WHERE seq = 4",
      "UPDATE audit SET details = 'x' WHERE seq = 4",
      "UPDATE audit SET hash = zeroblob(32) WHERE seq = 4", "DELETE FROM audit WHERE seq = 4",
      "UPDATE audit SET subject = (SELECT subject FROM audit WHERE seq = 5) WHERE seq = 4",
      // Text moved over the border of two fields.
      "UPDATE audit SET event = 'user', actor_name = '.add' || actor_name WHERE seq = 4",
      "DELETE FROM audit WHERE seq >= 4"};
  sql("CREATE TABLE kept AS SELECT * FROM audit");
  for (const std::string& tamper : tampering) {
    CAPTURE(tamper);
    sql(tamper);
    const auto verdict = db->audit().verify();
    REQUIRE_OK(verdict);
    CHECK_FALSE(verdict->ok);
    CHECK(verdict->broken == 4);
    sql("DELETE FROM audit");
    sql("INSERT INTO audit SELECT * FROM kept");
    CHECK(db->audit().verify()->ok);
  }
  // The end cut off, and the head made to fit: the head's hash is of the record before.
  sql("DELETE FROM audit WHERE seq = 6");
  sql("UPDATE cell SET head_seq = 5");
  CHECK_FALSE(db->audit().verify()->ok);
}

TEST_CASE_FIXTURE(Fixture, "a change whose record cannot be written does not happen (F73)") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("this build has no failpoints");
  add_user("alice");
  const auto before = db->audit().range()->last;
  {
    const common::failpoint::Armed armed("kdc.audit.append=error(no_space)");
    REQUIRE_OK(armed.status());
    CHECK_FAILS(db->principals().set_disabled(admin, "alice", true), ErrorCode::NoSpace);
    CHECK_FAILS(db->keys().set_password(admin, id_of("alice"), 1, password_key("alice"),
                                        kdc::PasswordReason::NewPassword),
                ErrorCode::NoSpace);
    CHECK_FAILS(db->groups().create(admin, "system:new"), ErrorCode::NoSpace);
    // Logins too, once what is noted cannot be kept any more.
    Status noted;
    for (std::size_t i = 0; noted && i < kdc::kMostNoted + 2; ++i)
      noted = db->audit().note({.event = "as", .subject = std::to_string(i), .outcome = "ok"});
    CHECK_FAILS(noted, ErrorCode::NoSpace);
  }
  CHECK(db->audit().range()->last == before);
  CHECK_FALSE((*db->principals().find("alice"))->disabled);
  CHECK((*db->principals().find("alice"))->kvno == 1);
  // Nothing that was noted is lost.
  REQUIRE_OK(db->audit().flush());
  CHECK(db->audit().range()->last == before + kdc::kMostNoted);
  CHECK(db->audit().verify()->ok);
}

TEST_CASE_FIXTURE(Fixture, "while the disk fails no more is kept than the cap, in flight or not") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("this build has no failpoints");
  const auto note = [&](std::string_view what, std::size_t i) {
    return db->audit().note(
        {.event = "as", .subject = fmt::format("{} {}", what, i), .outcome = "ok"});
  };
  const std::size_t early = kdc::kMostNoted - 10;
  for (std::size_t i = 0; i < early; ++i)
    REQUIRE_OK(note("early", i));
  const auto before = db->audit().range()->last;
  std::size_t meanwhile = 0;
  Status refused;
  // In the middle of the transaction, which then fails.
  common::failpoint::arm_call("kdc.audit.append", [&]() -> Status {
    while ((refused = note("late", meanwhile)))
      ++meanwhile;
    return common::fail(ErrorCode::NoSpace, "no room");
  });
  CHECK_FAILS(db->audit().flush(), ErrorCode::NoSpace);
  common::failpoint::disarm_all();
  CHECK_FAILS(refused, ErrorCode::Overloaded);
  CHECK(meanwhile == 10);
  // What was kept is written, in order.
  REQUIRE_OK(db->audit().flush());
  CHECK(db->audit().range()->last == before + kdc::kMostNoted);
  CHECK(db->audit()
            .list({.after = before, .limit = 1, .event = {}, .subject = {}})
            ->front()
            .subject == "early 0");
}

TEST_CASE_FIXTURE(Fixture, "what peers send cannot forge a line (F73)") {
  REQUIRE_OK(db->audit().record({.event = "as",
                                 .subject = "x\nok user.add root\r\x1b[2J\xff",
                                 .source = std::string(4000, 'a'),
                                 .outcome = "ok"}));
  const auto records = db->audit().list({.after = 1, .limit = 1, .event = {}, .subject = {}});
  REQUIRE_OK(records);
  for (const char c : records->front().subject)
    CHECK((c >= ' ' && c <= '~'));
  CHECK(records->front().source.size() <= kdc::kMostAuditText);
  CHECK(db->audit().verify()->ok);
}

TEST_CASE_FIXTURE(Fixture, "equal tickets become one record with a count") {
  for (int i = 0; i < 500; ++i) {
    REQUIRE_OK(db->audit().note({.event = "tgs", .subject = "fileserver/fs1", .outcome = "ok"}));
    REQUIRE_OK(db->audit().note({.event = "tgs", .subject = "host/desk7", .outcome = "ok"}));
  }
  REQUIRE_OK(db->audit().flush());
  const auto records = db->audit().list({.after = 0, .limit = 9, .event = "tgs", .subject = {}});
  REQUIRE_OK(records);
  REQUIRE(records->size() == 2);
  CHECK((*records)[0].times == 500);
  CHECK((*records)[1].times == 500);
}

TEST_CASE_FIXTURE(Fixture, "noted records are written at closing, and the chain goes on") {
  REQUIRE_OK(db->audit().note({.event = "as", .subject = "alice", .outcome = "ok"}));
  REQUIRE_OK(db->close());
  open();
  CHECK(db->audit().list({.after = 0, .limit = 9, .event = "as", .subject = "alice"})->size() == 1);
  add_user("bob");
  CHECK(db->audit().verify()->ok);
}

TEST_CASE_FIXTURE(Fixture, "old records are trimmed, and what is left still proves itself") {
  for (int i = 0; i < 2500; ++i) {
    REQUIRE_OK(db->audit().note({.event = "as", .subject = std::to_string(i), .outcome = "ok"}));
  }
  REQUIRE_OK(db->audit().flush());
  clock.advance(kdc::kAuditKept / 2);
  add_user("alice");
  CHECK(db->audit().trim(kdc::time_now(clock) - kdc::kAuditKept, 1'000'000) == false);
  CHECK(db->audit().range()->first == 1);
  int rounds = 0;
  for (bool more = true; more; ++rounds) {
    const auto trimmed = db->audit().trim(kdc::time_now(clock) - std::chrono::days(1), 1'000'000);
    REQUIRE_OK(trimmed);
    more = *trimmed;
    CHECK(db->audit().verify()->ok);
    REQUIRE(rounds < 10);
  }
  CHECK(rounds >= 3);
  CHECK(db->audit().range()->first > 2500);
  sql("UPDATE cell SET anchor_hash = zeroblob(32)");
  CHECK_FALSE(db->audit().verify()->ok);
}

TEST_CASE_FIXTURE(Fixture, "F27: a wall clock that leaps ahead deletes nothing that is not old") {
  add_user("alice");
  const Actor once = with_operation(admin);
  REQUIRE_OK(db->groups().create(once, "system:staff"));
  REQUIRE(db->attempts().begin("alice", "10.0.0.5").allowed);
  REQUIRE_OK(db->attempts().succeeded("alice", "10.0.0.5"));
  const auto keeps_all = [&] {
    CHECK(db->audit().range()->first == 1);
    CHECK_OK(db->groups().create(once, "system:staff"));
    CHECK(number("SELECT count(*) FROM known_source") >= 1);
  };
  constexpr auto kDecade = std::chrono::days(3650);
  clock.advance(kDecade);
  REQUIRE_OK(db->housekeeping());
  REQUIRE(db->attempts().begin("bob", "10.0.0.6").allowed);
  REQUIRE_OK(db->attempts().succeeded("bob", "10.0.0.6"));
  keeps_all();
  clock.advance(-kDecade);
  REQUIRE_OK(db->housekeeping());
  keeps_all();
  // Nor does starting with a wrong clock.
  sql("DELETE FROM audit WHERE seq > 3");  // none that the wrong clock dated
  sql("UPDATE cell SET head_seq = 3, head_hash = (SELECT hash FROM audit WHERE seq = 3)");
  REQUIRE_OK(db->close());
  clock.advance(kDecade);
  open();
  REQUIRE_OK(db->housekeeping());
  keeps_all();
}

TEST_CASE_FIXTURE(Fixture, "what is old goes when its time has passed") {
  const Actor once = with_operation(admin);
  REQUIRE_OK(db->groups().create(once, "system:staff"));
  clock.pass(std::chrono::days(6));
  REQUIRE_OK(db->housekeeping());
  CHECK(number("SELECT count(*) FROM operation") == 1);
  clock.pass(std::chrono::days(2));
  REQUIRE_OK(db->housekeeping());
  CHECK(number("SELECT count(*) FROM operation") == 0);
  clock.pass(kdc::kAuditKept);
  add_user("alice");
  REQUIRE_OK(db->housekeeping());
  CHECK(db->audit().range()->first > 2);
  CHECK(db->audit().verify()->ok);
}
