// Administration over real connections: who may do what, with what proof, how often.

#include "kdc/admin.hpp"

#include <thread>

#include "common/auth/authenticate.hpp"
#include "common/crypto/random.hpp"
#include "common/ticket/verifier.hpp"
#include "kdc/dump.hpp"
#include "kdc/private_file.hpp"
#include "tests/support/kdc_server.hpp"
#include "tests/support/test.hpp"

namespace {

using namespace std::chrono_literals;
using common::ErrorCode;
using common::Result;
using nlohmann::json;
using test_support::AdminClient;
using test_support::KdcFiles;
using test_support::KdcServer;
namespace ticket = common::ticket;

constexpr std::string_view kRoot = KdcFiles::kRootPassword;
constexpr std::string_view kAlicesPassword = "alices long word";

struct Fixture {
  KdcServer server;
  std::unique_ptr<AdminClient> root = server.admin("root", kRoot);

  std::unique_ptr<AdminClient> add_and_login(std::string_view name, std::string_view password) {
    root->must("user-add", {{"name", name}}, password);
    return server.admin(name, password);
  }
  // A session by a ticket that came from a TGT.
  std::unique_ptr<AdminClient> stale(std::string_view name, std::string_view password) {
    const auto tgt = server.login(name, password);
    REQUIRE_OK(tgt);
    auto credential = server.ticket(*tgt, "kdc/admin");
    REQUIRE_OK(credential);
    return server.admin(*std::move(credential));
  }
  static common::OperationId new_id() {
    const auto id = common::crypto::new_operation_id();
    REQUIRE_OK(id);
    return *id;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "whoami says who calls, in which groups, and how fresh he is") {
  const json me = root->must("whoami");
  CHECK(me["name"] == "root");
  CHECK(me["kind"] == "user");
  CHECK(me["initial"] == true);
  CHECK(me["administrator"] == true);
  CHECK(me["auditor"] == true);
  CHECK(me["groups"][0]["name"] == "system:administrators");
  CHECK(me["fresh_until_ms"].get<std::int64_t>() ==
        me["authenticated_ms"].get<std::int64_t>() + 300'000);
  const json later = stale("root", kRoot)->must("whoami");
  CHECK(later["initial"] == false);
  CHECK(later["fresh_until_ms"].is_null());
}

TEST_CASE_FIXTURE(Fixture, "without a session nothing but logging in is answered") {
  AdminClient stranger(server.client().client_options(0));
  for (const char* operation : {"whoami", "passwd", "user-add", "user-list", "user-show", "audit",
                                "group-create", "service-keytab", "master-rotate", "policy-list"}) {
    CAPTURE(operation);
    CHECK_FAILS(stranger.call(operation), ErrorCode::Unauthenticated);
  }
  CHECK_OK(stranger.call("preauth", {{"client", "root"}}));
}

TEST_CASE_FIXTURE(Fixture, "a fileserver's ticket gives no session at the KDC") {
  const auto tgt = server.login("root", kRoot);
  REQUIRE_OK(tgt);
  auto credential = server.ticket(*tgt, "fileserver/fs1");
  REQUIRE_OK(credential);
  // Towards the KDC under the KDC's own name.
  credential->service = "kdc/admin";
  auto session = server.admin(*std::move(credential));
  CHECK_FAILS(session->call("whoami"), ErrorCode::Unauthenticated);
}

TEST_CASE_FIXTURE(Fixture, "changes need a proof of the key within five minutes") {
  auto old = stale("root", kRoot);
  const auto refused = old->call("user-add", {{"name", "bob"}}, "a long password");
  CHECK_FAILS(refused, ErrorCode::Expired);
  CHECK(test_support::said(refused).find("log in for kdc/admin") != std::string::npos);
  CHECK_OK(old->call("user-list"));
  for (const auto& row :
       std::vector<std::pair<const char*, json>>{{"user-disable", {{"name", "root"}}},
                                                 {"policy-set", {{"name", "user"}}},
                                                 {"service-add", {{"name", "x/y"}}},
                                                 {"service-keytab", {{"name", "fileserver/fs1"}}},
                                                 {"service-rotate", {{"name", "fileserver/fs1"}}},
                                                 {"master-rotate", json::object()},
                                                 {"passwd", json::object()}}) {
    const char* operation = row.first;
    CAPTURE(operation);
    CHECK_FAILS(old->call(operation, row.second, "some password"), ErrorCode::Expired);
  }
  // The session of a fresh ticket ends with it.
  CHECK_OK(root->call("user-add", {{"name", "bob"}}, "a long password"));
  server.clock.advance(5min);
  CHECK(!root->call("user-disable", {{"name", "bob"}}));
}

TEST_CASE_FIXTURE(Fixture, "rights are those that the database gives now, not those in a ticket") {
  auto alice = add_and_login("alice", kAlicesPassword);
  CHECK_FAILS(alice->call("user-list"), ErrorCode::PermissionDenied);
  root->must("group-add", {{"group", "system:administrators"}, {"member", "alice"}});
  CHECK_OK(alice->call("user-list"));
  CHECK_OK(alice->call("user-add", {{"name", "carol"}}, "carols long word"));
  root->must("group-remove", {{"group", "system:administrators"}, {"member", "alice"}});
  CHECK_FAILS(alice->call("user-list"), ErrorCode::PermissionDenied);
  CHECK_FAILS(alice->call("user-add", {{"name", "dave"}}, "daves long word"),
              ErrorCode::PermissionDenied);
  root->must("user-disable", {{"name", "alice"}});
  const auto refused = alice->call("whoami");
  CHECK_FAILS(refused, ErrorCode::PermissionDenied);
  CHECK(test_support::said(refused) ==
        "permission_denied: alice is disabled; ask an administrator");
}

TEST_CASE_FIXTURE(Fixture, "everybody sees himself, and not even whether others exist") {
  auto alice = add_and_login("alice", kAlicesPassword);
  const json me = alice->must("user-show", {{"name", "alice"}});
  CHECK(me["kvno"] == 1);
  CHECK(me["pending_kvno"].is_null());
  CHECK(me["disabled"] == false);
  const auto other = alice->call("user-show", {{"name", "root"}});
  const auto none = alice->call("user-show", {{"name", "nobody-here"}});
  CHECK_FAILS(other, ErrorCode::PermissionDenied);
  CHECK(test_support::said(none) == test_support::said(other));
  CHECK_FAILS(root->call("user-show", {{"name", "nobody-here"}}), ErrorCode::NotFound);
  CHECK_FAILS(alice->call("audit"), ErrorCode::PermissionDenied);
  CHECK_FAILS(alice->call("service-list"), ErrorCode::PermissionDenied);
  CHECK_FAILS(alice->call("service-keytab", {{"name", "fileserver/fs1"}}),
              ErrorCode::PermissionDenied);
  CHECK_OK(alice->call("policy-list"));
}

TEST_CASE_FIXTURE(Fixture, "a user is added, listed, disabled, enabled and deleted") {
  const json added = root->must("user-add", {{"name", "alice"}, {"id", 1234}}, kAlicesPassword);
  CHECK(added["id"] == 1234);
  CHECK_OK(server.login("alice", kAlicesPassword));
  CHECK_FAILS(root->call("user-add", {{"name", "alice"}}, kAlicesPassword),
              ErrorCode::AlreadyExists);
  const json all = root->must("user-list");
  CHECK(all["users"].size() == 2);
  CHECK(all["users"][0]["name"] == "alice");
  CHECK(all["more"] == false);
  const json first = root->must("user-list", {{"limit", 1}});
  CHECK(first["more"] == true);
  CHECK(root->must("user-list", {{"limit", 1}, {"after", "alice"}})["users"][0]["name"] == "root");

  root->must("user-disable", {{"name", "alice"}});
  CHECK_FAILS(server.login("alice", kAlicesPassword), ErrorCode::PermissionDenied);
  root->must("user-enable", {{"name", "alice"}});
  CHECK_OK(server.login("alice", kAlicesPassword));
  root->must("user-delete", {{"name", "alice"}});
  CHECK_FAILS(server.login("alice", kAlicesPassword), ErrorCode::Unauthenticated);
  CHECK_FAILS(root->call("user-delete", {{"name", "fileserver/fs1"}}), ErrorCode::InvalidArgument);
  CHECK_FAILS(root->call("user-disable", {{"name", "root"}}), ErrorCode::Conflict);
}

TEST_CASE_FIXTURE(Fixture, "a password is changed by whoever has just proven it") {
  auto alice = add_and_login("alice", kAlicesPassword);
  const json changed = alice->must("passwd", json::object(), "another long word");
  CHECK(changed["kvno"] == 2);
  CHECK(changed["password_end_ms"].is_null());
  CHECK_FAILS(server.login("alice", kAlicesPassword), ErrorCode::Unauthenticated);
  CHECK_OK(server.login("alice", "another long word"));
  // The ticket proved the old key, so it changes nothing any more.
  CHECK_FAILS(alice->call("passwd", json::object(), "a third long word"), ErrorCode::Conflict);
  CHECK_OK(server.login("alice", "another long word"));
}

TEST_CASE_FIXTURE(Fixture, "a password must be what the policy asks for, and never comes back") {
  root->must("policy-set", {{"name", "user"}, {"min_length", 10}, {"history", 3}});
  auto alice = add_and_login("alice", kAlicesPassword);
  const auto refusal = [&](std::string_view password) {
    const auto answer = alice->call("passwd", json::object(), password);
    CHECK_FAILS(answer, ErrorCode::InvalidArgument);
    CHECK(test_support::said(answer).find(password) == std::string::npos);
  };
  refusal("shortword");
  refusal("aaaaaaaaaaaaaaaa");
  refusal("a\nb with a control");
  refusal("\xff\xfe is no utf-8 text");
  refusal(std::string(1025, 'x'));
  refusal(kAlicesPassword);
  CHECK(!alice->call("passwd", json::object(), ""));
  alice->must("passwd", json::object(), "another long word");
  alice = server.admin("alice", "another long word");
  refusal(kAlicesPassword);
  refusal("another long word");
  CHECK_OK(alice->call("passwd", json::object(), "a third long word"));
}

TEST_CASE_FIXTURE(Fixture, "a change whose answer was lost is asked for again and done once") {
  const auto twice = [&](AdminClient& client, std::string_view operation, const json& args,
                         std::string_view bytes = {}) {
    CAPTURE(operation);
    const auto id = new_id();
    const auto first = client.call(operation, args, bytes, id);
    REQUIRE_OK(first);
    const auto again = client.call(operation, args, bytes, id);
    REQUIRE_OK(again);
    CHECK(first->result() == again->result());
  };
  twice(*root, "user-add", {{"name", "alice"}}, kAlicesPassword);
  auto alice = server.admin("alice", kAlicesPassword);
  twice(*alice, "passwd", json::object(), "another long word");
  CHECK(root->must("user-show", {{"name", "alice"}})["kvno"] == 2);
  twice(*root, "user-passwd", {{"name", "alice"}, {"kvno", 2}}, "chosen by root now");
  CHECK(root->must("user-show", {{"name", "alice"}})["kvno"] == 3);
  twice(*root, "group-create", {{"group", "system:friends"}});
  twice(*root, "group-add", {{"group", "system:friends"}, {"member", "alice"}});
  twice(*root, "group-remove", {{"group", "system:friends"}, {"member", "alice"}});
  twice(*root, "group-delete", {{"group", "system:friends"}});
  twice(*root, "service-add", {{"name", "backup/b1"}});
  twice(*root, "service-rotate", {{"name", "backup/b1"}});
  twice(*root, "service-activate", {{"name", "backup/b1"}, {"kvno", 2}});
  twice(*root, "service-delete", {{"name", "backup/b1"}});
  twice(*root, "policy-set", {{"name", "strict"}, {"min_length", 20}});
  twice(*root, "user-disable", {{"name", "alice"}});
  twice(*root, "user-delete", {{"name", "alice"}});

  // The same id for something else is nobody's repetition.
  const auto id = new_id();
  REQUIRE_OK(root->call("user-add", {{"name", "bob"}}, "bobs long word", id));
  CHECK_FAILS(root->call("user-add", {{"name", "carol"}}, "carols long word", id),
              ErrorCode::Conflict);
  CHECK_FAILS(root->call("user-show", {{"name", "carol"}}), ErrorCode::NotFound);
  CHECK_FAILS(root->call("user-add", {{"name", "bob"}}, "another long word", id),
              ErrorCode::Conflict);
  CHECK_OK(root->call("user-add", {{"name", "bob"}}, "bobs long word", id));
  auto bob = server.admin("bob", "bobs long word");
  const auto changed = new_id();
  REQUIRE_OK(bob->call("passwd", json::object(), "bobs second word", changed));
  CHECK_FAILS(bob->call("passwd", json::object(), "bobs third word", changed), ErrorCode::Conflict);
  CHECK_OK(bob->call("passwd", json::object(), "bobs second word", changed));
  CHECK_OK(server.login("bob", "bobs second word"));
  const auto removed = new_id();
  root->must("group-create", {{"group", "system:one"}});
  root->must("group-create", {{"group", "system:two"}});
  REQUIRE_OK(root->call("group-delete", {{"group", "system:one"}}, {}, removed));
  CHECK_FAILS(root->call("group-delete", {{"group", "system:two"}}, {}, removed),
              ErrorCode::Conflict);
  CHECK_FAILS(root->call("group-delete", {{"group", "system:three"}}, {}, id), ErrorCode::Conflict);
  CHECK_OK(root->call("group-show", {{"group", "system:two"}}));
  CHECK_FAILS(root->call("user-add", {{"name", "dave"}}, "daves long word", common::OperationId{}),
              ErrorCode::InvalidArgument);
}

TEST_CASE_FIXTURE(Fixture, "an administrator's new password for a user needs the kvno he saw") {
  root->must("user-add", {{"name", "alice"}}, kAlicesPassword);
  CHECK_FAILS(root->call("user-passwd", {{"name", "alice"}, {"kvno", 7}}, "chosen by root now"),
              ErrorCode::Conflict);
  CHECK(root->must("user-passwd", {{"name", "alice"}, {"kvno", 1}}, "chosen by root now")["kvno"] ==
        2);
  CHECK_OK(server.login("alice", "chosen by root now"));
  CHECK_FAILS(root->call("user-passwd", {{"name", "fileserver/fs1"}, {"kvno", 1}}, "some password"),
              ErrorCode::InvalidArgument);
}

TEST_CASE_FIXTURE(Fixture,
                  "weaker parameters are raised with the same password, and only with it") {
  server.stop();
  server.options.scrypt = *common::crypto::ScryptParameters::make(16, 8, 1);
  server.start();
  root = server.admin("root", kRoot);
  CHECK_FAILS(root->call("passwd", {{"rekey", true}}, "not the password"),
              ErrorCode::InvalidArgument);
  CHECK(root->must("passwd", {{"rekey", true}}, kRoot)["kvno"] == 2);
  const auto login = server.login("root", kRoot);
  REQUIRE_OK(login);
  CHECK(!login->raise_parameters);
  CHECK(server.kdc().database().keys().preauth("root")->parameters.log2_n() == 16);
}

TEST_CASE_FIXTURE(Fixture, "guessing a password by changing it takes attempts as a login does") {
  root->must("user-add", {{"name", "alice"}}, kAlicesPassword);
  auto alice = server.admin("alice", kAlicesPassword);
  const auto until_overloaded = [&](AdminClient& client, auto&& guess) {
    int told = 0;
    for (; told < 30; ++told) {
      const auto answer = guess(client, told);
      REQUIRE(!answer);
      if (answer.error().code == ErrorCode::Overloaded) {
        CHECK(answer.error().retry_after > 0ms);
        return told;
      }
      CHECK(answer.error().code == ErrorCode::InvalidArgument);
    }
    return told;
  };
  // Whether it is the present one.
  const int present = until_overloaded(*alice, [](AdminClient& client, int i) {
    return client.call("passwd", {{"rekey", true}}, fmt::format("a guess, the {}th", i));
  });
  CHECK(present >= 10);
  CHECK(present <= 12);
  CHECK_FAILS(server.login("alice", kAlicesPassword), ErrorCode::Overloaded);
  // Whether it was in use: of the administrator's own attempts, and nobody is locked out by them.
  server.clock.advance(3min);
  const int history = until_overloaded(*root, [](AdminClient& client, int) {
    return client.call("user-passwd", {{"name", "alice"}, {"kvno", 1}}, kAlicesPassword);
  });
  CHECK(history >= 10);
  CHECK(history <= 12);
  CHECK_OK(server.login("alice", kAlicesPassword));
  // What tells nothing costs nothing.
  server.clock.advance(1min);
  for (int i = 0; i < 20; ++i) {
    CHECK_FAILS(root->call("user-passwd", {{"name", "alice"}, {"kvno", 1}}, "short"),
                ErrorCode::InvalidArgument);
  }
  CHECK_OK(root->call("user-passwd", {{"name", "alice"}, {"kvno", 1}}, "chosen by root now"));
}

TEST_CASE_FIXTURE(Fixture, "with a password that has ended only a new one can be set") {
  root->must("policy-set", {{"name", "short"}, {"max_age_ms", 86'400'000}});
  root->must("user-add", {{"name", "alice"}, {"policy", "short"}}, kAlicesPassword);
  server.clock.advance(48h);
  CHECK_FAILS(server.login("alice", kAlicesPassword), ErrorCode::Expired);
  auto alice = server.admin("alice", kAlicesPassword);
  CHECK_FAILS(alice->call("group-create", {{"group", "alice:x"}}), ErrorCode::Expired);
  CHECK_OK(alice->call("whoami"));
  const json changed = alice->must("passwd", json::object(), "another long word");
  CHECK(changed["password_end_ms"].is_number());
  CHECK_OK(server.login("alice", "another long word"));
}

TEST_CASE_FIXTURE(Fixture, "owners change their groups with any ticket, others do not") {
  add_and_login("alice", kAlicesPassword);
  auto bob = add_and_login("bob", "bobs long word");
  auto alice = stale("alice", kAlicesPassword);
  CHECK_OK(alice->call("group-create", {{"group", "alice:friends"}}));
  CHECK_OK(alice->call("group-add", {{"group", "alice:friends"}, {"member", "bob"}}));
  const json shown = bob->must("group-show", {{"group", "alice:friends"}});
  CHECK(shown["owner"]["name"] == "alice");
  CHECK(shown["members"].size() == 1);
  CHECK(bob->must("group-list")["groups"].size() == 1);
  CHECK(alice->must("group-list")["groups"].size() == 1);
  CHECK_FAILS(bob->call("group-add", {{"group", "alice:friends"}, {"member", "root"}}),
              ErrorCode::PermissionDenied);
  CHECK_FAILS(bob->call("group-list", {{"all", true}}), ErrorCode::PermissionDenied);
  CHECK_FAILS(bob->call("group-create", {{"group", "alice:more"}}), ErrorCode::PermissionDenied);
  CHECK_FAILS(alice->call("group-create", {{"group", "system:mine"}}), ErrorCode::PermissionDenied);
  CHECK_OK(alice->call("group-remove", {{"group", "alice:friends"}, {"member", "bob"}}));
  CHECK_FAILS(bob->call("group-show", {{"group", "alice:friends"}}), ErrorCode::PermissionDenied);
  // An administrator may, but only just after he has proven himself.
  auto old = stale("root", kRoot);
  CHECK_FAILS(old->call("group-add", {{"group", "alice:friends"}, {"member", "bob"}}),
              ErrorCode::Expired);
  CHECK_OK(root->call("group-add", {{"group", "alice:friends"}, {"member", "bob"}}));
  CHECK_OK(alice->call("group-delete", {{"group", "alice:friends"}}));
}

TEST_CASE_FIXTURE(Fixture,
                  "a stolen ticket adds nobody to a group that leads to power over the cell") {
  auto fresh = add_and_login("alice", kAlicesPassword);
  add_and_login("mallory", "mallorys long word");
  auto alice = stale("alice", kAlicesPassword);
  REQUIRE_OK(alice->call("group-create", {{"group", "alice:admins"}}));
  REQUIRE_OK(alice->call("group-create", {{"group", "alice:keepers"}}));
  REQUIRE_OK(alice->call("group-owner", {{"group", "alice:admins"}, {"owner", "alice:keepers"}}));
  REQUIRE_OK(alice->call("group-add", {{"group", "alice:keepers"}, {"member", "alice"}}));
  root->must("group-add", {{"group", "system:administrators"}, {"member", "alice:admins"}});
  // Neither to the group itself, nor to the one that owns it.
  for (const char* group : {"alice:admins", "alice:keepers"}) {
    CAPTURE(group);
    const json args{{"group", group}, {"member", "mallory"}};
    CHECK_FAILS(alice->call("group-add", args), ErrorCode::Expired);
    CHECK_OK(fresh->call("group-add", args));
  }
}

TEST_CASE_FIXTURE(Fixture,
                  "a service's keytab is rotated, activated, and fetched by itself or root") {
  const json added = root->must("service-add", {{"name", "backup/b1"}});
  CHECK(added["kvno"] == 1);
  const auto keytab_of = [&](AdminClient& client, std::string_view operation, const json& args) {
    const auto answer = client.call(operation, args);
    REQUIRE_OK(answer);
    auto keytab = ticket::decode_keytab(answer->bytes);
    REQUIRE_OK(keytab);
    return *std::move(keytab);
  };
  const auto first = keytab_of(*root, "service-keytab", {{"name", "backup/b1"}});
  CHECK(first.newest()->kvno == 1);
  // The service itself, by its key.
  auto credential = server.client().login(ticket::AsWanted{.service = "kdc/admin"}, first,
                                          test_support::in_a_while());
  REQUIRE_OK(credential);
  auto backup = server.admin(*std::move(credential));
  const auto rotated = keytab_of(*backup, "service-rotate", {{"name", "backup/b1"}});
  CHECK(rotated.entries().size() == 2);
  CHECK(root->must("user-show", {{"name", "backup/b1"}})["pending_kvno"] == 2);
  const auto active = keytab_of(*backup, "service-activate", {{"name", "backup/b1"}, {"kvno", 2}});
  REQUIRE(active.entries().size() == 2);
  CHECK(active.entries()[0].not_after.has_value());
  CHECK(!active.entries()[1].not_after.has_value());
  const auto third = keytab_of(*backup, "service-rotate", {{"name", "backup/b1"}});
  CHECK(third.newest()->kvno == 3);
  const auto now =
      keytab_of(*backup, "service-activate", {{"name", "backup/b1"}, {"kvno", 3}, {"now", true}});
  CHECK(now.entries().size() == 1);
  CHECK_FAILS(backup->call("service-keytab", {{"name", "fileserver/fs1"}}),
              ErrorCode::PermissionDenied);
  CHECK_FAILS(backup->call("service-activate", {{"name", "backup/b1"}, {"kvno", 9}}),
              ErrorCode::NotFound);
}

TEST_CASE_FIXTURE(Fixture,
                  "the KDC's own keys never leave it, and rotating them now ends every TGT") {
  CHECK_FAILS(root->call("service-keytab", {{"name", "kdc/tgs"}}), ErrorCode::PermissionDenied);
  const auto tgt = server.login("root", kRoot);
  REQUIRE_OK(tgt);
  const auto rotated = root->call("service-rotate", {{"name", "kdc/tgs"}});
  REQUIRE_OK(rotated);
  CHECK(rotated->bytes.empty());
  CHECK_OK(server.ticket(*tgt, "fileserver/fs1"));
  const auto activated =
      root->call("service-activate", {{"name", "kdc/tgs"}, {"kvno", 2}, {"now", true}});
  REQUIRE_OK(activated);
  CHECK(activated->bytes.empty());
  CHECK_FAILS(server.ticket(*tgt, "fileserver/fs1"), ErrorCode::Unauthenticated);
  const auto again = server.login("root", kRoot);
  REQUIRE_OK(again);
  CHECK(again->kvno == 2);
  CHECK_OK(server.ticket(*again, "fileserver/fs1"));
}

TEST_CASE_FIXTURE(Fixture, "auditors read the log, which names every change and every refusal") {
  auto alice = add_and_login("alice", kAlicesPassword);
  CHECK(!alice->call("user-list"));
  root->must("group-add", {{"group", "system:auditors"}, {"member", "alice"}});
  const json all = alice->must("audit", {{"limit", 1000}});
  CHECK(all["first"] == 1);
  CHECK(all["records"].back()["seq"] == all["last"]);
  const auto events = [&](const json& answer) {
    std::vector<std::string> found;
    for (const json& record : answer["records"])
      found.push_back(record["event"].get<std::string>() + " " +
                      record["outcome"].get<std::string>());
    return found;
  };
  const auto has = [&](const std::string& what) {
    const auto found = events(all);
    return std::find(found.begin(), found.end(), what) != found.end();
  };
  CHECK(has("user.add ok"));
  CHECK(has("as ok"));
  CHECK(has("admin.user-list permission_denied"));
  CHECK(has("group.add ok"));
  const json some = alice->must("audit", {{"after", 0}, {"limit", 2}});
  CHECK(some["records"].size() == 2);
  CHECK(some["more"] == true);
  const json adds = alice->must("audit", {{"event", "user.add"}});
  REQUIRE(adds["records"].size() == 1);
  CHECK(adds["records"][0]["subject"] == "alice");
  CHECK(adds["records"][0]["actor"]["name"] == "root");
  CHECK(alice->must("audit-verify")["ok"] == true);
  CHECK(alice->must("whoami")["auditor"] == true);
  CHECK_FAILS(alice->call("user-list"), ErrorCode::PermissionDenied);
}

TEST_CASE_FIXTURE(Fixture, "who is no administrator makes so many changes and no more") {
  auto alice = add_and_login("alice", kAlicesPassword);
  const auto change = [&](AdminClient& client) {
    return client.call("group-delete", {{"group", "alice:none"}});
  };
  ErrorCode last = ErrorCode::NotFound;
  int made = 0;
  for (; made < 2'000 && last == ErrorCode::NotFound; ++made)
    last = change(*alice).error().code;
  CHECK(last == ErrorCode::Overloaded);
  CHECK(made > 1'000);
  CHECK(made < 1'100);
  const auto refused = change(*alice);
  REQUIRE(!refused);
  CHECK(refused.error().retry_after > 0ms);
  CHECK(refused.error().retry_after <= 6s);
  // He still sees what he may see, and others change what they may change.
  CHECK_OK(alice->call("whoami"));
  CHECK_FAILS(change(*root), ErrorCode::NotFound);
  CHECK_OK(root->call("group-create", {{"group", "system:friends"}}));
  server.clock.advance(1min);
  CHECK_FAILS(change(*alice), ErrorCode::NotFound);
}

TEST_CASE_FIXTURE(Fixture, "no secret shows in the audit log") {
  auto alice = add_and_login("alice", kAlicesPassword);
  alice->must("passwd", json::object(), "another long word");
  CHECK(!alice->call("passwd", json::object(), "a-very-secret-word"));
  const std::string log = root->must("audit", {{"limit", 1000}}).dump();
  for (const std::string_view word : {kAlicesPassword, std::string_view("another long word"),
                                      std::string_view("a-very-secret-word"), kRoot})
    CHECK(log.find(word) == std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "the master key is replaced while logins go on") {
  CHECK(root->must("master-rotate")["version"] == 2);
  CHECK_OK(server.login("root", kRoot));
  for (int i = 0; i < 50 && root->must("master-status")["under_way"] == true; ++i)
    server.kdc().housekeeping();
  const json status = root->must("master-status");
  CHECK(status["under_way"] == false);
  CHECK(status["rows_left"] == 0);
  CHECK_OK(server.login("root", kRoot));
  server.stop();
  server.start();
  CHECK_OK(server.login("root", kRoot));
}

TEST_CASE_FIXTURE(Fixture, "a dump is for administrators who have just proven themselves") {
  CHECK_FAILS(stale("root", kRoot)->call("dump"), ErrorCode::Expired);
  auto alice = add_and_login("alice", kAlicesPassword);
  CHECK_FAILS(alice->call("dump"), ErrorCode::PermissionDenied);
  const auto dumped = root->call("dump");
  REQUIRE_OK(dumped);
  const std::string_view text = common::as_text(dumped->bytes);
  CHECK(text.find("alice") != std::string_view::npos);
  // A database made of it, with the stash of the same time, holds the same users.
  test_support::TempDir other;
  std::filesystem::copy_file(server.files().data() + "/master.keys", other / "master.keys");
  const kdc::DatabaseOptions options{
      .directory = other.path(), .cell = std::string(KdcFiles::kCell), .first_contents = {}};
  REQUIRE_OK(kdc::load(options, text, server.clock));
  const auto loaded = kdc::Database::open(options, server.clock);
  REQUIRE_OK(loaded);
  CHECK((*loaded)->principals().id_of("alice").has_value());
}

TEST_CASE_FIXTURE(Fixture, "policies are set field by field") {
  root->must("policy-set", {{"name", "night"}, {"ticket_life_ms", 3'600'000}});
  root->must("policy-set", {{"name", "night"}, {"min_length", 12}});
  const json policies = root->must("policy-list")["policies"];
  const auto found = std::find_if(policies.begin(), policies.end(),
                                  [](const json& policy) { return policy["name"] == "night"; });
  REQUIRE(found != policies.end());
  CHECK((*found)["ticket_life_ms"] == 3'600'000);
  CHECK((*found)["min_length"] == 12);
  root->must("user-add", {{"name", "alice"}, {"policy", "night"}}, kAlicesPassword);
  const auto tgt = server.login("alice", kAlicesPassword);
  REQUIRE_OK(tgt);
  CHECK(tgt->validity.end - tgt->validity.start == 1h);
  CHECK_FAILS(root->call("policy-delete", {{"name", "night"}}), ErrorCode::Conflict);
  root->must("user-policy", {{"name", "alice"}, {"policy", ""}});
  CHECK_OK(root->call("policy-delete", {{"name", "night"}}));
  CHECK(!root->call("policy-set", {{"name", "x"}, {"ticket_life_ms", 864'000'000}}));
}

TEST_CASE_FIXTURE(Fixture, "what is not an argument of a call is refused, and so is a wrong type") {
  CHECK(!root->call("whoami", {{"verbose", true}}));
  CHECK(!root->call("user-show", {{"name", 7}}));
  CHECK(!root->call("user-show"));
  CHECK(!root->call("user-list", {{"limit", -1}}));
  CHECK(!root->call("user-add", {{"name", "x"}, {"id", 1ULL << 40}}, "a long password"));
  CHECK(!root->call("group-show", {{"group", std::string(500, 'a')}}));
}

TEST_CASE_FIXTURE(Fixture, "logins do not wait for passwords that are being set") {
  root->must("user-add", {{"name", "alice"}}, kAlicesPassword);
  // All of the room for scrypt is taken.
  std::vector<kdc::ScryptGate::Place> taken;
  for (std::size_t i = 0; i < kdc::scrypt_at_once(); ++i) {
    auto place = server.kdc().scrypt_gate().enter(test_support::in_a_while(), [] { return false; });
    REQUIRE_OK(place);
    taken.push_back(*std::move(place));
  }
  std::vector<std::thread> waiting;
  std::atomic<int> overloaded{0};
  std::atomic<int> changed{0};
  // As many as may wait, and some more.
  std::vector<std::unique_ptr<AdminClient>> clients;
  for (std::size_t i = 0; i < kdc::kMostScryptWaiting + 4; ++i)
    clients.push_back(server.admin("root", kRoot));
  for (std::size_t i = 0; i < clients.size(); ++i) {
    waiting.emplace_back([&, i] {
      const auto answer =
          clients[i]->call("user-add", {{"name", fmt::format("user{}", i)}}, "a long password");
      if (answer)
        ++changed;
      else if (answer.error().code == ErrorCode::Overloaded)
        ++overloaded;
    });
  }
  const auto limit = test_support::in_a_while();
  const common::SystemClock clock;
  while ((overloaded < 4 || server.kdc().scrypt_gate().waiting() < kdc::kMostScryptWaiting) &&
         clock.now() < limit)
    std::this_thread::yield();
  CHECK(overloaded == 4);
  CHECK_OK(server.login("alice", kAlicesPassword));
  taken.clear();
  for (std::thread& thread : waiting)
    thread.join();
  CHECK(changed == kdc::kMostScryptWaiting);
}

TEST_CASE_FIXTURE(Fixture, "health says what is missing, and that it is back") {
  server.kdc().housekeeping();
  CHECK(server.kdc().health().ready);
  const std::string stash = server.files().data() + "/master.keys";
  std::filesystem::rename(stash, stash + ".away");
  server.kdc().housekeeping();
  const auto report = server.kdc().health();
  CHECK(!report.ready);
  CHECK(report.message.find("master.keys is missing: put it back") != std::string::npos);
  CHECK_OK(server.login("root", kRoot));
  std::filesystem::rename(stash + ".away", stash);
  server.kdc().housekeeping();
  CHECK(server.kdc().health().ready);
}

TEST_CASE_FIXTURE(Fixture, "outcomes and latencies of exchanges are counted") {
  CHECK(!server.login("root", "wrong password"));
  const auto tgt = server.login("root", kRoot);
  REQUIRE_OK(tgt);
  CHECK_OK(server.ticket(*tgt, "fileserver/fs1"));
  const std::string text = server.metrics.render();
  for (const char* line :
       {R"(troth_kdc_exchanges_total{exchange="as",outcome="unauthenticated"} 1)",
        R"(troth_kdc_exchanges_total{exchange="tgs",outcome="ok"} 1)",
        R"(troth_kdc_exchange_seconds_count{exchange="as"})"}) {
    CAPTURE(line);
    CHECK(text.find(line) != std::string::npos);
  }
}

TEST_CASE("a joining machine gets the cell's description and authority, if there is one to give") {
  KdcServer server;
  const auto ask = [&] {
    AdminClient stranger(server.client().client_options(0));
    return stranger.call("cell");
  };
  const auto describe = [&](std::string_view text) {
    std::filesystem::remove(server.options.description);
    REQUIRE_OK(kdc::write_private_file(server.options.description,
                                       common::crypto::Secret::copy_of(common::as_bytes(text))));
  };
  CHECK_FAILS(ask(), ErrorCode::NotFound);
  server.stop();
  server.options.description = server.files().path() / "cell.toml";
  server.start();
  CHECK_FAILS(ask(), ErrorCode::NotFound);
  describe("name = \"test\"\n");
  server.kdc().housekeeping();
  const auto first = ask();
  REQUIRE_OK(first);
  CHECK(first->result()["description"] == "name = \"test\"\n");
  CHECK(first->result()["ca"].get<std::string>().find("BEGIN CERTIFICATE") != std::string::npos);
  // Whoever asks costs no reading: what is given away changes with a reload, and not before.
  describe("name = \"other\"\n");
  server.kdc().housekeeping();
  CHECK(ask()->result() == first->result());
  REQUIRE_OK(server.kdc().reload());
  CHECK(ask()->result()["description"] == "name = \"other\"\n");
  // A reload that fails takes nothing away.
  std::filesystem::remove(server.options.description);
  CHECK(!server.kdc().reload());
  CHECK(ask()->result()["description"] == "name = \"other\"\n");
}
