#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "tests/unit/kdc/kdc_fixture.hpp"

using namespace kdc_test;

namespace {

struct Groups : Fixture {
  Id group(const std::string& name) {
    const auto made = db->groups().create(admin, "system:" + name);
    REQUIRE_OK(made);
    return *made;
  }
  std::vector<Id> closure(Id id) {
    const auto found = db->groups().closure(id);
    REQUIRE_OK(found);
    return found->groups;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Groups, "members of members are members") {
  const Id alice = add_user("alice");
  const Id a = group("a");
  const Id b = group("b");
  const Id c = group("c");
  REQUIRE_OK(db->groups().add_member(admin, a, alice));
  REQUIRE_OK(db->groups().add_member(admin, b, a));
  REQUIRE_OK(db->groups().add_member(admin, c, b));
  CHECK(closure(alice) == std::vector<Id>{a, b, c});
  CHECK_FAILS(db->groups().add_member(admin, a, alice), ErrorCode::AlreadyExists);
  REQUIRE_OK(db->groups().remove_member(admin, b, a));
  CHECK(closure(alice) == std::vector<Id>{a});
  CHECK_FAILS(db->groups().remove_member(admin, b, a), ErrorCode::NotFound);
  CHECK_FAILS(db->groups().add_member(admin, a, Id(4711)), ErrorCode::NotFound);
  CHECK_FAILS(db->groups().add_member(admin, a, kdc::kAuthUser), ErrorCode::InvalidArgument);
}

TEST_CASE_FIXTURE(Groups, "no group is in itself, however far round") {
  std::vector<Id> ring;
  for (int i = 0; i < 8; ++i)
    ring.push_back(group("r" + std::to_string(i)));
  CHECK_FAILS(db->groups().add_member(admin, ring[0], ring[0]), ErrorCode::Conflict);
  for (std::size_t i = 0; i + 1 < ring.size(); ++i)
    REQUIRE_OK(db->groups().add_member(admin, ring[i + 1], ring[i]));
  CHECK_FAILS(db->groups().add_member(admin, ring[0], ring.back()), ErrorCode::Conflict);
  CHECK_FAILS(db->groups().add_member(admin, ring[3], ring[5]), ErrorCode::Conflict);
}

TEST_CASE_FIXTURE(Groups, "groups nest 16 deep and no deeper, from either end") {
  std::vector<Id> chain;
  for (int i = 0; i < 17; ++i)
    chain.push_back(group("g" + std::to_string(i)));
  const Id alice = add_user("alice");
  // Built from the middle, so that both halves count.
  for (std::size_t i = 8; i + 1 < 16; ++i)
    REQUIRE_OK(db->groups().add_member(admin, chain[i + 1], chain[i]));
  for (std::size_t i = 0; i + 1 < 8; ++i)
    REQUIRE_OK(db->groups().add_member(admin, chain[i + 1], chain[i]));
  REQUIRE_OK(db->groups().add_member(admin, chain[0], alice));
  REQUIRE_OK(db->groups().add_member(admin, chain[8], chain[7]));
  CHECK(closure(alice).size() == 16);
  CHECK_FAILS(db->groups().add_member(admin, chain[16], chain[15]), ErrorCode::ResourceExhausted);
  CHECK_FAILS(db->groups().add_member(admin, chain[0], chain[16]), ErrorCode::ResourceExhausted);
}

TEST_CASE_FIXTURE(Groups, "the closure agrees with a model, and changes name whom they touched") {
  std::mt19937 random(4);
  std::vector<Id> users;
  std::vector<Id> groups;
  for (int i = 0; i < 12; ++i)
    users.push_back(add_user("u" + std::to_string(i)));
  for (int i = 0; i < 12; ++i)
    groups.push_back(group("m" + std::to_string(i)));
  std::set<std::pair<Id, Id>> edges;  // member, group
  const auto model = [&](Id who) {
    std::set<Id> in;
    std::vector<Id> todo{who};
    while (!todo.empty()) {
      const Id at = todo.back();
      todo.pop_back();
      for (const auto& [member, to] : edges) {
        if (member == at && in.insert(to).second)
          todo.push_back(to);
      }
    }
    return std::vector<Id>(in.begin(), in.end());
  };
  for (int step = 0; step < 250; ++step) {
    std::map<Id, std::vector<Id>> before;
    for (const Id user : users)
      before[user] = model(user);
    const auto version = db->groups().directory_version();
    const Id to = groups[random() % groups.size()];
    const Id member =
        random() % 2 == 0 ? users[random() % users.size()] : groups[random() % groups.size()];
    const bool there = edges.contains({member, to});
    if (there) {
      REQUIRE_OK(db->groups().remove_member(admin, to, member));
      edges.erase({member, to});
    } else {
      const auto above = model(to);
      const bool cycle = member == to || std::binary_search(above.begin(), above.end(), member);
      const auto added = db->groups().add_member(admin, to, member);
      CHECK(added.has_value() == !cycle);
      if (!cycle)
        edges.insert({member, to});
    }
    const auto changes = db->groups().changes_since(*version);
    REQUIRE_OK(changes);
    const std::set<Id> named(changes->principals.begin(), changes->principals.end());
    for (const Id user : users) {
      const auto expected = model(user);
      REQUIRE(closure(user) == expected);
      if (expected != before[user])
        REQUIRE(named.contains(user));
    }
  }
}

TEST_CASE_FIXTURE(Groups, "who owns a group manages it, and nobody else does") {
  add_user("alice");
  const Id bob = add_user("bob");
  const Actor alice = actor("alice");
  const auto friends = db->groups().create(alice, "alice:friends");
  REQUIRE_OK(friends);
  CHECK_FAILS(db->groups().create(alice, "bob:friends"), ErrorCode::PermissionDenied);
  CHECK_FAILS(db->groups().create(alice, "system:mine"), ErrorCode::PermissionDenied);
  CHECK_FAILS(db->groups().create(alice, "alice:other", bob), ErrorCode::PermissionDenied);
  CHECK_FAILS(db->groups().create(alice, "alice:friends"), ErrorCode::AlreadyExists);
  CHECK_FAILS(db->groups().create(alice, "alice:x", std::nullopt, Id(5000)),
              ErrorCode::PermissionDenied);
  CHECK_OK(db->groups().add_member(alice, *friends, bob));
  CHECK_FAILS(db->groups().add_member(actor("bob"), *friends, bob), ErrorCode::PermissionDenied);

  // A group that owns itself is managed by its members.
  REQUIRE_OK(db->groups().set_owner(alice, *friends, *friends));
  CHECK_FAILS(db->groups().add_member(alice, *friends, alice.id), ErrorCode::PermissionDenied);
  CHECK_OK(db->groups().add_member(actor("bob"), *friends, alice.id));
  const auto rights = db->groups().rights(bob, *friends);
  REQUIRE_OK(rights);
  CHECK(rights->owner);
  CHECK(rights->member);
  CHECK_FALSE(rights->administrator);
  CHECK_FALSE(rights->sensitive);
  CHECK_OK(db->groups().remove(actor("bob"), "alice:friends"));

  CHECK_FAILS(db->groups().remove(admin, "system:auditors"), ErrorCode::Conflict);
  CHECK_FAILS(db->groups().set_owner(alice, kdc::kAuditors, alice.id), ErrorCode::PermissionDenied);
}

TEST_CASE_FIXTURE(Groups, "a user has so many groups and no more") {
  add_user("alice");
  const Actor alice = actor("alice");
  for (std::uint64_t i = 0; i < kdc::kMostOwnedGroups; ++i)
    REQUIRE_OK(db->groups().create(alice, "alice:g" + std::to_string(i)));
  CHECK_FAILS(db->groups().create(alice, "alice:more"), ErrorCode::ResourceExhausted);
  const auto mine = db->groups().list_of(alice.id, "", 10);
  REQUIRE_OK(mine);
  CHECK(mine->size() == 10);
}

TEST_CASE_FIXTURE(Groups, "what lies in system:administrators is sensitive") {
  const Id inner = group("inner");
  CHECK_FALSE(db->groups().rights(admin.id, inner)->sensitive);
  REQUIRE_OK(db->groups().add_member(admin, kdc::kAdministrators, inner));
  CHECK(db->groups().rights(admin.id, inner)->sensitive);
  CHECK(db->groups().rights(admin.id, kdc::kAuditors)->sensitive);
}

TEST_CASE_FIXTURE(Groups, "disabling shows in the directory's changes; a stranger starts anew") {
  const Id alice = add_user("alice");
  const auto version = db->groups().directory_version();
  REQUIRE_OK(db->principals().set_disabled(admin, "alice", true));
  const auto changes = db->groups().changes_since(*version);
  REQUIRE_OK(changes);
  CHECK(changes->principals == std::vector<Id>{alice});
  CHECK(changes->version == *version + 1);
  CHECK_FALSE(changes->everything);
  CHECK(db->groups().changes_since(changes->version)->principals.empty());
  CHECK(db->groups().changes_since(*version + 100)->everything);
  sql("UPDATE cell SET forgotten = directory");
  CHECK(db->groups().changes_since(*version)->everything);
}

TEST_CASE_FIXTURE(Groups, "a closure of many groups is read in one short walk") {
  const Id alice = add_user("alice");
  for (int i = 0; i < 60; ++i)
    REQUIRE_OK(db->groups().add_member(admin, group("p" + std::to_string(i)), alice));
  closure(alice);
  const auto begin = clock.now();
  for (int i = 0; i < 200; ++i)
    closure(alice);
  const auto each = (clock.now() - begin) / 200;
  MESSAGE("closure of 60 groups: " << each.count() / 1000 << " us");
  CHECK(closure(alice).size() == 60);
}

TEST_CASE_FIXTURE(Fixture, "users' groups leave the cell's groups their place") {
  const Id alice = add_user("alice");
  const auto friends = db->groups().create(admin, "system:friends");
  const auto roots = db->groups().create(admin, "root:helpers");
  REQUIRE_OK(friends);
  REQUIRE_OK(roots);
  // Groups of three users, with lower ids than the cell's, and a way to alice for each.
  std::uint32_t id = 1'000;
  std::size_t joined = 0;
  Status last;
  for (const std::string name : {"mallory", "oscar", "trudy"}) {
    add_user(name);
    const Actor user = actor(name);
    for (int i = 0; i < 200 && last; ++i, ++id) {
      const std::string group = fmt::format("{}:g{}", name, i);
      REQUIRE_OK(db->groups().create(admin, group, user.id, Id(id)));
      last = db->groups().add_member(user, Id(id), alice);
      joined += last.has_value();
    }
  }
  CHECK_FAILS(last, ErrorCode::ResourceExhausted);
  CHECK(joined == kdc::kMostOfUsers);
  // An owner of a group may be made anybody, an administrator too: that makes it none of the
  // cell's.
  REQUIRE_OK(db->groups().set_owner(actor("mallory"), Id(1'000), kdc::kAdministrators));
  REQUIRE_OK(db->groups().add_member(admin, *friends, alice));
  REQUIRE_OK(db->groups().add_member(admin, *roots, alice));
  const auto few = db->core().read([&](ReadTx& tx) { return kdc::closure_of(tx, alice, 3); });
  REQUIRE_OK(few);
  CHECK(*few == std::vector<Id>{Id(1'000), *friends, *roots});
  CHECK(db->groups().closure(alice)->groups.size() == kdc::kMostOfUsers + 2);
}

TEST_CASE_FIXTURE(Groups, "nobody comes into more groups of users through a group that he is in") {
  const Id alice = add_user("alice");
  const Id bob = add_user("bob");
  const Id team = group("team");
  const Id squad = group("squad");
  REQUIRE_OK(db->groups().add_member(admin, squad, alice));
  REQUIRE_OK(db->groups().add_member(admin, team, squad));
  REQUIRE_OK(db->groups().add_member(admin, team, bob));
  std::vector<Id> groups;
  for (const std::string name : {"mallory", "oscar", "trudy"}) {
    add_user(name);
    const Actor user = actor(name);
    for (int i = 0; i < 200; ++i) {
      const auto made = db->groups().create(user, fmt::format("{}:g{}", name, i));
      REQUIRE_OK(made);
      groups.push_back(*made);
    }
  }
  const auto add = [&](std::size_t to, Id member) {
    return db->groups().add_member(admin, groups[to], member);
  };
  std::size_t at = 0;
  for (; at < 500; ++at)
    REQUIRE_OK(add(at, alice));
  // A group that leads to others counts for all of them: 20 at once.
  for (std::size_t i = 581; i < 600; ++i)
    REQUIRE_OK(add(i, groups[580]));
  CHECK_FAILS(add(580, team), ErrorCode::ResourceExhausted);
  // One by one they go in until alice has as many as can be; bob, and the team itself, have few.
  while (add(at, team))
    ++at;
  CHECK(at == kdc::kMostOfUsers);
  CHECK(closure(bob).size() == 1 + 12);
  CHECK(closure(alice).size() == 2 + kdc::kMostOfUsers);
  CHECK_OK(add(at, bob));
  // What brings her nothing new is nobody's loss, and the cell's own groups are another matter.
  CHECK_OK(add(0, team));
  REQUIRE_OK(db->groups().add_member(admin, group("more"), team));
  REQUIRE_OK(db->groups().remove_member(admin, squad, alice));
  CHECK_OK(add(580, team));
}

TEST_CASE_FIXTURE(Groups, "a group with too many in it to count is put into none of a user's") {
  const Id everybody = group("everybody");
  sql("INSERT INTO principal WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
      "i < ?1) SELECT 1000000 + i, 'u' || i, 1, 0, 0, 0, 0, '', 0, 0 FROM n",
      kdc::kMostCounted + 1);
  sql("INSERT INTO membership SELECT id, ?1 FROM principal WHERE id > 1000000", everybody.value);
  add_user("mallory");
  const auto hers = db->groups().create(actor("mallory"), "mallory:all");
  REQUIRE_OK(hers);
  CHECK_FAILS(db->groups().add_member(actor("mallory"), *hers, everybody),
              ErrorCode::ResourceExhausted);
  CHECK_OK(db->groups().add_member(admin, group("staff"), everybody));
  sql("DELETE FROM membership WHERE member = 1000001");
  CHECK_OK(db->groups().add_member(actor("mallory"), *hers, everybody));
}
