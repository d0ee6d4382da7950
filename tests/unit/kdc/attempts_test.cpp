#include "tests/unit/kdc/kdc_fixture.hpp"

using namespace kdc_test;

namespace {

struct Attempts : Fixture {
  // Attempts that may be made until the first refusal, all failing.
  int exhaust(const std::string& name, const std::string& source) {
    for (int made = 0;; ++made) {
      if (!db->attempts().begin(name, source).allowed)
        return made;
      REQUIRE_OK(db->attempts().failed(name, source));
    }
  }
};

}  // namespace

TEST_CASE_FIXTURE(Attempts,
                  "names are limited whether or not they exist, and a restart forgives nothing") {
  add_user("alice");
  CHECK(exhaust("alice", "192.0.2.1") == 10);
  CHECK(exhaust("nobody", "192.0.2.2") == 10);
  open();
  CHECK_FALSE(db->attempts().begin("alice", "192.0.2.3").allowed);
  const auto verdict = db->attempts().begin("nobody", "192.0.2.3");
  CHECK_FALSE(verdict.allowed);
  CHECK(verdict.wait > 10s);
  CHECK(verdict.wait <= 12s);
  clock.advance(12s);
  CHECK(db->attempts().begin("nobody", "192.0.2.3").allowed);
}

TEST_CASE_FIXTURE(Attempts, "a source is limited over all names") {
  int made = 0;
  for (;; ++made) {
    const std::string name = "n" + std::to_string(made);
    if (!db->attempts().begin(name, "198.51.100.1").allowed)
      break;
    REQUIRE_OK(db->attempts().failed(name, "198.51.100.1"));
  }
  CHECK(made == 60);
  CHECK(db->attempts().begin("n1", "198.51.100.2").allowed);
}

TEST_CASE_FIXTURE(Attempts, "nobody locks somebody out of his own machine") {
  REQUIRE(db->attempts().begin("alice", "10.0.0.5").allowed);
  REQUIRE_OK(db->attempts().succeeded("alice", "10.0.0.5"));
  CHECK(exhaust("alice", "203.0.113.9") == 10);
  CHECK_FALSE(db->attempts().begin("alice", "203.0.113.10").allowed);
  CHECK(db->attempts().begin("alice", "10.0.0.5").allowed);
  db->attempts().withdrawn("alice", "10.0.0.5");
  open();
  CHECK_FALSE(db->attempts().begin("alice", "203.0.113.10").allowed);
  CHECK(db->attempts().begin("alice", "10.0.0.5").allowed);
  // And guessing from that machine does not spend the others' attempts.
  clock.advance(10min);
  CHECK(exhaust("alice", "10.0.0.5") == 10);
  CHECK(db->attempts().begin("alice", "203.0.113.11").allowed);
  // A month later it is a machine like any other.
  clock.advance(std::chrono::days(31));
  CHECK(exhaust("alice", "203.0.113.12") == 10);
  CHECK_FALSE(db->attempts().begin("alice", "10.0.0.5").allowed);
}

TEST_CASE_FIXTURE(Attempts,
                  "a right password clears the name's count and costs the source nothing") {
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 9; ++i) {
      const std::string source = "192.0.2." + std::to_string(round * 9 + i);
      REQUIRE(db->attempts().begin("alice", source).allowed);
      REQUIRE_OK(db->attempts().failed("alice", source));
    }
    REQUIRE(db->attempts().begin("alice", "192.0.2.254").allowed);
    REQUIRE_OK(db->attempts().succeeded("alice", "10.1.0." + std::to_string(round)));
  }
  for (int i = 0; i < 500; ++i) {
    REQUIRE(db->attempts().begin("bob", "10.0.0.6").allowed);
    REQUIRE_OK(db->attempts().succeeded("bob", "10.0.0.6"));
  }
}

TEST_CASE_FIXTURE(Attempts, "counts go when they say nothing any more") {
  exhaust("alice", "192.0.2.1");
  CHECK(number("SELECT count(*) FROM attempt") == 2);
  clock.advance(11min);
  REQUIRE_OK(db->housekeeping());
  CHECK(number("SELECT count(*) FROM attempt") == 0);
}

TEST_CASE_FIXTURE(Attempts, "a full table of counters forgets what changed longest ago") {
  const auto try_others = [&](std::size_t counters, std::string_view of) {
    for (std::size_t i = 0; i < counters / 2; ++i)
      REQUIRE(
          db->attempts().begin(fmt::format("{}{}", of, i), fmt::format("{} {}", of, i)).allowed);
  };
  exhaust("alice", "192.0.2.1");
  try_others(kdc::kMostCounters / 2, "a");
  exhaust("bob", "192.0.2.2");
  try_others(kdc::kMostCounters / 2, "b");
  CHECK_FALSE(db->attempts().begin("bob", "192.0.2.3").allowed);
  CHECK(db->attempts().begin("alice", "192.0.2.4").allowed);
}

TEST_CASE_FIXTURE(Attempts, "the database does not tell which names were tried") {
  exhaust("alice", "192.0.2.1");
  CHECK(number("SELECT count(*) FROM attempt WHERE instr(key, CAST('alice' AS BLOB)) > 0") == 0);
  CHECK(number("SELECT min(length(key)) FROM attempt") == 16);
}

TEST_CASE("who has one IPv6 address has its whole /64") {
  CHECK(kdc::source_of_address("192.0.2.7") == "192.0.2.7");
  CHECK(kdc::source_of_address("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64");
  CHECK(kdc::source_of_address("2001:db8:1:2::9") == "2001:db8:1:2::/64");
  CHECK(kdc::source_of_address("::ffff:192.0.2.7") == "192.0.2.7");
  CHECK(kdc::source_of_address("local") == "local");
}

namespace {

// Rows of known addresses, each 50 ms older than the one before.
constexpr std::string_view kManyKnown =
    "INSERT INTO known_source WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
    "i < ?1) SELECT randomblob(16), ?2 - 50 * i FROM n";

}  // namespace

TEST_CASE_FIXTURE(Attempts, "a full table of known addresses forgets the one that is oldest") {
  const auto log_in = [&](const std::string& name, const std::string& source) {
    const bool allowed = db->attempts().begin(name, source).allowed;
    REQUIRE(allowed);
    REQUIRE_OK(db->attempts().succeeded(name, source));
  };
  const auto is_known = [&](const std::string& name, const std::string& source) {
    exhaust(name, "203.0.113." + std::to_string(name.size()));
    const bool allowed = db->attempts().begin(name, source).allowed;
    if (allowed)
      db->attempts().withdrawn(name, source);
    return allowed;
  };
  log_in("alice", "10.0.0.1");
  clock.advance(1h);
  log_in("robert", "10.0.0.2");
  // As many more as there is room for, between these two.
  sql(kManyKnown, kdc::kMostKnownSources - 2, kdc::to_number(kdc::time_now(clock)));
  open();
  CHECK(number("SELECT count(*) FROM known_source") == kdc::kMostKnownSources);
  CHECK(is_known("alice", "10.0.0.1"));
  log_in("al", "10.0.0.3");
  CHECK(number("SELECT count(*) FROM known_source") == kdc::kMostKnownSources);
  for (int restarts = 0; restarts < 2; ++restarts) {
    CHECK_FALSE(is_known("alice", "10.0.0.1"));
    CHECK(is_known("robert", "10.0.0.2"));
    CHECK(is_known("al", "10.0.0.3"));
    open();
  }
  // Should there ever be more on the disk, the oldest are not read.
  sql(kManyKnown, 100, kdc::to_number(kdc::time_now(clock)));
  open();
  CHECK(is_known("al", "10.0.0.3"));
}

TEST_CASE_FIXTURE(Attempts, "one name with many addresses takes no other name's places") {
  const auto log_in = [&](const std::string& name, const std::string& source) {
    REQUIRE(db->attempts().begin(name, source).allowed);
    REQUIRE_OK(db->attempts().succeeded(name, source));
  };
  log_in("alice", "10.0.0.1");
  for (std::size_t i = 0; i < kdc::kMostKnownOfOne; ++i) {
    clock.advance(1s);
    log_in("mallory", "2001:db8::" + std::to_string(i));
  }
  CHECK(number("SELECT count(*) FROM known_source") == kdc::kMostKnownOfOne + 1);
  for (int more = 0; more < 5; ++more) {
    clock.advance(1s);
    log_in("mallory", "192.0.2." + std::to_string(more));
    open();  // it knows whose they are after a restart, too
  }
  CHECK(number("SELECT count(*) FROM known_source") == kdc::kMostKnownOfOne + 1);
  exhaust("mallory", "203.0.113.1");
  CHECK_FALSE(db->attempts().begin("mallory", "2001:db8::0").allowed);
  CHECK_FALSE(db->attempts().begin("mallory", "2001:db8::4").allowed);
  CHECK(db->attempts().begin("mallory", "2001:db8::5").allowed);
  CHECK(db->attempts().begin("mallory", "192.0.2.4").allowed);
  exhaust("alice", "203.0.113.2");
  CHECK(db->attempts().begin("alice", "10.0.0.1").allowed);
}

TEST_CASE_FIXTURE(Attempts, "a name whose key shares eight bytes with hers locks nobody out") {
  for (const char* colliding :
       {"substr(key, 1, 8) || randomblob(8)", "randomblob(8) || substr(key, 9)"}) {
    exhaust("alice", "192.0.2.1");
    CHECK_FALSE(db->attempts().begin("alice", "192.0.2.2").allowed);
    // All that was counted for her is another name's now.
    sql(fmt::format("UPDATE attempt SET key = CAST({} AS BLOB) WHERE kind = 1", colliding));
    open();
    CHECK(db->attempts().begin("alice", "192.0.2.2").allowed);
    db->attempts().withdrawn("alice", "192.0.2.2");
    clock.advance(20min);
    REQUIRE_OK(db->housekeeping());
  }
}
