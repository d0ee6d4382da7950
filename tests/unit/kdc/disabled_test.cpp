// Whose tickets are good no more, as services are told.

#include "kdc/disabled.hpp"

#include "tests/unit/kdc/kdc_fixture.hpp"

using namespace kdc_test;
using kdc::DisabledPage;
using kdc::kNobody;
using kdc::read_disabled;

namespace {

struct Disabling : Fixture {
  DisabledPage page(std::optional<std::uint64_t> since, Id after = kNobody,
                    std::size_t most = kdc::kMostDisabledSeen) {
    auto read = read_disabled(db->core(), since, after, most);
    REQUIRE_OK(read);
    return *std::move(read);
  }
  void disable(const std::string& name, bool disabled = true) {
    REQUIRE_OK(db->principals().set_disabled(admin, name, disabled));
  }
};

}  // namespace

TEST_CASE_FIXTURE(Disabling, "F41: who is disabled, enabled or removed shows since a version") {
  const Id alice = add_user("alice");
  const Id bob = add_user("bob");
  const std::uint64_t begin = page(std::nullopt).version;
  CHECK(page(begin).disabled.empty());
  CHECK(page(begin).enabled.empty());

  disable("alice");
  const DisabledPage first = page(begin);
  CHECK_FALSE(first.whole);
  CHECK(first.disabled == std::vector<Id>{alice});
  CHECK(first.enabled.empty());

  disable("alice", false);
  REQUIRE_OK(db->principals().remove(admin, "bob"));
  const DisabledPage second = page(first.version);
  CHECK(second.disabled == std::vector<Id>{bob});
  CHECK(second.enabled == std::vector<Id>{alice});
  CHECK(page(second.version).disabled.empty());
}

TEST_CASE_FIXTURE(Disabling, "F41: everybody comes in pages that lose and repeat nobody") {
  std::vector<Id> wanted;
  for (int i = 0; i < 7; ++i) {
    const std::string name = fmt::format("user{}", i);
    const Id id = add_user(name);
    if (i % 2 == 0) {
      disable(name);
      wanted.push_back(id);
    } else if (i == 3) {
      REQUIRE_OK(db->principals().remove(admin, name));
      wanted.push_back(id);
    }
  }
  // A group is nobody who could have a ticket.
  REQUIRE_OK(db->groups().create(admin, "system:friends"));
  const DisabledPage whole = page(std::nullopt);
  CHECK(whole.whole);
  CHECK(whole.disabled == wanted);
  CHECK_FALSE(whole.next);

  std::vector<Id> seen;
  Id after = kNobody;
  for (int pages = 0;; ++pages) {
    REQUIRE(pages < 50);
    const DisabledPage one = page(std::nullopt, after, 3);
    seen.insert(seen.end(), one.disabled.begin(), one.disabled.end());
    if (!one.next)
      break;
    CHECK(*one.next > after);
    after = *one.next;
  }
  CHECK(seen == wanted);
}

TEST_CASE_FIXTURE(Disabling, "F41: a version that nobody knows is answered with everybody") {
  const Id alice = add_user("alice");
  disable("alice");
  const std::uint64_t now = page(std::nullopt).version;
  const DisabledPage future = page(now + 100);
  CHECK(future.whole);
  CHECK(future.disabled == std::vector<Id>{alice});
  sql("UPDATE cell SET forgotten = directory");
  CHECK(page(now - 1).whole);
  CHECK_FALSE(page(now).whole);
}
