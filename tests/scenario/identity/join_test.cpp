// Making a machine a client of a cell.

#include <sys/stat.h>

#include <atomic>
#include <filesystem>

#include "fixture.hpp"
#include "tests/support/rpc_fixture.hpp"

using namespace identity_test;
namespace fs = std::filesystem;

namespace {

struct Joining {
  std::unique_ptr<LiveCell> cell = running_cell();
  test_support::TempDir dir;
  std::string fingerprint = succeed(*cell, {"cell", "fingerprint"});
  std::string target = dir / "troth";

  Joining() { fingerprint.pop_back(); }
  [[nodiscard]] Words words(const std::string& with) const {
    return {"cell", "join", cell->listen("kdc"), "--fingerprint", with, "--dir", target};
  }
  [[nodiscard]] bool nothing_written() const { return fs::is_empty(dir.path()); }
};

}  // namespace

TEST_CASE("a machine joins a cell by its fingerprint, and people can log in from there") {
  const Joining joining;
  const std::string said = succeed(*joining.cell, joining.words(joining.fingerprint));
  CHECK(said.find("Joined the cell home") != std::string::npos);
  const auto there = common::cell::load_description(joining.target);
  REQUIRE_OK(there);
  const auto here = common::cell::load_description(joining.cell->directory());
  REQUIRE_OK(here);
  CHECK(there->id == here->id);
  CHECK(there->servers.size() == here->servers.size());
  CHECK(test_support::read_file(there->ca).value() == test_support::read_file(here->ca).value());
  for (const char* path : {"", "ca", "cell.toml", "ca/ca.crt"}) {
    struct stat info {};
    REQUIRE(::stat((joining.target + "/" + path).c_str(), &info) == 0);
    CHECK((info.st_mode & 07777) == (S_ISDIR(info.st_mode) ? 0755 : 0644));
  }
  succeed(*joining.cell, {"login", "admin", "--password-stdin", "--cell", joining.target},
          {.input = line(kAdministratorPassword)});
  succeed(*joining.cell, {"whoami", "--cell", joining.target});
  // A second time changes nothing.
  refuse(*joining.cell, joining.words(joining.fingerprint), "exists already");
}

TEST_CASE("a fingerprint may be written in any grouping") {
  const Joining joining;
  std::string plain;
  for (const char c : joining.fingerprint) {
    if (c != ' ')
      plain += static_cast<char>(c >= 'A' && c <= 'F' ? c + ('a' - 'A') : c);
  }
  succeed(*joining.cell, joining.words(plain));
}

TEST_CASE("a wrong fingerprint writes nothing") {
  const Joining joining;
  std::string wrong = joining.fingerprint;
  wrong.back() = wrong.back() == '0' ? '1' : '0';
  refuse(*joining.cell, joining.words(wrong), "which is not the one you gave");
  CHECK(joining.nothing_written());
  refuse(*joining.cell, joining.words("12"), "64 hex digits", {}, 2);
  CHECK(joining.nothing_written());
  refuse(*joining.cell, {"cell", "join", joining.cell->listen("kdc"), "--dir", joining.target},
         "--fingerprint");
  CHECK(joining.nothing_written());
}

TEST_CASE("another cell's KDC at that address is not joined") {
  const Joining joining;
  const auto other = running_cell();
  refuse(*joining.cell,
         {"cell", "join", other->listen("kdc"), "--fingerprint", joining.fingerprint, "--dir",
          joining.target},
         "which is not the one you gave");
  CHECK(joining.nothing_written());
}

TEST_CASE("one who shows our authority's certificate and has no key under it is not joined") {
  const Joining joining;
  const auto text = [&](const char* file) {
    return test_support::read_file(joining.cell->role_directory("kdc") / file).value();
  };
  test_support::RpcCell impostor;
  // All that it says of itself is right; only its authority is its own.
  const auto description = common::cell::load_description(joining.cell->directory());
  REQUIRE_OK(description);
  static_cast<void>(impostor.certificates().issue(
      "server",
      {.names = {"IP:127.0.0.1", fmt::format("URI:troth://{}/kdc/kdc1", description->id)}}));
  std::atomic<int> asked{0};
  impostor.add({.service = "kdc",
                .name = "cell",
                .handler = [&](common::rpc::Call&) -> common::Result<common::rpc::Reply> {
                  ++asked;
                  return common::rpc::Reply::json(
                      {{"description", text("cell.toml")}, {"ca", text("ca.crt")}});
                }});
  impostor.start();
  const std::string address = fmt::format("127.0.0.1:{}", impostor.port());
  refuse(*joining.cell,
         {"cell", "join", address, "--fingerprint", joining.fingerprint, "--dir", joining.target},
         "certificate");
  CHECK(asked == 1);
  CHECK(joining.nothing_written());
}

TEST_CASE("nobody at that address, or no KDC, is said") {
  const Joining joining;
  joining.cell->process("kdc").kill();
  refuse(*joining.cell, joining.words(joining.fingerprint), joining.cell->listen("kdc"));
  refuse(*joining.cell, {"cell", "join", "not a host", "--dir", joining.target}, "not a host", {},
         2);
  REQUIRE_OK(joining.cell->start("lockserver"));
  refuse(*joining.cell,
         {"cell", "join", joining.cell->listen("lockserver"), "--fingerprint", joining.fingerprint,
          "--dir", joining.target},
         joining.cell->listen("lockserver"));
  CHECK(joining.nothing_written());
}
