// troth volume.

#include "fixture.hpp"

using namespace files_test;

TEST_CASE("volumes are made, attached, detached, renamed and deleted") {
  Cell cell;
  cell.ok({"mkdir", "/home"});
  CHECK(cell.ok({"volume", "create", "homes", "--attach", "/home", "--quota", "1G"})
            .find("Volume homes is at /home.") != std::string::npos);
  cell.ok({"touch", "/home/f"});
  CHECK(cell.ok({"ls", "homes:/"}) == "f\n");
  CHECK(cell.ok({"ls", "-R", "/"}) == "/:\nhome\n\n/home:\nf\n");
  const auto volumes = cell.json({"volume", "list"})["volumes"];
  REQUIRE(volumes.size() == 2);
  CHECK(volumes[0]["name"] == "homes");
  CHECK(volumes[0]["attached"]["path"] == "/home");
  CHECK(cell.json({"volume", "show", "homes"})["quota_bytes"] == 1 << 30);
  CHECK(cell.ok({"volume", "quota", "homes", "2G"}).find("2.0G") != std::string::npos);
  CHECK(cell.ok({"volume", "policy", "homes", "--write-conflict", "refuse", "--close", "stable"})
            .find("refuse") != std::string::npos);
  CHECK(cell.ok({"volume", "list"}).find(" /home\n") != std::string::npos);
  cell.refused({"rm", "-r", "/home"}, "attached");
  cell.refused({"ln", "/home/f", "/f"}, "troth ln -s");
  cell.refused({"mv", "--exchange", "/home/f", "/f"}, "two volumes");
  cell.ok({"mv", "/home/f", "/f"});
  CHECK(cell.ok({"ls", "/home"}).empty());
  cell.ok({"ls", "/f"});
  cell.refused({"volume", "delete", "homes", "--yes"}, "detach");
  cell.ok({"volume", "detach", "/home"});
  cell.ok({"rmdir", "/home"});
  cell.ok({"volume", "rename", "homes", "people"});
  CHECK(cell.ok({"ls", "people:/"}).empty());
  cell.refused({"volume", "delete", "people"}, "--yes");
  cell.ok({"volume", "delete", "people", "--yes"});
  cell.refused({"ls", "people:/"}, "troth volume list");
  cell.refused({"volume", "create", "bad/name"}, "name");
}

TEST_CASE("only administrators look after volumes") {
  Cell cell;
  cell.add_user("alice");
  cell.refused({"volume", "create", "mine"}, "system:administrators", "alice");
  cell.refused({"volume", "quota", "root", "1G"}, "system:administrators", "alice");
  cell.ok({"volume", "list"}, "alice");
}

TEST_CASE("a volume is dumped and loaded, whole and by what came since") {
  Cell cell;
  cell.ok({"volume", "create", "work", "--mode", "0777"});
  cell.write("tree/a", std::string(300'000, 'a'));
  cell.write("tree/d/b", "b");
  cell.ok({"put", "-r", cell.local("tree"), "work:/"});
  cell.ok({"volume", "dump", "work", cell.local("whole").string()});
  CHECK(cell.ok({"volume", "load", "copy", cell.local("whole").string()})
            .starts_with("Volume copy, number "));
  CHECK(cell.ok({"cat", "copy:/tree/d/b"}) == "b");
  CHECK(cell.ok({"find", "copy:/tree"}) ==
        "copy:/tree\ncopy:/tree/a\ncopy:/tree/d\ncopy:/tree/d/b\n");
  // A copy that follows: whole, then what came since.
  const std::string stands =
      cell.ok({"volume", "load", "standby", cell.local("whole").string(), "--follow"});
  const std::size_t at = stands.find("stands at seq ");
  REQUIRE(at != std::string::npos);
  const std::string seq = std::to_string(std::stoull(stands.substr(at + 14)));
  cell.ok({"touch", "work:/tree/later"});
  cell.ok({"volume", "dump", "work", cell.local("since").string(), "--from", seq});
  cell.ok({"volume", "load", "standby", cell.local("since").string(), "--onto"});
  CHECK(cell.ok({"ls", "standby:/tree"}) == "a\nd\nlater\n");
  // Half a dump is none.
  const std::string whole = cell.read("whole");
  cell.write("half", whole.substr(0, whole.size() / 2));
  CHECK(cell.troth({"volume", "load", "half", cell.local("half").string()}).status.code == 1);
  cell.refused({"ls", "half:/"}, "troth volume list");
  cell.refused({"volume", "load", "work", cell.local("whole").string()}, "already");
}
