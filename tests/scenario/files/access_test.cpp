// Who may, who may not, and why.

#include "fixture.hpp"

using namespace files_test;

TEST_CASE("a refusal can be explained, and an access list changes it") {
  Cell cell;
  cell.add_user("alice");
  cell.add_user("bob");
  cell.ok({"mkdir", "-m", "0700", "/alice"}, "alice");
  cell.ok({"touch", "/alice/f"}, "alice");
  // The way is closed: that is told, and not that nothing is there.
  cell.refused({"stat", "/alice/f"}, "troth whynot", "bob");
  const auto why = cell.troth({"whynot", "read", "/alice/f"}, "bob");
  CHECK(why.status.code == 1);
  CHECK(why.output.starts_with("refused: /alice/f: "));
  CHECK(why.output.find("mode") != std::string::npos);
  const auto number = nlohmann::json::parse(cell.ok({"whoami", "--json"}, "bob"))["id"];
  cell.ok({"setfacl", "-m", "user:alice:all", "-m",
           fmt::format("user:{}:read", number.get<std::uint32_t>()), "/alice"},
          "alice");
  CHECK(cell.ok({"getfacl", "/alice"}, "alice").find("user:alice:rlidwka") != std::string::npos);
  CHECK(cell.ok({"getfacl", "--afs", "/alice"}, "alice").find("  alice rlidwka\n") !=
        std::string::npos);
  CHECK(cell.ok({"ls", "/alice"}, "bob") == "f\n");
  cell.refused({"mkdir", "/alice/d"}, "troth whynot", "bob");
  const auto refused = cell.troth({"whynot", "mkdir", "/alice/d"}, "bob");
  CHECK(refused.status.code == 1);
  CHECK(refused.output.starts_with("refused: "));
  CHECK(cell.troth({"whynot", "mkdir", "/alice/d"}, "alice").status.code == 0);
  CHECK(cell.troth({"whynot", "unlink", "/alice/f"}, "bob").status.code == 1);
  CHECK(cell.troth({"whynot", "unlink", "/alice/f"}, "alice").status.code == 0);
  cell.refused({"whynot", "read", "/alice/missing"}, "no such file", "alice");
  cell.refused({"whynot", "dance", "/alice/f"}, "no operation of that name", "alice");
  // What is denied counts over what is granted; written as AFS has it.
  cell.ok({"setfacl", "-m", "system:authuser rlidwk", "-m",
           fmt::format("-{} id", number.get<std::uint32_t>()), "/alice"},
          "alice");
  cell.refused({"mkdir", "/alice/d"}, "troth whynot", "bob");
  CHECK(cell.ok({"getfacl", "--afs", "/alice"}, "alice").find("Negative rights:\n") !=
        std::string::npos);
  cell.refused({"setfacl", "-m", "alice:rl", "/alice"}, "expected [deny:]user", "alice", 2);
  cell.refused({"setfacl", "-m", "anyuser:rl", "/alice/f"}, "lists are of directories", "alice");
  cell.ok({"setfacl", "-b", "/alice"}, "alice");
  CHECK(cell.ok({"getfacl", "/alice"}, "alice").find("no access list") != std::string::npos);
  cell.refused({"stat", "/alice/f"}, "troth whynot", "bob");
}
