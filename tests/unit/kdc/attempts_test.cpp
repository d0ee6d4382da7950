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
