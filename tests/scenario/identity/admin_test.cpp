// Looking after users, groups, services and policies, as people do it.

#include <sys/stat.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "common/auth/credential_cache.hpp"
#include "common/ticket/keytab.hpp"
#include "fixture.hpp"

using namespace identity_test;
namespace fs = std::filesystem;

namespace {

nlohmann::json json_of(const LiveCell& cell, Words words, const TrothOptions& options = {}) {
  words.emplace_back("--json");
  const std::string said = succeed(cell, words, options);
  CHECK(said.find('\n') + 1 == said.size());
  auto parsed = nlohmann::json::parse(said, nullptr, false);
  REQUIRE(!parsed.is_discarded());
  return parsed;
}

// What lies in the file of whoever is logged in.
std::vector<common::ticket::Credential> stored(const LiveCell& cell) {
  const auto description = common::cell::load_description(cell.directory());
  REQUIRE_OK(description);
  const auto cache = common::auth::CredentialCache::open(description->id,
                                                         {.variable = cell.credentials().string()});
  REQUIRE_OK(cache);
  auto loaded = (*cache)->load();
  REQUIRE_OK(loaded);
  return *std::move(loaded);
}

}  // namespace

TEST_CASE("users are added, shown, given new passwords and deleted") {
  const auto cell = running_cell();
  log_in_administrator(*cell);
  const TrothOptions with_password{.input = line(kAdministratorPassword)};
  add_user(*cell, "alice", "rosebud and more");
  const auto alice = json_of(*cell, {"user", "show", "alice"});
  CHECK(alice["name"] == "alice");
  CHECK(alice["kind"] == "user");
  CHECK(alice["id"].get<int>() >= 10'000);
  CHECK(succeed(*cell, {"user", "list"}).find("alice") != std::string::npos);
  CHECK(json_of(*cell, {"user", "list"})["users"].size() >= 2);
  refuse(*cell, {"user", "add", "alice", "--password-stdin", "--new-password-stdin"}, "alice",
         {.input = line(kAdministratorPassword) + "another one\n"});
  refuse(*cell, {"user", "show", "bob"}, "bob");
  // Her own, and nobody else's.
  log_in(*cell, "alice", "rosebud and more", "alice");
  CHECK(json_of(*cell, {"user", "show", "alice"}, {.as = "alice"})["name"] == "alice");
  refuse(*cell, {"user", "show", "admin"}, "troth: ", {.as = "alice"});
  refuse(*cell, {"user", "list"}, "troth: ", {.as = "alice"});

  succeed(*cell, {"passwd", "--password-stdin", "--new-password-stdin"},
          {.input = "rosebud and more\nsomething new here\n", .as = "alice"});
  refuse(*cell, {"login", "alice", "--password-stdin"}, "wrong password",
         {.input = "rosebud and more\n", .as = "alice"});
  log_in(*cell, "alice", "something new here", "alice");
  const std::string shown = succeed(
      *cell, {"user", "passwd", "alice", "--password-stdin", "--random-password"}, with_password);
  const std::string before = "The password of alice is: ";
  const auto at = shown.find(before);
  REQUIRE(at != std::string::npos);
  const std::string random = shown.substr(at + before.size(), 19);
  log_in(*cell, "alice", random, "alice");
  refuse(*cell, {"passwd", "--password-stdin", "--new-password-stdin"}, "wrong password",
         {.input = "not hers\nsomething new here\n", .as = "alice"});

  succeed(*cell, {"user", "delete", "alice", "--password-stdin"}, with_password);
  refuse(*cell, {"login", "alice", "--password-stdin"}, "unknown user or wrong password",
         {.input = line(random), .as = "alice"});
  refuse(*cell, {"user", "show", "alice"}, "alice");
}

TEST_CASE("what is dangerous needs a password typed for it") {
  const auto cell = running_cell();
  log_in_administrator(*cell);
  // A ticket for administration that came from the login will do for looking, and no further.
  succeed(*cell, {"user", "list"});
  refuse(*cell, {"user", "disable", "admin"}, "--password-stdin");
  refuse(*cell, {"user", "disable", "admin", "--password-stdin"}, "wrong password",
         {.input = "wrong\n"});
  add_user(*cell, "alice", "rosebud and more");
  // Typed a moment ago, for something else: a thief of the file that lies here gets no further.
  refuse(*cell, {"user", "disable", "alice"}, "--password-stdin");
  std::size_t for_administration = 0;
  for (const auto& credential : stored(*cell)) {
    const bool administration = credential.service == common::ticket::kAdminService;
    CHECK_FALSE((administration && credential.validity.initial));
    for_administration += administration ? 1 : 0;
  }
  CHECK(for_administration == 1);  // got by the login, for looking
  succeed(*cell, {"user", "disable", "alice", "--password-stdin"},
          {.input = line(kAdministratorPassword)});
  // Nor does logging in do.
  log_in_administrator(*cell);
  refuse(*cell, {"user", "enable", "alice"}, "--password-stdin");
  // Nobody needs to be logged in for one thing.
  succeed(*cell, {"user", "enable", "alice", "--as", "admin", "--password-stdin"},
          {.input = line(kAdministratorPassword), .as = "stranger"});
  CHECK_FALSE(fs::exists(cell->credentials("stranger")));
}

TEST_CASE("people make groups of their own and say who is in them") {
  const auto cell = running_cell();
  log_in_administrator(*cell);
  add_user(*cell, "alice", "rosebud and more");
  add_user(*cell, "bob", "rosebud and more");
  log_in(*cell, "alice", "rosebud and more", "alice");
  const TrothOptions alice{.as = "alice"};
  succeed(*cell, {"group", "create", "alice:friends"}, alice);
  succeed(*cell, {"group", "add", "alice:friends", "bob", "fileserver/fileserver1"}, alice);
  const auto group = json_of(*cell, {"group", "show", "alice:friends"}, alice);
  CHECK(group["owner"]["name"] == "alice");
  CHECK(group["members"].size() == 2);
  CHECK(json_of(*cell, {"group", "list"}, alice)["groups"].size() >= 1);
  CHECK(json_of(*cell, {"user", "show", "bob"})["groups"].dump().find("alice:friends") !=
        std::string::npos);
  refuse(*cell, {"group", "create", "bob:friends"}, "troth: ", alice);
  refuse(*cell, {"group", "add", "system:administrators", "alice"}, "troth: ", alice);
  succeed(*cell, {"group", "remove", "alice:friends", "bob"}, alice);
  CHECK(json_of(*cell, {"group", "show", "alice:friends"}, alice)["members"].size() == 1);
  succeed(*cell, {"group", "delete", "alice:friends"}, alice);
  refuse(*cell, {"group", "show", "alice:friends"}, "troth: ", alice);

  // The cell's own groups are not changed by a mere login.
  log_in_administrator(*cell);
  refuse(*cell, {"group", "add", "system:administrators", "alice"}, "--password-stdin");
  succeed(*cell, {"group", "add", "system:administrators", "alice", "--password-stdin"},
          {.input = line(kAdministratorPassword)});
  succeed(*cell, {"user", "list"}, alice);
}

TEST_CASE("services and hosts get keytabs that nobody else can read") {
  const auto cell = running_cell();
  log_in_administrator(*cell);
  const std::string keytab = cell->directory() / "host.keytab";
  succeed(*cell, {"service", "add", "host/desk7", "--out", keytab, "--password-stdin"},
          {.input = line(kAdministratorPassword)});
  struct stat info {};
  REQUIRE(::stat(keytab.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  CHECK(common::ticket::load_keytab(keytab).value().principal() == "host/desk7");
  succeed(*cell, {"login", "--keytab", keytab}, {.as = "host"});
  CHECK(succeed(*cell, {"whoami"}, {.as = "host"}).starts_with("host/desk7 (host "));
  CHECK(json_of(*cell, {"service", "list", "--hosts"})["services"].size() == 1);
  CHECK(succeed(*cell, {"service", "list"}).find("fileserver/fileserver1") != std::string::npos);
  // A host changes its own key, with nothing but its key.
  succeed(*cell, {"service", "rotate", "host/desk7", "--out", keytab, "--keytab", keytab},
          {.as = "host"});
  CHECK(common::ticket::load_keytab(keytab).value().entries().size() == 2);
  succeed(*cell, {"login", "--keytab", keytab}, {.as = "host"});
  refuse(*cell,
         {"service", "rotate", "fileserver/fileserver1", "--out", keytab, "--keytab", keytab},
         "troth: ", {.as = "host"});
  succeed(*cell, {"service", "delete", "host/desk7", "--password-stdin"},
          {.input = line(kAdministratorPassword)});
  refuse(*cell, {"login", "--keytab", keytab}, "troth service keytab", {.as = "host"});
}

TEST_CASE("root renews a daemon's keytab in place, and nobody else's by mistake") {
  if (::geteuid() != 0)
    SKIP_TEST("needs root, to give a file away");
  const auto cell = running_cell();
  log_in_administrator(*cell);
  const TrothOptions with_password{.input = line(kAdministratorPassword)};
  const auto rotate = [](const std::string& path) {
    return Words{"service", "rotate", "fileserver/fileserver1", "--out", path, "--password-stdin"};
  };
  const auto unchanged = [&](std::uint64_t kvno) {
    const auto shown = json_of(*cell, {"user", "show", "fileserver/fileserver1"});
    return shown["kvno"] == kvno && shown["pending_kvno"].is_null();
  };
  const std::string keytab = cell->role_directory("fileserver") / "keytab";
  const std::string others = cell->role_directory("lockserver") / "keytab";
  const auto stranger = running_cell({});
  const std::string foreign = stranger->role_directory("fileserver") / "keytab";
  for (const std::string& wrong : {others, foreign}) {
    const auto before = test_support::read_file(wrong).value();
    refuse(*cell, rotate(wrong), "no key was changed", with_password);
    CHECK(test_support::read_file(wrong).value() == before);
  }
  const std::string damaged = cell->directory() / "damaged";
  REQUIRE_OK(test_support::write_file(damaged, "no keytab"));
  REQUIRE(::chmod(damaged.c_str(), 0600) == 0);
  refuse(*cell, rotate(damaged), damaged, with_password);
  CHECK(unchanged(1));
  refuse(*cell,
         {"service", "keytab", "fileserver/fileserver1", "--out", others, "--password-stdin"},
         "is not replaced", with_password);

  REQUIRE(::chown(keytab.c_str(), 65534, 65533) == 0);
  REQUIRE(::chmod(keytab.c_str(), 0400) == 0);
  succeed(*cell, rotate(keytab), with_password);
  CHECK(unchanged(2));
  struct stat info {};
  REQUIRE(::stat(keytab.c_str(), &info) == 0);
  CHECK(info.st_uid == 65534);
  CHECK(info.st_gid == 65533);
  CHECK((info.st_mode & 07777) == 0400);
  CHECK(common::ticket::load_keytab_of_others(keytab).value().entries().size() == 2);
}

TEST_CASE("policies are shown, changed and obeyed") {
  const auto cell = running_cell();
  log_in_administrator(*cell);
  const TrothOptions with_password{.input = line(kAdministratorPassword)};
  CHECK(succeed(*cell, {"policy", "list"}).find("policy") != std::string::npos);
  succeed(
      *cell,
      {"policy", "set", "strict", "--min-length", "20", "--ticket-life", "1h", "--password-stdin"},
      with_password);
  succeed(
      *cell,
      {"user", "add", "carol", "--policy", "strict", "--password-stdin", "--new-password-stdin"},
      {.input = line(kAdministratorPassword) + "long enough for anybody\n"});
  const std::string said = refuse(
      *cell,
      {"user", "add", "dave", "--policy", "strict", "--password-stdin", "--new-password-stdin"},
      "20", {.input = line(kAdministratorPassword) + "too short\n"}, 2);
  CHECK(said.find("too short") == std::string::npos);
  log_in(*cell, "carol", "long enough for anybody", "carol");
  const auto login = json_of(*cell, {"whoami"}, {.as = "carol"})["login"];
  CHECK(login["end_ms"].get<std::int64_t>() - login["start_ms"].get<std::int64_t>() == 3'600'000);
}

TEST_CASE("what was done is in the audit log, whole, and for those who may see it") {
  const auto cell = running_cell();
  log_in_administrator(*cell);
  add_user(*cell, "alice", "rosebud and more");
  refuse(*cell, {"login", "alice", "--password-stdin"}, "wrong password",
         {.input = "a wrong one\n", .as = "alice"});
  const auto newest = json_of(*cell, {"audit"});
  const std::string dump = newest.dump();
  CHECK(dump.find("alice") != std::string::npos);
  CHECK(dump.find("a wrong one") == std::string::npos);
  CHECK(dump.find("rosebud") == std::string::npos);
  CHECK(json_of(*cell, {"audit", "--since", "1h"})["records"].size() >= newest["records"].size());
  CHECK(json_of(*cell, {"audit", "--after", "1"})["records"][0]["seq"] == 2);
  CHECK(json_of(*cell, {"audit", "--name", "alice"})["records"].size() >= 1);
  CHECK(succeed(*cell, {"audit", "--verify"}).find("is whole") != std::string::npos);
  log_in(*cell, "alice", "rosebud and more", "alice");
  refuse(*cell, {"audit"}, "troth: ", {.as = "alice"});
}

TEST_CASE("who cannot log in any more can still set a new password") {
  const auto cell = running_cell();
  log_in_administrator(*cell);
  add_user(*cell, "erin", "rosebud and more");
  const TrothOptions erin{.input = "rosebud and more\nsomething new here\n", .as = "erin"};
  refuse(*cell, {"passwd", "--password-stdin", "--new-password-stdin"}, "not logged in", erin);
  succeed(*cell, {"passwd", "erin", "--password-stdin", "--new-password-stdin"}, erin);
  log_in(*cell, "erin", "something new here", "erin");
}

TEST_CASE("an administrator dumps the running KDC, into a new file of his own") {
  const auto cell = running_cell();
  log_in_administrator(*cell);
  add_user(*cell, "alice", "rosebud and more");
  log_in(*cell, "alice", "rosebud and more", "alice");
  const test_support::TempDir dir;
  const std::string file = dir / "kdc.dump";
  const Words words{"kdc", "dump", file, "--password-stdin"};
  // Being logged in does not do, being somebody else neither.
  refuse(*cell, {"kdc", "dump", file}, "--password-stdin");
  refuse(*cell, words, "administrators", {.input = "rosebud and more\n", .as = "alice"});
  refuse(*cell, {"kdc", "dump", "", "--password-stdin"}, "is empty", {}, 2);
  CHECK(fs::is_empty(dir.path()));
  const TrothOptions with_password{.input = line(kAdministratorPassword)};
  succeed(*cell, words, with_password);
  struct stat info {};
  REQUIRE(::stat(file.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  const std::string text = test_support::read_file(file).value();
  CHECK(text.find("alice") != std::string::npos);
  CHECK(text.find("rosebud") == std::string::npos);
  refuse(*cell, words, "exists already", with_password);
  CHECK(test_support::read_file(file).value() == text);
  const auto records = json_of(*cell, {"audit", "--event", "dump"})["records"];
  REQUIRE(records.size() == 1);
  CHECK(records[0]["actor"]["name"] == "admin");

  // It is the database: loaded into an empty directory, with the master keys, it is this KDC.
  REQUIRE_OK(cell->terminate("kdc"));
  const fs::path data = cell->role_directory("kdc") / "data";
  const fs::path before = dir / "before";
  fs::rename(data, before);
  fs::create_directory(data);
  fs::permissions(data, fs::perms::owner_all);
  fs::copy_file(before / "master.keys", data / "master.keys");
  const auto program = test_support::find_program("troth-kdc");
  REQUIRE_OK(program);
  const auto loaded =
      test_support::run_command(*program, {"--config", cell->config("kdc"), "--load", file});
  REQUIRE_OK(loaded);
  CAPTURE(loaded->error_output);
  REQUIRE(loaded->status.ok());
  REQUIRE_OK(cell->start("kdc"));
  log_in(*cell, "alice", "rosebud and more", "alice");
  CHECK(succeed(*cell, {"audit", "--verify"}).find("is whole") != std::string::npos);
}

TEST_CASE("an administrator replaces the master key of the running KDC") {
  const auto cell = running_cell();
  log_in_administrator(*cell);
  add_user(*cell, "alice", "rosebud and more");
  log_in(*cell, "alice", "rosebud and more", "alice");
  const TrothOptions alice{.input = "rosebud and more\n", .as = "alice"};
  CHECK(succeed(*cell, {"kdc", "master"}) == "master key 1\n");
  refuse(*cell, {"kdc", "master"}, "administrators", alice);
  refuse(*cell, {"kdc", "rotate-master", "--password-stdin"}, "administrators", alice);
  refuse(*cell, {"kdc", "rotate-master"}, "--password-stdin");
  const std::string said = succeed(*cell, {"kdc", "rotate-master", "--password-stdin"},
                                   {.input = line(kAdministratorPassword)});
  CHECK(said.find("Master key 2 is in use") != std::string::npos);
  log_in(*cell, "alice", "rosebud and more", "alice");
  const auto deadline = soon();
  auto status = json_of(*cell, {"kdc", "master"});
  while (status["under_way"] == true && common::rpc::now() < deadline)
    status = json_of(*cell, {"kdc", "master"});
  CHECK(status["version"] == 2);
  CHECK(status["under_way"] == false);
  CHECK(status["rows_left"] == 0);
  log_in(*cell, "alice", "rosebud and more", "alice");
}
