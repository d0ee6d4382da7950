// Mode bits, against a second statement of the rule; set-id bits; what everybody may.

#include <cerrno>

#include "fileserver/access/ticket_rule.hpp"
#include "memory_source.hpp"
#include "tests/support/test.hpp"

using namespace access_test;

namespace {

// The rule as the standard says it: one class applies, the first that fits, and its three bits
// decide; the superuser may do everything but execute what is no program.
bool posix_allows(std::uint32_t mode, bool owner, bool in_group, bool super, bool directory,
                  char wanted) {
  const int from = owner ? 6 : in_group ? 3 : 0;
  const bool read = (mode & (04U << from)) != 0;
  const bool write = (mode & (02U << from)) != 0;
  const bool execute = (mode & (01U << from)) != 0;
  switch (wanted) {
    case 'r':
      return super || read;
    case 'w':
      return super || write;
    default:
      return super ? directory || (mode & 0111) != 0 || execute : execute;
  }
}

}  // namespace

TEST_CASE("every mode, class and permission is judged as POSIX says") {
  const Caller owner = user(10'001, {10'100});
  const Caller member = user(10'002, {10'100});
  const Caller other = user(10'003);
  const Caller super = administrator();
  struct {
    const Caller* caller;
    bool owner, in_group, super;
  } const callers[] = {{&owner, true, true, false},
                       {&member, false, true, false},
                       {&other, false, false, false},
                       {&super, false, false, true}};
  int wrong = 0;
  for (std::uint32_t mode = 0; mode <= 07777; ++mode) {
    for (const auto& each : callers) {
      for (const bool directory : {false, true}) {
        const Attributes it =
            node(2, directory ? NodeKind::Directory : NodeKind::File, mode, 10'001, 10'100, 1);
        const auto allows = [&](Need need) {
          return may(*each.caller, need, it, nullptr, it.node).allowed;
        };
        const auto expected = [&](char wanted) {
          return posix_allows(mode, each.owner, each.in_group, each.super, directory, wanted);
        };
        const bool right = directory ? allows(Need::List) == expected('r') &&
                                           allows(Need::Insert) == expected('w') &&
                                           allows(Need::Delete) == expected('w') &&
                                           allows(Need::MoveItself) == expected('w') &&
                                           allows(Need::Search) == expected('x')
                                     : allows(Need::ReadFile) == expected('r') &&
                                           allows(Need::WriteFile) == expected('w') &&
                                           allows(Need::ExecuteFile) == expected('x');
        wrong += right ? 0 : 1;
        const std::uint32_t bits =
            (expected('r') ? 4U : 0U) | (expected('w') ? 2U : 0U) | (expected('x') ? 1U : 0U);
        wrong += callers_bits(*each.caller, it, nullptr, it.node) == bits ? 0 : 1;
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("what everybody may is what every class may") {
  for (std::uint32_t mode = 0; mode <= 0777; ++mode) {
    const Attributes it = node(2, NodeKind::File, mode, 10'001, 10'100, 1);
    CHECK(everybodys_bits(it, nullptr) == ((mode >> 6) & (mode >> 3) & mode & 7));
  }
}

TEST_CASE("only administration is told apart from what would have been allowed anyway") {
  const Caller super = administrator();
  const auto verdict = [&](std::uint32_t mode) {
    return may(super, Need::ReadFile, node(2, NodeKind::File, mode, 1, 1, 1), nullptr, NodeId(1));
  };
  CHECK(verdict(0640).by_administration());
  CHECK_FALSE(verdict(0644).by_administration());
}

TEST_CASE("set-id bits go when somebody who is no administrator writes") {
  const Caller owner = user(10'001, {10'100});
  const Caller stranger = user(10'003);
  const auto written = [&](const Caller& caller, std::uint32_t mode) {
    return mode_after_write(caller, node(2, NodeKind::File, mode, 10'001, 10'100, 1));
  };
  CHECK(written(owner, 06777) == 0777);
  CHECK(written(stranger, 06777) == 0777);
  CHECK(written(administrator(), 06777) == 06777);
  // Without x for the group the bit says something else.
  CHECK(written(owner, 02767) == 02767);
  CHECK(written(stranger, 02767) == 0767);
  CHECK(mode_after_write(owner, node(2, NodeKind::Directory, 06777, 10'001, 10'100, 1)) == 06777);
  CHECK(mode_after_chown(administrator(), node(2, NodeKind::File, 06755, 10'001, 10'100, 1)) ==
        0755);
  CHECK(mode_after_chmod(owner, 02755, 10'100) == 02755);
  CHECK(mode_after_chmod(owner, 02755, 10'999) == 0755);
  CHECK(mode_after_chmod(administrator(), 02755, 10'999) == 02755);
}

TEST_CASE("a new node is the caller's, in a set-gid directory its group is the directory's") {
  const Caller caller = user(10'003);
  const Attributes plain = node(2, NodeKind::Directory, 0777, 1, 10'100, 1);
  const Attributes shared = node(2, NodeKind::Directory, 02777, 1, 10'100, 1);
  CHECK(birth(caller, plain, NodeKind::File, 0644) == Birth{10'003, 10'003, 0644});
  CHECK(birth(caller, shared, NodeKind::File, 0644) == Birth{10'003, 10'100, 0644});
  CHECK(birth(caller, shared, NodeKind::Directory, 0755) == Birth{10'003, 10'100, 02755});
  CHECK(birth(caller, shared, NodeKind::File, 02755) == Birth{10'003, 10'100, 0755});
  CHECK(birth(user(10'003, {10'100}), shared, NodeKind::File, 02755) ==
        Birth{10'003, 10'100, 02755});
}

TEST_CASE("users are told apart where they are judged apart") {
  CHECK(user(10'001).fingerprint() == user(10'001).fingerprint());
  CHECK(user(10'001, {5, 4, 4}).fingerprint() == user(10'001, {4, 5}).fingerprint());
  std::set<Caller::Fingerprint> all;
  all.insert(user(10'001).fingerprint());
  all.insert(user(10'002).fingerprint());
  all.insert(user(10'001, {10'100}).fingerprint());
  all.insert(administrator().fingerprint());
  all.insert(local(10'001, 10'001).fingerprint());
  all.insert(local(10'001, 1).fingerprint());
  all.insert(local(0, 0).fingerprint());
  all.insert(anybody().fingerprint());
  CHECK(all.size() == 8);
}

TEST_CASE("only a trusted host speaks for its local users") {
  const common::ticket::Principal host{"host/desk", common::ticket::Kind::Host, PrincipalId(7)};
  const common::ticket::Principal alice{"alice", common::ticket::Kind::User, PrincipalId(7)};
  const std::vector<PrincipalId> trusted{PrincipalId(7)};
  const common::fileproto::LocalUser root{0, 0, {}};
  CHECK_OK(Caller::of(host, {}, root, {.hosts = trusted}));
  CHECK_FAILS(Caller::of(host, {}, root, {}), common::ErrorCode::PermissionDenied);
  CHECK_FAILS(Caller::of(alice, {}, root, {.hosts = trusted}), common::ErrorCode::PermissionDenied);
  CHECK(Caller::of(host, {}, root, {.hosts = trusted})->is_administrator());
  CHECK_FALSE(Caller::of(host, {}, {}, {.hosts = trusted})->is_administrator());
  CHECK_OK(Caller::of(alice, {}, common::fileproto::AnyUser{}, {}));
}

TEST_CASE("a group that everybody is in is none for mode bits") {
  for (const std::uint32_t gid : {1U, 2U})
    CHECK(class_bits(user(10'001), node(2, NodeKind::File, 0740, 5, gid, 1)) == 0);
  CHECK(class_bits(administrator(), node(2, NodeKind::File, 0740, 5, 3, 1)) == 4);
}

TEST_CASE("administrators are the cell's and the volume's, users or groups") {
  const std::vector<PrincipalId> named{PrincipalId(10'001), PrincipalId(10'500)};
  const auto is = [&](std::uint32_t id, std::vector<PrincipalId> groups) {
    return Caller::of({"u", common::ticket::Kind::User, PrincipalId(id)}, groups, {},
                      {.administrators = named})
        ->is_administrator();
  };
  CHECK(is(10'001, {}));
  CHECK(is(10'002, {PrincipalId(10'500)}));
  CHECK(is(10'002, {common::ticket::kAdministrators}));
  CHECK_FALSE(is(10'002, {PrincipalId(10'501)}));
}

TEST_CASE("F40: an upload may end five minutes after the ticket under which it began") {
  using common::ticket::Time;
  using namespace std::chrono_literals;
  const Time end{1'000'000s};
  const common::ticket::Validity validity{end - 10h, end - 10h, end, {}, true};
  const auto code = [&](Time now, std::optional<Time> began) {
    const auto status = check_ticket_at_commit(validity, now, began);
    CHECK((status || status.error().code == common::ErrorCode::Expired));
    return status ? 0 : status.error().error_number;
  };
  CHECK(code(end - 1ms, {}) == 0);
  CHECK(code(end, {}) == EKEYEXPIRED);
  CHECK(code(end, end - 1ms) == 0);
  CHECK(code(end + 5min - 1ms, end - 1h) == 0);
  CHECK(code(end + 5min, end - 1h) == EKEYEXPIRED);
  CHECK(code(end + 1ms, end) == EKEYEXPIRED);
}
