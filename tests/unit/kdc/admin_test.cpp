// Administration over real connections: who may do what, with what proof, how often.

#include "admin_fixture.hpp"
#include "common/auth/disabled.hpp"

using namespace kdc_test;

TEST_CASE_FIXTURE(Administering, "whoami says who calls, in which groups, and how fresh he is") {
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

TEST_CASE_FIXTURE(Administering, "without a session nothing but logging in is answered") {
  AdminClient stranger(server.client().client_options(0));
  for (const char* operation : {"whoami", "passwd", "user-add", "user-list", "user-show", "audit",
                                "group-create", "service-keytab", "master-rotate", "policy-list"}) {
    CAPTURE(operation);
    CHECK_FAILS(stranger.call(operation), ErrorCode::Unauthenticated);
  }
  CHECK_OK(stranger.call("preauth", {{"client", "root"}}));
}

TEST_CASE_FIXTURE(Administering, "a fileserver's ticket gives no session at the KDC") {
  const auto tgt = server.login("root", kRoot);
  REQUIRE_OK(tgt);
  auto credential = server.ticket(*tgt, "fileserver/fs1");
  REQUIRE_OK(credential);
  // Towards the KDC under the KDC's own name.
  credential->service = "kdc/admin";
  auto session = server.admin(*std::move(credential));
  CHECK_FAILS(session->call("whoami"), ErrorCode::Unauthenticated);
}

TEST_CASE_FIXTURE(Administering, "changes need a proof of the key within five minutes") {
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

TEST_CASE_FIXTURE(Administering,
                  "rights are those that the database gives now, not those in a ticket") {
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

TEST_CASE_FIXTURE(Administering, "everybody sees himself, and not even whether others exist") {
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

TEST_CASE_FIXTURE(Administering,
                  "a change whose answer was lost is asked for again and done once") {
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

TEST_CASE_FIXTURE(Administering, "owners change their groups with any ticket, others do not") {
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

TEST_CASE_FIXTURE(Administering,
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

TEST_CASE_FIXTURE(Administering,
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

TEST_CASE_FIXTURE(Administering,
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

TEST_CASE_FIXTURE(Administering, "who is no administrator makes so many changes and no more") {
  add_and_login("alice", kAlicesPassword);
  auto alice = stale("alice", kAlicesPassword);
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
  root = server.admin("root", kRoot);  // it may have taken a while
  // He still sees what he may see, and others change what they may change.
  CHECK_OK(alice->call("whoami"));
  CHECK_FAILS(change(*root), ErrorCode::NotFound);
  CHECK_OK(root->call("group-create", {{"group", "system:friends"}}));
  server.clock.advance(1min);
  CHECK_FAILS(change(*alice), ErrorCode::NotFound);
}

TEST_CASE_FIXTURE(Administering,
                  "what is not an argument of a call is refused, and so is a wrong type") {
  CHECK(!root->call("whoami", {{"verbose", true}}));
  CHECK(!root->call("user-show", {{"name", 7}}));
  CHECK(!root->call("user-show"));
  CHECK(!root->call("user-list", {{"limit", -1}}));
  CHECK(!root->call("user-add", {{"name", "x"}, {"id", 1ULL << 40}}, "a long password"));
  CHECK(!root->call("group-show", {{"group", std::string(500, 'a')}}));
}

TEST_CASE_FIXTURE(Administering, "F41: services are told who is disabled, and nobody else is") {
  auto alice = add_and_login("alice", kAlicesPassword);
  const json added = root->must("user-show", {{"name", "alice"}});
  // By the ways of a service: its keytab, and no fresh proof.
  const auto tgt = server.client().login(
      ticket::AsWanted{}, server.files().keytab("fileserver/fs1"), test_support::in_a_while());
  REQUIRE_OK(tgt);
  auto credential = server.ticket(*tgt, "kdc/admin");
  REQUIRE_OK(credential);
  auto service = server.admin(*std::move(credential));
  const auto ask = [&](std::optional<std::uint64_t> since) {
    const auto news =
        common::auth::ask_disabled(service->client(), since, {}, test_support::in_a_while());
    REQUIRE_OK(news);
    return *news;
  };
  const auto begin = ask(std::nullopt);
  CHECK(begin.whole);
  CHECK(begin.disabled.empty());
  root->must("user-disable", {{"name", "alice"}});
  const auto news = ask(begin.version);
  CHECK_FALSE(news.whole);
  CHECK(news.disabled ==
        std::vector<ticket::PrincipalId>{ticket::PrincipalId(added["id"].get<std::uint32_t>())});
  CHECK(ask(std::nullopt).disabled == news.disabled);

  CHECK_FAILS(alice->call("disabled"), ErrorCode::PermissionDenied);
  root->must("user-enable", {{"name", "alice"}});
  CHECK_FAILS(alice->call("disabled"), ErrorCode::PermissionDenied);
  const auto host = server.client().login(ticket::AsWanted{}, server.files().keytab("host/desk7"),
                                          test_support::in_a_while());
  REQUIRE_OK(host);
  auto hosts = server.ticket(*host, "kdc/admin");
  REQUIRE_OK(hosts);
  CHECK_FAILS(server.admin(*std::move(hosts))->call("disabled"), ErrorCode::PermissionDenied);
  CHECK_OK(root->call("disabled"));
  CHECK_FAILS(root->call("disabled", {{"since", 1}, {"after", 1}}), ErrorCode::InvalidArgument);
  CHECK_FAILS(root->call("disabled", {{"after", 1ULL << 40}}), ErrorCode::InvalidArgument);
}
