// The commands that work with names and attributes, one by one, against real servers.

#include "fixture.hpp"

using namespace files_test;

TEST_CASE("names are made, listed, moved, linked and removed") {
  Cell cell;
  CHECK(cell.ok({"ls"}).empty());
  cell.ok({"mkdir", "-p", "/docs/a/b"});
  cell.ok({"touch", "/docs/hello.txt"});
  CHECK(cell.ok({"ls", "/docs"}) == "a\nhello.txt\n");
  CHECK(cell.ok({"ls", "-l", "/docs/hello.txt"}).starts_with("-rw-r--r--"));
  CHECK(cell.ok({"ls", "-la", "/docs"}).find(" ..\n") != std::string::npos);
  CHECK(cell.ok({"ls", "-R", "/"}).find("/docs/a:\nb\n") != std::string::npos);
  CHECK(cell.ok({"ls", "-F", "/docs"}) == "a/\nhello.txt\n");
  cell.ok({"mv", "/docs/hello.txt", "/docs/moved"});
  CHECK(cell.ok({"find", "/docs", "-type", "f"}) == "/docs/moved\n");
  CHECK(cell.ok({"find", "/", "-name", "mo*", "-maxdepth", "3", "-print0"}) ==
        std::string("/docs/moved") + '\0');
  CHECK(cell.ok({"find", "/docs", "-type", "f", "-size", "-1k"}) == "/docs/moved\n");
  CHECK(cell.ok({"find", "/docs", "-mmin", "-10", "-name", "b"}) == "/docs/a/b\n");
  cell.ok({"ln", "-s", "moved", "/docs/link"});
  cell.ok({"ln", "/docs/moved", "/docs/second"});
  CHECK(cell.ok({"readlink", "/docs/link"}) == "moved\n");
  CHECK(cell.ok({"ls", "-l", "/docs/link"}).ends_with(" /docs/link -> moved\n"));
  CHECK(cell.json({"stat", "/docs/second"})["nodes"][0]["links"] == 2);
  CHECK(cell.ok({"stat", "-L", "-c", "%n %s %a %F", "/docs/link"}) ==
        "/docs/link 0 644 regular empty file\n");
  cell.ok({"chmod", "u+x,go=", "/docs/moved"});
  CHECK(cell.ok({"stat", "-c", "%A", "/docs/second"}) == "-rwx------\n");
  cell.ok({"chmod", "-R", "700", "/docs"});
  CHECK(cell.ok({"stat", "-c", "%a", "/docs/a/b", "/docs/link"}) == "700\n777\n");
  cell.ok({"mkdir", "/one", "/two"});
  cell.ok({"touch", "/one/x"});
  cell.ok({"mv", "--exchange", "/one", "/two"});
  CHECK(cell.ok({"ls", "/two"}) == "x\n");
  cell.ok({"mv", "-n", "/docs/second", "/two/x"});
  cell.ok({"ls", "/docs/second"});

  cell.refused({"ln", "-f", "/docs/moved", "/docs/second"}, "the same file");
  cell.refused({"ln", "/docs", "/again"}, "troth ln -s");
  cell.refused({"rm", "/docs"}, "troth rm -r");
  cell.refused({"rm", "/"}, "not removed");
  cell.refused({"rm", "-r", "/docs/."}, "not removed");
  cell.refused({"rm", "/docs/moved/"}, "not a directory");
  cell.refused({"rmdir", "/docs"}, "empty");
  cell.ok({"rm", "-r", "/docs", "/one", "/two"});
  CHECK(cell.ok({"ls", "/"}).empty());
  cell.refused({"stat", "/docs/moved"}, "/docs: no such file or directory");
  cell.ok({"rm", "-f", "/docs"});
}

TEST_CASE("F46: rm removes links, and nothing that they lead to") {
  Cell cell;
  cell.ok({"mkdir", "-p", "/keep/deep", "/gone/d"});
  cell.ok({"touch", "/keep/file", "/keep/deep/file", "/gone/d/file"});
  cell.ok({"ln", "-s", "/keep", "/gone/d/absolute"});
  cell.ok({"ln", "-s", "../../keep", "/gone/d/relative"});
  cell.ok({"ln", "-s", "/keep/file", "/gone/file"});
  cell.ok({"ln", "-s", "/keep", "/link"});
  // Named itself, with a slash or without.
  cell.refused({"rm", "-r", "/link/"}, "not a directory");
  cell.ok({"rm", "-r", "/link"});
  cell.ok({"rm", "-r", "/gone"});
  CHECK(cell.ok({"find", "/"}) == "/\n/keep\n/keep/deep\n/keep/deep/file\n/keep/file\n");
}

TEST_CASE("mistakes are told with what to do, and what can be done is done") {
  Cell cell;
  cell.ok({"touch", "/a"});
  const auto result = cell.troth({"stat", "-c", "%n", "/missing", "/a"});
  CHECK(result.status.code == 1);
  CHECK(result.output == "/a\n");
  cell.refused({"stat", "/a/b"}, "/a: not a directory");
  cell.refused({"ls", "nowhere:/"}, "troth volume list");
  cell.refused({"mkdir", "/a"}, "is there already");
  cell.refused({"ls", "--no-such-option"}, "--help", "me", 2);
  cell.refused({"chmod", "999", "/a"}, "octal", "me", 2);
  cell.refused({"find", "/", "-type", "x"}, "expected one of", "me", 2);
  cell.refused({"mv", "/a", "/missing/b"}, "/missing: no such file");
  cell.refused({"mv", "/a", "/b/"}, "not a directory");
  cell.refused({"ls", "/" + std::string(300, 'n')}, "at most 255");
  cell.ok({"logout"});
  cell.refused({"ls", "/"}, "troth login");
  cell.refused({"rm", "-f", "/a"}, "troth login");
}

TEST_CASE("what is full and what takes room is shown for people and for programs") {
  Cell cell;
  cell.ok({"mkdir", "-p", "/tree/d"});
  cell.ok({"touch", "/tree/a", "/tree/d/b"});
  CHECK(cell.ok({"du", "-s", "-b", "/tree/a"}) == "0\t/tree/a\n");
  CHECK(cell.ok({"du", "-h", "/tree/d"}).ends_with("\t/tree/d\n"));
  CHECK(cell.json({"du", "-b", "/tree"})["entries"].size() == 2);
  const auto volumes = cell.json({"df"})["volumes"];
  REQUIRE(volumes.size() == 1);
  CHECK(volumes[0]["name"] == "root");
  CHECK(volumes[0]["bytes"].get<std::uint64_t>() >= volumes[0]["bytes_free"].get<std::uint64_t>());
  CHECK(cell.ok({"df", "-h", "/tree"}).find("root") != std::string::npos);
  CHECK(cell.ok({"df", "-i"}).starts_with("Volume"));
}

TEST_CASE("F61: names of all bytes go through every command") {
  Cell cell;
  Words names;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte != '/')
      names.push_back("n" + std::string(1, static_cast<char>(byte)) + "e");
  }
  names.insert(names.end(), {" ", "-rf", "...", std::string(255, 'l'), "\xF0\x9F\x98\x80"});
  cell.ok({"mkdir", "/tree"});
  Words touch{"touch", "--"};
  for (const std::string& name : names)
    touch.push_back("/tree/" + name);
  cell.ok(touch);
  CHECK(cell.json({"ls", "-A", "/tree"})["entries"].size() == names.size());
  // A pipe gets the bytes themselves.
  const std::string raw = cell.ok({"find", "/tree", "-type", "f", "-print0"});
  for (const std::string& name : names)
    CHECK(raw.find("/tree/" + name + std::string(1, '\0')) != std::string::npos);
  const std::string odd =
      "/tree/n\xFF"
      "e";
  cell.ok({"mv", odd, "/tree/n\xFE\xFF"});
  CHECK(cell.ok({"stat", "-c", "%n", "/tree/n\xFE\xFF"}) == "/tree/n\xFE\xFF\n");
  cell.ok({"rm", "--", "/tree/-rf"});
  cell.ok({"rm", "-r", "/tree"});
}

TEST_CASE("bash completes paths of the cell") {
  Cell cell;
  cell.ok({"mkdir", "-p", "/documents/a b", "/documents/c"});
  cell.ok({"touch", "/documents/dfile", "/other"});
  auto program = test_support::find_program("troth");
  REQUIRE_OK(program);
  // As bash calls it: the words of the line, split at colons, too.
  const auto completed = [&](const std::string& line, const std::string& words) {
    const std::string script =
        "source <(\"$0\" completion bash)\n"
        "PATH=\"$(dirname \"$0\"):$PATH\"\n"
        "COMP_LINE='" +
        line + "'; COMP_POINT=${#COMP_LINE}; COMP_WORDS=(" + words +
        ")\n"
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
        "_troth; printf '%s\\n' \"${COMPREPLY[@]}\"\n";
    test_support::ProcessOptions options;
    options.environment["TROTH_CELL"] = cell.live().directory();
    options.environment["TROTH_CREDENTIALS"] = cell.live().credentials();
    auto result = test_support::run_command("/bin/bash", {"-c", script, *program}, options);
    REQUIRE_OK(result);
    CAPTURE(result->error_output);
    return result->output;
  };
  CHECK(completed("troth ls /doc", "troth ls /doc") == "/documents/\n");
  CHECK(completed("troth ls /documents/", "troth ls /documents/") ==
        "/documents/a b/\n/documents/c/\n/documents/dfile\n");
  CHECK(completed("troth ls root:/oth", "troth ls root : /oth") == "/other\n");
  CHECK(completed("troth ls ro", "troth ls ro") == "root:/\n");
  CHECK(completed("troth ls /documents/a\\ ", "troth ls '/documents/a\\ '") == "/documents/a b/\n");
  CHECK(completed("troth volume cre", "troth volume cre") == "create\n");
}
