// What is in files: put, read, copied, found out about later.

#include "fixture.hpp"

using namespace files_test;

TEST_CASE("files are put, read, copied and moved between volumes") {
  Cell cell;
  cell.ok({"mkdir", "-p", "/docs/a"});
  cell.write("hello", "hello\n");
  cell.ok({"put", cell.local("hello"), "/docs/hello.txt"});
  CHECK(cell.ok({"ls", "/docs"}) == "a\nhello.txt\n");
  CHECK(cell.ok({"cat", "/docs/hello.txt", "/docs/hello.txt"}) == "hello\nhello\n");
  cell.ok({"cp", "/docs/hello.txt", "/docs/a"});
  // Over a file that is as long, shorter, longer, and by an empty one.
  cell.write("long", "longer than hello\n");
  cell.write("none", "");
  cell.ok({"put", cell.local("long"), "/docs/long"});
  cell.ok({"put", cell.local("none"), "/docs/none"});
  cell.ok({"cp", "/docs/hello.txt", "/docs/a"});
  cell.ok({"cp", "/docs/long", "/docs/a/hello.txt"});
  CHECK(cell.ok({"cat", "/docs/a/hello.txt"}) == "longer than hello\n");
  cell.ok({"cp", "/docs/hello.txt", "/docs/a"});
  CHECK(cell.ok({"cat", "/docs/a/hello.txt"}) == "hello\n");
  cell.ok({"cp", "/docs/none", "/docs/a/hello.txt"});
  CHECK(cell.ok({"cat", "/docs/a/hello.txt"}).empty());
  cell.ok({"cp", "/docs/hello.txt", "/docs/a"});
  cell.ok({"rm", "/docs/long", "/docs/none"});
  cell.ok({"mv", "/docs/hello.txt", "/docs/moved"});
  CHECK(cell.ok({"cat", "/docs/a/hello.txt"}) == "hello\n");
  cell.ok({"cp", "-r", "/docs", "/copy"});
  CHECK(cell.ok({"cat", "/copy/a/hello.txt"}) == "hello\n");
  cell.ok({"ln", "-s", "a/hello.txt", "/docs/link"});
  cell.ok({"ln", "/docs/moved", "/docs/second"});
  CHECK(cell.ok({"cat", "/docs/link"}) == "hello\n");
  CHECK(cell.ok({"stat", "-c", "%n %s %a %F", "/docs/moved"}) ==
        "/docs/moved 6 644 regular file\n");
  cell.refused({"cp", "/docs/moved", "/docs/second"}, "are the same file");
  cell.refused({"cp", "/docs", "/x"}, "troth cp -r");
  cell.refused({"cp", "-r", "/docs", "/docs/a"}, "into itself");
  // Through a link, what it leads to is written; the link stays one.
  cell.write("hello", "bye\n");
  cell.ok({"put", cell.local("hello"), "/docs/link"});
  CHECK(cell.ok({"cat", "/docs/a/hello.txt"}) == "bye\n");
  CHECK(cell.ok({"readlink", "/docs/link"}) == "a/hello.txt\n");
  const auto result = cell.troth({"cat", "/missing", "/docs/link"});
  CHECK(result.status.code == 1);
  CHECK(result.output == "bye\n");
  cell.refused({"cat", "/docs"}, "is a directory");
  cell.refused({"cat", "/docs/moved/b"}, "/docs/moved: not a directory");
  cell.refused({"put", cell.local(), "/x"}, "troth put -r");
  cell.refused({"get", "/", cell.local("x")}, "troth get -r");
}

TEST_CASE("sizes and use are shown for people and for programs") {
  Cell cell;
  cell.write("tree/a", std::string(300'000, 'a'));
  cell.write("tree/d/b", std::string(200'000, 'b'));
  cell.ok({"put", "-r", cell.local("tree"), "/"});
  CHECK(cell.ok({"du", "-s", "-b", "/tree"}) == "500000\t/tree\n");
  CHECK(cell.ok({"du", "-h", "/tree/d"}).ends_with("\t/tree/d\n"));
  const auto usage = cell.json({"du", "-b", "/tree"});
  CHECK(usage["entries"].size() == 2);
  const auto volumes = cell.json({"df"})["volumes"];
  REQUIRE(volumes.size() == 1);
  CHECK(volumes[0]["name"] == "root");
  CHECK(volumes[0]["bytes"].get<std::uint64_t>() > volumes[0]["bytes_free"].get<std::uint64_t>());
  CHECK(cell.ok({"df", "-h", "/tree"}).find("root") != std::string::npos);
}

TEST_CASE("F61: contents go by names of all bytes") {
  Cell cell;
  Words names;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte != '/')
      names.push_back("n" + std::string(1, static_cast<char>(byte)) + "e");
  }
  names.insert(names.end(), {" ", "-rf", "...", std::string(255, 'l'), "\xF0\x9F\x98\x80"});
  for (const std::string& name : names)
    cell.write(fs::path("tree") / name, "<" + name + ">");
  cell.ok({"put", "-r", cell.local("tree"), "/"});
  const auto listed = cell.json({"ls", "-A", "/tree"})["entries"];
  CHECK(listed.size() == names.size());
  // A pipe gets the bytes themselves.
  const std::string raw = cell.ok({"find", "/tree", "-type", "f", "-print0"});
  for (const std::string& name : names)
    CHECK(raw.find("/tree/" + name + std::string(1, '\0')) != std::string::npos);
  CHECK(cell.ok({"cat", "/tree/n\ne"}) == "<n\ne>");
  cell.ok({"mv",
           "/tree/n\xFF"
           "e",
           "/tree/n\xFE\xFF"});
  CHECK(cell.ok({"cat", "/tree/n\xFE\xFF"}) ==
        "<n\xFF"
        "e>");
  cell.ok({"rm", "--", "/tree/-rf"});
  cell.ok({"get", "-r", "/tree", cell.local("back")});
  CHECK(cell.read("back/n\n"
                  "e") == "<n\ne>");
  CHECK(test_support::entries_of(cell.local("back")) == names.size() - 1);
}

TEST_CASE("earlier versions are listed, read and made the present one again") {
  Cell cell;
  for (const char* text : {"one", "two", "three"}) {
    cell.write("f", text);
    cell.ok({"put", cell.local("f"), "/f"});
  }
  const auto versions = cell.json({"history", "/f"})["versions"];
  REQUIRE(versions.size() >= 3);
  CHECK(versions[0]["until"].is_null());
  std::uint64_t first = 0;
  for (const auto& version : versions) {
    const auto number = version["version"].get<std::uint64_t>();
    if (cell.ok({"cat", "--version", std::to_string(number), "/f"}) == "one")
      first = number;
  }
  REQUIRE(first != 0);
  cell.ok({"restore", "/f", std::to_string(first)});
  CHECK(cell.ok({"cat", "/f"}) == "one");
  cell.refused({"restore", "/f"}, "--at", "me", 2);
}

TEST_CASE("a full quota is told with its name, and nothing is half there") {
  Cell cell;
  cell.ok({"volume", "quota", "root", "1M"});
  cell.write("large", std::string(5 << 20, 'x'));
  const std::string said = cell.refused({"put", cell.local("large"), "/large"}, "troth df");
  CHECK(cell.ok({"ls", "-A", "/"}).empty());
  cell.ok({"volume", "quota", "root", "none"});
  cell.ok({"put", cell.local("large"), "/large"});
}

TEST_CASE("who overwrites somebody's version is told, or refused, as the volume says") {
  Cell cell;
  cell.write("f", "one");
  cell.ok({"put", cell.local("f"), "/f"});
  cell.ok({"volume", "policy", "root", "--write-conflict", "refuse"});
  CHECK(cell.json({"volume", "show", "root"})["write_conflict"] == "refuse");
  cell.write("f", "two");
  cell.ok({"put", cell.local("f"), "/f"});
  CHECK(cell.ok({"cat", "/f"}) == "two");
  cell.refused({"put", "-n", cell.local("f"), "/f"}, "is there already");
}
