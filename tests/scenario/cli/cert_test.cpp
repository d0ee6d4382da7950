#include <csignal>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "common/failpoint/failpoint.hpp"
#include "common/wire/json.hpp"
#include "run_troth.hpp"
#include "tests/support/live_cell.hpp"

using scenario::check_refused;
using scenario::troth;
using test_support::TempDir;

namespace {

struct MadeCell {
  TempDir dir;
  std::string root = (dir / "cell").string();
  MadeCell() { REQUIRE(troth({"cell", "init", root, "--days", "20"}).status.ok()); }
};

nlohmann::json json_of(const test_support::CommandResult& result) {
  return common::wire::parse_json(result.output.substr(0, result.output.size() - 1)).value();
}

}  // namespace

TEST_CASE("certificates are shown with their end, for people and for programs") {
  const MadeCell cell;
  const auto text = troth({"cell", "cert", "show", "--cell", cell.root});
  CHECK(text.status.ok());
  CHECK(text.output.find("kdc kdc1 (19 days left)") != std::string::npos);
  CHECK(text.output.find('\x1B') == std::string::npos);  // not a terminal: no colours
  const auto json = json_of(troth({"cell", "cert", "show", "--json", "--cell", cell.root}));
  CHECK(json["well"] == true);
  CHECK(json["certificates"].size() == 4);
  CHECK(json["certificates"][1]["role"] == "kdc");
  CHECK(json["certificates"][1]["days_left"] == 19);
}

TEST_CASE("showing fails when a certificate ends too soon or is foreign") {
  const MadeCell cell;
  CHECK(troth({"cell", "cert", "show", "--cell", cell.root, "--within", "19"}).status.code == 0);
  CHECK(troth({"cell", "cert", "show", "--cell", cell.root, "--within", "20"}).status.code == 1);
  const MadeCell other;
  const auto foreign =
      troth({"cell", "cert", "show", other.root + "/kdc/server.crt", "--cell", cell.root});
  CHECK(foreign.status.code == 1);
  CHECK(foreign.output.find("was not signed by this cell's authority") != std::string::npos);
}

TEST_CASE("the variable names the cell where no option does") {
  const MadeCell cell;
  const auto program = test_support::find_program("troth").value();
  const auto shown = test_support::run_command(program, {"cell", "cert", "show"},
                                               {.environment = {{"TROTH_CELL", cell.root}}});
  REQUIRE_OK(shown);
  CHECK(shown->status.ok());
}

TEST_CASE("renewing moves the end and tells how servers notice") {
  const MadeCell cell;
  const std::string path = cell.root + "/fileserver/server.crt";
  const std::string before = test_support::read_file(path).value();
  const auto renewed = troth({"cell", "cert", "renew", "--all", "--cell", cell.root});
  CHECK(renewed.status.ok());
  CHECK(renewed.output.find("Renewed " + path) != std::string::npos);
  CHECK(renewed.output.find("SIGHUP") != std::string::npos);
  CHECK(test_support::read_file(path).value() != before);
  CHECK(troth({"cell", "cert", "renew", path, "--new-key", "--cell", cell.root}).status.ok());
  CHECK(troth({"cell", "cert", "show", "--cell", cell.root}).status.ok());
  check_refused(troth({"cell", "cert", "renew", "--cell", cell.root}), 2, "--all");
}

TEST_CASE("a renewal that is killed leaves a server that starts, reloads and can be renewed") {
  if (!common::failpoint::kCompiledIn)
    SKIP_TEST("built without failpoints");
  auto cell = test_support::LiveCell::create();
  REQUIRE_OK(cell);
  const std::string root = (*cell)->directory().string();
  const std::string certificate = root + "/kdc/server.crt";
  const std::vector<std::string> renew{"cell",      "cert",   "renew", certificate,
                                       "--new-key", "--cell", root};
  REQUIRE_OK((*cell)->start("kdc"));
  for (const char* place : {"cell.renew.key_waits", "cell.renew.certificate_changed"}) {
    CAPTURE(place);
    const auto killed =
        troth(renew, {.environment = {{"TROTH_FAILPOINTS", std::string(place) + "=kill"}}});
    CHECK(killed.status.signal == SIGKILL);
    CHECK(std::filesystem::exists(root + "/kdc/server.key.next"));
    REQUIRE_OK((*cell)->process("kdc").signal(SIGHUP));
    CHECK_OK((*cell)->process("kdc").wait_for_line("reload"));
    CHECK((*cell)->process("kdc").error_output().find("stays in use") == std::string::npos);
    CHECK_OK((*cell)->terminate("kdc"));
    REQUIRE_OK((*cell)->start("kdc"));
  }
  CHECK(troth(renew).status.ok());
  CHECK_FALSE(std::filesystem::exists(root + "/kdc/server.key.next"));
  CHECK_OK((*cell)->terminate("kdc"));
  CHECK_OK((*cell)->start("kdc"));
}

TEST_CASE("a certificate is issued once under its name") {
  const MadeCell cell;
  const std::string out = cell.dir.path().string();
  const std::vector<std::string> issue{"cell",     "cert",   "issue",
                                       "mount",    "laptop", "--host",
                                       "10.0.0.7", "--host", "laptop.example.org",
                                       "--out",    out,      "--cell",
                                       cell.root};
  CHECK(troth(issue).status.ok());
  CHECK((std::filesystem::status(out + "/laptop.key").permissions() &
         std::filesystem::perms(0777)) == std::filesystem::perms(0600));
  const auto json =
      json_of(troth({"cell", "cert", "show", out + "/laptop.crt", "--json", "--cell", cell.root}));
  CHECK(json["certificates"][0]["role"] == "mount");
  CHECK(json["certificates"][0]["hosts"] == nlohmann::json{"laptop.example.org", "10.0.0.7"});
  check_refused(troth(issue), 1, "never overwritten");
  check_refused(troth({"cell", "cert", "issue", "mount", "../evil", "--cell", cell.root}), 1,
                "the name is \"../evil\"");
}

TEST_CASE("bad surroundings are one line each") {
  const MadeCell cell;
  check_refused(troth({"cell", "cert", "show"}), 1, "no cell found in /etc/troth");
  check_refused(troth({"cell", "cert", "show", "--cell", "/nonexistent"}), 1,
                "no cell at /nonexistent");
  std::filesystem::permissions(cell.root + "/ca/ca.key", std::filesystem::perms(0644));
  check_refused(troth({"cell", "cert", "renew", "--all", "--cell", cell.root}), 1, "chmod 600");
  std::filesystem::remove(cell.root + "/ca/ca.key");
  check_refused(troth({"cell", "cert", "renew", "--all", "--cell", cell.root}), 1,
                "run this where the cell's key is kept");
  REQUIRE_OK(test_support::write_file(cell.root + "/cell.toml", "[cell]\nnmae = \"x\"\n"));
  check_refused(troth({"cell", "cert", "show", "--cell", cell.root}), 1, "unknown key \"nmae\"");
}
