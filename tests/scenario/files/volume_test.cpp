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
  cell.ok({"rm", "/home/f"});
  CHECK(cell.ok({"ls", "/home"}).empty());
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
