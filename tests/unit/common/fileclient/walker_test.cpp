#include <cerrno>

#include "fixture.hpp"

using namespace fileclient_test;

TEST_CASE("a path is walked with one call, through attached volumes and links") {
  Files files;
  files.mkdir("/", "a");
  files.mkdir("/a", "b");
  const Fid file = files.create("/a/b", "f", "text");
  const auto before = files.server.calls("walk");
  CHECK(files.find("/a/b/f").fid == file);
  CHECK(files.server.calls("walk") == before + 1);
  CHECK(files.find("/a/b/f").path == "/a/b/f");
  CHECK(files.find("/a/./b/../b//f").fid == file);
  CHECK(files.find("root:/a/b/f").fid == file);
  CHECK(files.find("/../..").path == "/");

  files.create("/data", "in-data", "x");
  const Found inside = files.find("/data/in-data");
  CHECK(inside.fid.volume == kDataVolume);
  CHECK(inside.path == "/data/in-data");
  CHECK(files.find("data:/in-data").fid == inside.fid);
  CHECK(files.find("/data/..").path == "/");
  CHECK(files.find("/data").fid == Fid{kDataVolume, NodeId{1}});
}

TEST_CASE("F46: links are followed here, at most 40, and the last one only if asked for") {
  Files files;
  files.mkdir("/", "d");
  const Fid file = files.create("/d", "f", "text");
  files.symlink("/", "to-d", "d");
  files.symlink("/d", "to-f", "f");
  files.symlink("/d", "absolute", "/d/f");
  files.symlink("/d", "up", "../to-d/to-f");
  CHECK(files.find("/to-d/f").fid == file);
  CHECK(files.find("/to-d/to-f").fid == file);
  CHECK(files.find("/to-d/absolute").fid == file);
  CHECK(files.find("/to-d/up").fid == file);
  CHECK(files.find("/to-d", Follow::NotLast).is_symlink());
  CHECK(files.find("/to-d/", Follow::NotLast).is_directory());
  files.symlink("/", "loop", "loop");
  const auto looped = Walker(*files.client).find(Files::path("/loop"), Follow::Last);
  REQUIRE_FALSE(looped.has_value());
  CHECK(looped.error().error_number == ELOOP);
  std::string before = "d";
  for (int i = 0; i < 40; ++i) {
    files.symlink("/", "link" + std::to_string(i), before);
    before = "link" + std::to_string(i);
  }
  CHECK(files.find("/link39/f").fid == file);
  files.symlink("/", "one-too-many", before);
  CHECK_FALSE(Walker(*files.client).find(Files::path("/one-too-many/f"), Follow::Last).has_value());
}

TEST_CASE("what is not there is named, with the errno that a file system gives") {
  Files files;
  files.create("/", "f", "text");
  const auto failure = [&](std::string_view path) {
    const auto found = Walker(*files.client).find(Files::path(path), Follow::Last);
    REQUIRE_FALSE(found.has_value());
    return found.error();
  };
  CHECK(failure("/x/y").error_number == ENOENT);
  CHECK(failure("/x/y").message == "/x: no such file or directory");
  CHECK(failure("/f/y").error_number == ENOTDIR);
  CHECK(failure("/f/").error_number == ENOTDIR);
  CHECK(failure("/" + std::string(256, 'n')).error_number == ENAMETOOLONG);
  CHECK(failure("nowhere:/").code == ErrorCode::NotFound);
  CHECK(failure("nowhere:/").message.find("troth volume list") != std::string::npos);
  CHECK(failure("office:root:/").message.find("the cell in use is home") != std::string::npos);
  // A line break in a name does not become one in a message (F61).
  CHECK(failure("/a\nb").message == "/a\\nb: no such file or directory");
}

TEST_CASE("where a directory is closed, that is told, and not that nothing is there") {
  Files files;
  files.server.fail_next("lookup", {ErrorCode::PermissionDenied, "the mode of / says so"});
  const auto found = Walker(*files.client).find(Files::path("/missing/file"), Follow::Last);
  CHECK_FAILS(found, ErrorCode::PermissionDenied);
  CHECK(found.error().message.starts_with("/missing: "));
}

TEST_CASE("a spot is a name, whether or not something has it") {
  Files files;
  files.create("/", "f", "text");
  Walker walker(*files.client);
  auto there = walker.find_spot(Files::path("/f"));
  REQUIRE_OK(there);
  CHECK(there->node.has_value());
  CHECK(there->name == "f");
  auto missing = walker.find_spot(Files::path("/new/"));
  REQUIRE_OK(missing);
  CHECK_FALSE(missing->node.has_value());
  CHECK(missing->path() == "/new");
  CHECK_FALSE(walker.find_spot(Files::path("/")).has_value());
  CHECK_FALSE(walker.find_spot(Files::path("/no/x")).has_value());
}

TEST_CASE("a path of more names than a call takes is walked all the same") {
  Files files;
  std::string path = "/";
  for (int i = 0; i < 150; ++i) {
    files.mkdir(path, "d");
    path = joined(path, "d");
  }
  CHECK(files.find(path).path == path);
}
