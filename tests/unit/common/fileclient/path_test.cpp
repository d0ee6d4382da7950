#include "common/fileclient/remote_path.hpp"
#include "tests/support/test.hpp"

using namespace common::fileclient;
using common::ErrorCode;

TEST_CASE("paths name a volume and a cell before the first slash, and nowhere else") {
  const auto is = [](std::string_view text, RemotePath expected) {
    CAPTURE(text);
    const auto path = parse_remote_path(text);
    REQUIRE_OK(path);
    CHECK(*path == expected);
    // What is printed means the same again.
    const auto again = parse_remote_path(to_text(*path));
    REQUIRE_OK(again);
    CHECK(*again == expected);
  };
  is("/", {"", "", "/", false});
  is("/a/b", {"", "", "/a/b", false});
  is("/a:b/c", {"", "", "/a:b/c", false});
  is("home:/a", {"", "home", "/a", false});
  is("home:", {"", "home", "/", false});
  is("office:home:/a/b", {"office", "home", "/a/b", false});
  is("a", {"", "", "a", true});
  is("a:b", {"", "", "a:b", true});
  is("./a:/b", {"", "", "./a:/b", true});
  is(":", {"", "", ":", true});
  is("\xFF\n", {"", "", "\xFF\n", true});
}

TEST_CASE("paths that name nothing are refused") {
  CHECK_FAILS(parse_remote_path(""), ErrorCode::InvalidArgument);
  CHECK_FAILS(parse_remote_path(std::string_view("a\0b", 3)), ErrorCode::InvalidArgument);
  CHECK_FAILS(parse_remote_path("a b:/x"), ErrorCode::InvalidArgument);
  CHECK_FAILS(parse_remote_path("-v:/x"), ErrorCode::InvalidArgument);
  CHECK_FAILS(parse_remote_path("a:b:c:/x"), ErrorCode::InvalidArgument);
  CHECK_FAILS(parse_remote_path(std::string(65, 'v') + ":/x"), ErrorCode::InvalidArgument);
  CHECK_FAILS(parse_remote_path(std::string(kMaxPathBytes + 1, 'a')), ErrorCode::TooLarge);
}

TEST_CASE("a name that looks like a volume is printed so that it is none") {
  RemotePath path;
  path.path = "a:/b";
  path.relative = true;
  CHECK(to_text(path) == "./a:/b");
}

TEST_CASE("relative paths begin where the caller is") {
  const RemotePath here{"", "home", "/docs", false};
  CHECK(seen_from(here, *parse_remote_path("a")).path == "/docs/a");
  CHECK(seen_from(here, *parse_remote_path("a")).volume == "home");
  CHECK(seen_from(here, *parse_remote_path("/a")).path == "/a");
  CHECK(seen_from(here, *parse_remote_path("/a")).volume.empty());
  CHECK(seen_from(here, *parse_remote_path("..")).path == "/docs/..");
}

TEST_CASE("names of a path, and its last one") {
  using Names = std::vector<std::string>;
  CHECK(names_of("//a/./b//") == Names{"a", "b"});
  CHECK(names_of("/") == Names{});
  CHECK(names_of("a/../b") == Names{"a", "..", "b"});
  CHECK(base_name("/a/b/") == "b");
  CHECK(base_name("/") == "");
  CHECK(base_name("/a/..") == "");
  CHECK(base_name("a") == "a");
  CHECK(joined("/", "a") == "/a");
  CHECK(joined("/a", "b") == "/a/b");
  CHECK(joined("", "b") == "b");
  CHECK(parse_remote_path("/a/")->names_directory());
  CHECK(parse_remote_path("/a/..")->names_directory());
  CHECK_FALSE(parse_remote_path("/a/b")->names_directory());
}
