#include "cli/shell/glob.hpp"

#include <map>

#include "tests/support/test.hpp"

using namespace cli;
using Strings = std::vector<std::string>;

namespace {

const std::map<std::string, Strings> kTree{
    {"", {"a.c", "b.c", "b.h", ".hidden", "dir/", "d2/", "odd*name", "[x]"}},
    {"dir/", {"x.c", "y.c", "sub/"}},
    {"d2/", {"x.c"}},
    {"dir/sub/", {"z.c"}},
    {"/", {"top/", "file"}},
    {"/top/", {"in"}},
    {"vol:/", {"v1", "v2"}},
    {"odd/", {"-rf", "home:", "x"}},
};

Strings names_in(const std::string& directory) {
  const auto found = kTree.find(directory);
  return found == kTree.end() ? Strings{} : found->second;
}

Strings expanded(std::string_view text) {
  const auto names = expand((*split_line(text))[0][0], &names_in);
  REQUIRE_OK(names);
  return *names;
}

}  // namespace

TEST_CASE("patterns become the names that fit, sorted") {
  CHECK(expanded("*.c") == Strings{"a.c", "b.c"});
  CHECK(expanded("b.?") == Strings{"b.c", "b.h"});
  CHECK(expanded("[ab].c") == Strings{"a.c", "b.c"});
  CHECK(expanded("[!a].c") == Strings{"b.c"});
  CHECK(expanded("*/x.c") == Strings{"d2/x.c", "dir/x.c"});
  CHECK(expanded("dir/*.c") == Strings{"dir/x.c", "dir/y.c"});
  CHECK(expanded("*/*/*.c") == Strings{"dir/sub/z.c"});
  CHECK(expanded("/t*/in") == Strings{"/top/in"});
  CHECK(expanded("/*") == Strings{"/file", "/top"});
  CHECK(expanded("d*/") == Strings{"d2/", "dir/"});
  CHECK(expanded("vol:/v*") == Strings{"vol:/v1", "vol:/v2"});
}

TEST_CASE("dots have to be typed, and what fits nothing stays as it is") {
  CHECK(expanded("*") == Strings{"[x]", "a.c", "b.c", "b.h", "d2", "dir", "odd*name"});
  CHECK(expanded(".h*") == Strings{".hidden"});
  CHECK(expanded("*.none") == Strings{"*.none"});
  CHECK(expanded("nowhere/*") == Strings{"nowhere/*"});
  CHECK(expanded("plain") == Strings{"plain"});
}

TEST_CASE("a name that a pattern fits is never taken for an option or a volume") {
  const auto names_here = [](const std::string& directory) {
    return directory.empty() ? names_in("odd/") : Strings{};
  };
  const auto found = expand((*split_line("*"))[0][0], names_here);
  REQUIRE_OK(found);
  CHECK(*found == Strings{"./-rf", "./home:", "x"});
  CHECK(expanded("odd/*") == Strings{"odd/-rf", "odd/home:", "odd/x"});
  CHECK(as_path("a:b") == "a:b");
  CHECK(as_path("home:/x") == "./home:/x");
}

TEST_CASE("G13: a pattern that fits too much is refused, not cut off") {
  const auto many = [](const std::string&) { return Strings(kMaxExpanded + 1, "name"); };
  CHECK_FAILS(expand((*split_line("*"))[0][0], many), common::ErrorCode::TooLarge);
}

TEST_CASE("what is quoted fits itself only") {
  CHECK(expanded("'*'.c") == Strings{"*.c"});
  CHECK(expanded("odd'*'n*") == Strings{"odd*name"});
  CHECK(expanded("'['*") == Strings{"[x]"});
  CHECK(expanded("a'*'*") == Strings{"a**"});
}
