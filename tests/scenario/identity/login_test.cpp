// Logging in and out, as people do it.

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "fixture.hpp"

using namespace identity_test;
namespace fs = std::filesystem;

TEST_CASE("a person logs in, is somebody, and logs out") {
  const auto cell = running_cell();
  refuse(*cell, {"whoami"}, "you are not logged in; log in with: troth login");
  const std::string said = succeed(*cell, {"login", "admin", "--password-stdin"},
                                   {.input = line(kAdministratorPassword)});
  CHECK(said.find("Logged in to cell home as admin until ") != std::string::npos);
  CHECK(succeed(*cell, {"whoami"}).starts_with("admin (user "));
  const auto who = nlohmann::json::parse(succeed(*cell, {"whoami", "--json"}));
  CHECK(who["name"] == "admin");
  CHECK(who["kind"] == "user");
  CHECK(who["cell"]["name"] == "home");
  CHECK(who["login"]["expired"] == false);
  CHECK(who["credentials"] == cell->credentials().string());
  const auto tickets = nlohmann::json::parse(succeed(*cell, {"tickets", "--json"}));
  REQUIRE(tickets["tickets"].size() == 1);
  CHECK(tickets["tickets"][0]["service"] == "kdc/tgs");
  CHECK(tickets["tickets"][0]["initial"] == true);
  CHECK(succeed(*cell, {"logout"}) == "Logged out.\n");
  CHECK_FALSE(fs::exists(cell->credentials()));
  refuse(*cell, {"whoami"}, "you are not logged in");
  CHECK(succeed(*cell, {"logout"}) == "You were not logged in.\n");
}

TEST_CASE("F43: a wrong password and an unknown user are one and the same sentence") {
  const auto cell = running_cell();
  const std::string wrong = refuse(*cell, {"login", "admin", "--password-stdin"},
                                   "unknown user or wrong password", {.input = "wrong\n"});
  const std::string unknown = refuse(*cell, {"login", "nobody-here", "--password-stdin"},
                                     "unknown user or wrong password", {.input = "wrong\n"});
  CHECK(wrong == unknown);
  CHECK_FALSE(fs::exists(cell->credentials()));
  log_in_administrator(*cell);
}

TEST_CASE("a password is asked for on the terminal only, and nothing is asked without one") {
  const auto cell = running_cell();
  refuse(*cell, {"login", "admin", "--password-stdin"}, "empty password", {}, 2);
  refuse(*cell, {"login", "Admin", "--password-stdin"}, "a-z", {.input = "x\n"}, 2);
  // Somebody's unset variable is not the name that he has on this machine.
  refuse(*cell, {"login", "", "--password-stdin"}, "is empty", {.input = "x\n"}, 2);
  refuse(*cell, {"passwd", "", "--password-stdin"}, "is empty", {.input = "x\n"}, 2);
  refuse(*cell, {"login", "admin", "--keytab", ""}, "is empty", {.input = "x\n"}, 2);
  refuse(*cell, {"login", "admin", "--keytab="}, "", {.input = "x\n"}, 2);
  refuse(*cell, {"group", "add", "admin:x", "alice", "", "--password-stdin"}, "is empty",
         {.input = "x\n"}, 2);
  refuse(*cell, {"login", "admin", "--lifetime", "soon", "--password-stdin"}, "soon",
         {.input = "x\n"}, 2);
}

TEST_CASE("a KDC that is away is named, with what to do") {
  const auto cell = running_cell({});
  const std::string said = refuse(*cell, {"login", "admin", "--password-stdin"}, "troth status",
                                  {.input = line(kAdministratorPassword)});
  CHECK(said.find(cell->listen("kdc")) != std::string::npos);
}

TEST_CASE("a disabled user learns so with the right password only") {
  const auto cell = running_cell();
  log_in_administrator(*cell);
  add_user(*cell, "alice", "rosebud and more");
  log_in(*cell, "alice", "rosebud and more", "alice");
  succeed(*cell, {"user", "disable", "alice", "--password-stdin"},
          {.input = line(kAdministratorPassword)});
  refuse(*cell, {"login", "alice", "--password-stdin"}, "disabled",
         {.input = "rosebud and more\n", .as = "alice"});
  refuse(*cell, {"login", "alice", "--password-stdin"}, "unknown user or wrong password",
         {.input = "wrong\n", .as = "alice"});
  // No new tickets from the login that she has.
  refuse(*cell, {"group", "list"}, "disabled", {.as = "alice"});
  succeed(*cell, {"user", "enable", "alice", "--password-stdin"},
          {.input = line(kAdministratorPassword)});
  log_in(*cell, "alice", "rosebud and more", "alice");
}

TEST_CASE("a login is as long and as renewable as was asked") {
  const auto cell = running_cell();
  succeed(*cell, {"login", "admin", "--password-stdin", "--lifetime", "1h", "--renewable", "0s"},
          {.input = line(kAdministratorPassword)});
  auto login = nlohmann::json::parse(succeed(*cell, {"whoami", "--json"}))["login"];
  CHECK(login["end_ms"].get<std::int64_t>() - login["start_ms"].get<std::int64_t>() == 3'600'000);
  CHECK(login["renew_till_ms"].is_null());
  // Less than two days are left: whoever uses it is told.
  const auto result = troth(*cell, {"login", "admin", "--password-stdin", "--renewable", "1d"},
                            {.input = line(kAdministratorPassword)});
  CHECK(result.status.ok());
  CHECK(result.error_output.find("can be renewed for") != std::string::npos);
  CHECK(troth(*cell, {"whoami"}).error_output.find("troth login") != std::string::npos);
  log_in_administrator(*cell);
  CHECK(troth(*cell, {"whoami"}).error_output.empty());
}

TEST_CASE("an expired login is said to be one, and logging in again is what helps") {
  const auto cell = running_cell();
  succeed(*cell, {"login", "admin", "--password-stdin", "--lifetime", "1s", "--renewable", "0s"},
          {.input = line(kAdministratorPassword)});
  const auto deadline = soon();
  CommandResult result = troth(*cell, {"whoami"});
  while (result.status.ok() && common::rpc::now() < deadline)
    result = troth(*cell, {"whoami"});
  CHECK(result.status.code == 1);
  CHECK(result.error_output.find("has expired at") != std::string::npos);
  CHECK(result.error_output.find("log in again: troth login admin") != std::string::npos);
  refuse(*cell, {"group", "list"}, "log in again with: troth login");
  log_in_administrator(*cell);
  succeed(*cell, {"group", "list"});
}

TEST_CASE("a service logs in with its keytab") {
  const auto cell = running_cell();
  const std::string keytab = cell->role_directory("fileserver") / "keytab";
  succeed(*cell, {"login", "--keytab", keytab});
  CHECK(succeed(*cell, {"whoami"}).starts_with("fileserver/fileserver1 (service "));
  REQUIRE(::chmod(keytab.c_str(), 0644) == 0);
  refuse(*cell, {"login", "--keytab", keytab}, "chmod 600");
  const auto other = running_cell({});
  refuse(*cell, {"login", "--keytab", other->role_directory("fileserver") / "keytab"},
         "another cell", {}, 2);
  refuse(*cell, {"login", "--keytab", "/nonexistent"}, "/nonexistent");
}

TEST_CASE("credentials that others could have touched are not used") {
  const auto cell = running_cell();
  log_in_administrator(*cell);
  const fs::path file = cell->credentials();
  SUBCASE("readable by the group") {
    fs::permissions(file, fs::perms(0640));
    refuse(*cell, {"whoami"}, "troth logout, then log in again");
  }
  SUBCASE("a link") {
    fs::rename(file, file.string() + ".real");
    fs::create_symlink(file.string() + ".real", file);
    refuse(*cell, {"whoami"}, "symbolic link");
  }
  SUBCASE("cut off") {
    fs::resize_file(file, fs::file_size(file) - 1);
    refuse(*cell, {"whoami"}, "log in again: troth login");
  }
  SUBCASE("somebody else's") {
    if (::geteuid() != 0)
      SKIP_TEST("needs root, to give a file away");
    REQUIRE(::chown(file.c_str(), 65534, 65534) == 0);
    refuse(*cell, {"whoami"}, "belongs to uid 65534");
  }
  SUBCASE("another cell's") {
    const auto other = running_cell({});
    fs::copy_file(file, other->credentials());
    refuse(*other, {"whoami"}, "log in again: troth login", {}, 2);
    return;
  }
  succeed(*cell, {"logout"});
  log_in_administrator(*cell);
  succeed(*cell, {"whoami"});
}

TEST_CASE("a key made with weaker parameters than the policy asks is raised at the next login") {
  auto made = LiveCell::create({.environment = {{"TROTH_KDC_SCRYPT_LOG2_N", "16"}}});
  REQUIRE_OK(made);
  const LiveCell& cell = **made;
  REQUIRE_OK((*made)->start("kdc"));
  const Inside inside(cell);
  const auto log2_n = [&] {
    const auto answer =
        inside.client("kdc")->call(request("kdc", "preauth", R"({"client":"admin"})")).answer;
    REQUIRE_OK(answer);
    return answer->result()["log2_n"].get<int>();
  };
  CHECK(log2_n() == 15);
  log_in_administrator(cell);
  CHECK(log2_n() == 16);
  log_in_administrator(cell);
  succeed(cell, {"whoami"});
}
