#include <thread>

#include "tests/unit/kdc/kdc_fixture.hpp"

using namespace kdc_test;

TEST_CASE_FIXTURE(Fixture, "a new cell has its own services, its administrator and its groups") {
  for (const std::string name : {"kdc/tgs", "kdc/admin", "fileserver/fs1", "host/desk7", "root"}) {
    const auto found = db->principals().find(name);
    REQUIRE_OK(found);
    REQUIRE(found->has_value());
    CHECK((*found)->kvno == 1);
    CHECK((*found)->id.value >= 10'000);
  }
  CHECK(db->groups().administers(admin.id) == true);
  CHECK(id_of("system:administrators") == kdc::kAdministrators);
  CHECK(id_of("system:anyuser") == kdc::kAnyUser);
  CHECK(db->groups().closure(admin.id)->groups ==
        std::vector<Id>{kdc::kAdministrators, kdc::kAuditors});
}

TEST_CASE_FIXTURE(Fixture, "an id is never given out twice") {
  const Id alice = add_user("alice");
  REQUIRE_OK(db->principals().remove(admin, "alice"));
  CHECK(db->principals().find("alice")->has_value() == false);
  CHECK(add_user("alice").value == alice.value + 1);
  const auto again = db->principals().add_user(
      admin, {.kind = Kind::User, .name = "bob", .id = alice, .policy = {}}, password_key("bob"));
  CHECK_FAILS(again, ErrorCode::AlreadyExists);

  // A chosen one that lies ahead is stepped over.
  const Id ahead{alice.value + 3};
  REQUIRE_OK(db->principals().add_user(
      admin, {.kind = Kind::User, .name = "carol", .id = ahead, .policy = {}},
      password_key("carol")));
  CHECK(add_user("dave").value == alice.value + 2);
  CHECK(add_user("erin").value == alice.value + 4);
  // Groups come from the same row.
  const auto group = db->groups().create(admin, "system:staff");
  REQUIRE_OK(group);
  CHECK(group->value == alice.value + 5);
}

TEST_CASE_FIXTURE(Fixture, "an administrator may choose an id within bounds") {
  const auto add = [&](std::uint32_t id) {
    return db->principals().add_user(
        admin, {.kind = Kind::User, .name = "u" + std::to_string(id), .id = Id(id), .policy = {}},
        password_key("u"));
  };
  for (const std::uint32_t bad : {0U, 1U, 3U, 999U, 65'534U, 2'147'483'648U})
    CHECK_FAILS(add(bad), ErrorCode::InvalidArgument);
  CHECK_OK(add(1000));
  CHECK_OK(add(2'147'483'647));
  CHECK_FAILS(db->principals().add_user(
                  admin, {.kind = Kind::User, .name = "other", .id = Id(1000), .policy = {}},
                  password_key("other")),
              ErrorCode::AlreadyExists);
}

TEST_CASE_FIXTURE(Fixture, "names that are none are refused, taken ones too") {
  const auto add = [&](const std::string& name) {
    return db->principals().add_user(
        admin, {.kind = Kind::User, .name = name, .id = std::nullopt, .policy = {}},
        password_key("x"));
  };
  for (const std::string bad : {"", "Alice", "1st", "a/b", "a b", "a\n", "system", "a:b"})
    CHECK_FAILS(add(bad), ErrorCode::InvalidArgument);
  CHECK_FAILS(add("root"), ErrorCode::AlreadyExists);
  const auto service = [&](const std::string& name, Kind kind) {
    return db->principals().add_service(
        admin, {.kind = kind, .name = name, .id = std::nullopt, .policy = {}});
  };
  CHECK_FAILS(service("kdc/other", Kind::Service), ErrorCode::InvalidArgument);
  CHECK_FAILS(service("host/x", Kind::Service), ErrorCode::InvalidArgument);
  CHECK_FAILS(service("file/x", Kind::Host), ErrorCode::InvalidArgument);
  CHECK_OK(service("host/x", Kind::Host));
}

TEST_CASE_FIXTURE(Fixture, "only administrators administer, and a refusal is recorded") {
  add_user("alice");
  const Actor alice = actor("alice");
  const auto before = db->audit().range()->last;
  CHECK_FAILS(db->principals().set_disabled(alice, "root", true), ErrorCode::PermissionDenied);
  const auto records = db->audit().list({.after = before, .limit = 10, .event = {}, .subject = {}});
  REQUIRE_OK(records);
  REQUIRE(records->size() == 1);
  CHECK(records->front().outcome == "permission_denied");
  CHECK(records->front().event == "principal.disable");
  CHECK(records->front().actor_name == "alice");
  CHECK(records->front().source == "192.0.2.7");
  CHECK(db->audit().verify()->ok);
}

TEST_CASE_FIXTURE(Fixture, "a disabled administrator may do nothing, and one always remains") {
  CHECK_FAILS(db->principals().set_disabled(admin, "root", true), ErrorCode::Conflict);
  CHECK_FAILS(db->principals().remove(admin, "root"), ErrorCode::Conflict);
  CHECK_FAILS(db->groups().remove_member(admin, kdc::kAdministrators, admin.id),
              ErrorCode::Conflict);
  const Id alice = add_user("alice");
  REQUIRE_OK(db->groups().add_member(admin, kdc::kAdministrators, alice));
  REQUIRE_OK(db->principals().set_disabled(actor("alice"), "root", true));
  CHECK_FAILS(db->principals().set_disabled(admin, "root", false), ErrorCode::PermissionDenied);
  CHECK_FAILS(db->principals().set_disabled(actor("alice"), "alice", true), ErrorCode::Conflict);
}

TEST_CASE_FIXTURE(Fixture, "a repeated operation is answered as the first time, and done once") {
  const Actor once = with_operation(admin);
  const kdc::NewPrincipal alice{
      .kind = Kind::User, .name = "alice", .id = std::nullopt, .policy = {}};
  const auto key = password_key("alice");
  const auto first = db->principals().add_user(once, alice, key);
  REQUIRE_OK(first);
  const auto records = db->audit().range()->last;
  open();  // also by another process
  CHECK(db->principals().add_user(once, alice, key) == *first);
  CHECK(db->audit().range()->last == records);
  CHECK_FAILS(db->principals().set_disabled(once, "alice", true), ErrorCode::Conflict);
  CHECK_FAILS(db->principals().add_user(once, alice, password_key("alice")), ErrorCode::Conflict);
  // Another's operation of the same number is another operation.
  REQUIRE_OK(db->groups().add_member(admin, kdc::kAdministrators, *first));
  Actor other = actor("alice");
  other.operation = once.operation;
  CHECK_OK(db->principals().set_disabled(other, "root", true));
}

TEST_CASE_FIXTURE(Fixture, "repeating what removed its own object is answered, too") {
  const auto group = db->groups().create(admin, "system:staff");
  REQUIRE_OK(group);
  const Actor once = with_operation(admin);
  REQUIRE_OK(db->groups().remove(once, "system:staff"));
  CHECK_OK(db->groups().remove(once, "system:staff"));
  CHECK_FAILS(db->groups().remove(once, "system:auditors"), ErrorCode::Conflict);
  CHECK_FAILS(db->groups().remove(admin, "system:staff"), ErrorCode::NotFound);
  add_user("alice");
  const Actor another = with_operation(admin);
  REQUIRE_OK(db->principals().remove(another, "alice"));
  CHECK_OK(db->principals().remove(another, "alice"));
}

TEST_CASE_FIXTURE(Fixture, "who has groups is not removed") {
  add_user("alice");
  const auto group = db->groups().create(actor("alice"), "alice:friends");
  REQUIRE_OK(group);
  CHECK_FAILS(db->principals().remove(admin, "alice"), ErrorCode::Conflict);
  REQUIRE_OK(db->groups().set_owner(admin, *group, admin.id));
  CHECK_FAILS(db->principals().remove(admin, "alice"), ErrorCode::Conflict);
  REQUIRE_OK(db->groups().remove(admin, "alice:friends"));
  CHECK_OK(db->principals().remove(admin, "alice"));
  CHECK_FAILS(db->principals().remove(admin, "kdc/tgs"), ErrorCode::Conflict);
}

TEST_CASE_FIXTURE(Fixture, "changes at once keep ids, kvnos and the chain right") {
  constexpr int kThreads = 4;
  constexpr int kEach = 25;
  const Id alice = add_user("alice");
  std::vector<std::thread> threads;
  std::atomic<int> changed{0};
  std::atomic<int> failed{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string name = "u" + std::to_string(t) + "x" + std::to_string(i);
        const auto user = db->principals().add_user(
            admin, {.kind = Kind::User, .name = name, .id = std::nullopt, .policy = {}},
            password_key(name));
        if (!user || !db->groups().add_member(admin, kdc::kAuditors, *user))
          ++failed;
        const auto present = db->principals().find(alice);
        const auto kvno =
            db->keys().set_password(admin, alice, (*present)->kvno, password_key("alice"),
                                    kdc::PasswordReason::NewPassword);
        if (kvno)
          ++changed;
        else if (kvno.error().code != ErrorCode::Conflict)
          ++failed;
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  CHECK(failed == 0);
  CHECK((*db->principals().find(alice))->kvno == static_cast<Kvno>(changed) + 1);
  CHECK(number("SELECT count(DISTINCT id) FROM principal WHERE name LIKE 'u%x%'") ==
        kThreads * kEach);
  CHECK(db->audit().verify()->ok);
  CHECK_OK(db->keys().key(alice));
}
