// What concerns the cell as a whole: policies, the log, the master key, health.

#include "admin_fixture.hpp"
#include "kdc/dump.hpp"
#include "kdc/private_file.hpp"

using namespace kdc_test;

TEST_CASE_FIXTURE(Administering,
                  "auditors read the log, which names every change and every refusal") {
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

TEST_CASE_FIXTURE(Administering, "no secret shows in the audit log") {
  auto alice = add_and_login("alice", kAlicesPassword);
  alice->must("passwd", json::object(), "another long word");
  CHECK(!alice->call("passwd", json::object(), "a-very-secret-word"));
  const std::string log = root->must("audit", {{"limit", 1000}}).dump();
  for (const std::string_view word : {kAlicesPassword, std::string_view("another long word"),
                                      std::string_view("a-very-secret-word"), kRoot})
    CHECK(log.find(word) == std::string::npos);
}

TEST_CASE_FIXTURE(Administering, "the master key is replaced while logins go on") {
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

TEST_CASE_FIXTURE(Administering, "a dump is for administrators who have just proven themselves") {
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

TEST_CASE_FIXTURE(Administering, "policies are set field by field") {
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

TEST_CASE_FIXTURE(Administering, "health says what is missing, and that it is back") {
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

TEST_CASE_FIXTURE(Administering, "outcomes and latencies of exchanges are counted") {
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
