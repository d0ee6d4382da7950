// What commands print, and what they make of words.

#include <cstdlib>
#include <ctime>

#include "cli/files/access_list.hpp"
#include "cli/files/find_tests.hpp"
#include "cli/files/mode_words.hpp"
#include "cli/files/out.hpp"
#include "cli/files/progress_line.hpp"
#include "cli/files/volumes.hpp"
#include "tests/support/test.hpp"

using namespace cli;
using common::ErrorCode;
using common::fileproto::Attributes;
using common::fileproto::NodeKind;

TEST_CASE("F61: names are shown so that a shell reads them, and none can play with the terminal") {
  CHECK(quoted_name("plain.txt") == "plain.txt");
  CHECK(quoted_name("a b") == "'a b'");
  CHECK(quoted_name("it's") == "\"it's\"");
  CHECK(quoted_name("a\nb") == "$'a\\nb'");
  CHECK(quoted_name("\x1B[31m") == "$'\\033[31m'");
  CHECK(quoted_name("\xFF") == "$'\\377'");
  CHECK(quoted_name("\xE2\x80\xAE"
                    "txt") == "$'\\342\\200\\256txt'");
  CHECK(quoted_name("\xC3\xA9") == "\xC3\xA9");
  CHECK(quoted_name("") == "''");
  CHECK(quoted_name("'$\\") == "$'\\'$\\\\'");
}

TEST_CASE("modes and sizes look as ls shows them") {
  Attributes node;
  node.mode = 0644;
  CHECK(mode_text(node) == "-rw-r--r--");
  node.kind = NodeKind::Directory;
  node.mode = 01777;
  CHECK(mode_text(node) == "drwxrwxrwt");
  node.governed = true;
  node.mode = 02750;
  CHECK(mode_text(node) == "drwxr-s---+");
  node.kind = NodeKind::Symlink;
  node.governed = false;
  node.mode = 04644;
  CHECK(mode_text(node) == "lrwSr--r--");
  CHECK(human_size(0) == "0");
  CHECK(human_size(1023) == "1023");
  CHECK(human_size(1024) == "1.0K");
  CHECK(human_size(1025) == "1.1K");
  CHECK(human_size(10 * 1024) == "10K");
  CHECK(human_size(10 * 1024 + 1) == "11K");
  CHECK(human_size(1024 * 1024 - 1) == "1.0M");
  CHECK(human_size(~std::uint64_t{0}) == "16E");
}

TEST_CASE("modes that people type") {
  const auto mode = [](std::string_view text, std::uint32_t present, bool directory = false) {
    const auto changed = changed_mode(text, present, directory);
    REQUIRE_OK(changed);
    return *changed;
  };
  CHECK(mode("0644", 0777) == 0644);
  CHECK(mode("1777", 0) == 01777);
  CHECK(mode("u+x", 0644) == 0744);
  CHECK(mode("+x", 0644) == 0755);
  CHECK(mode("go-rwx", 0755) == 0700);
  CHECK(mode("g=r,o=", 0777) == 0740);
  CHECK(mode("a=rX", 0644) == 0444);
  CHECK(mode("a=rX", 0744) == 0555);
  CHECK(mode("a+X", 0644, true) == 0755);
  CHECK(mode("u+s,g+s,+t", 0755) == 07755);
  CHECK(mode("u=rwx", 04755) == 0755);
  CHECK(mode("g=rx", 02770, true) == 02750);
  for (const char* wrong : {"", "8", "07777777", "u", "u+q", "x+r", "u+r,"}) {
    CAPTURE(wrong);
    CHECK_FAILS(changed_mode(wrong, 0, false), ErrorCode::InvalidArgument);
  }
}

TEST_CASE("sizes that people type") {
  CHECK(*parse_size("20G") == std::uint64_t{20} << 30);
  CHECK(*parse_size("1k") == 1024);
  CHECK(*parse_size("5MiB") == std::uint64_t{5} << 20);
  CHECK(*parse_size("7") == 7);
  for (const char* text : {"", "x", "-1", "5X", "1 G", "99999999999999999999", "16E", "1.5G"}) {
    CAPTURE(text);
    CHECK_FAILS(parse_size(text), ErrorCode::InvalidArgument);
  }
}

TEST_CASE("access lists are read as they are printed") {
  const PrincipalNames names{
      [](fileproto::AclWho, const std::string& name) -> common::Result<std::uint32_t> {
        if (name == "alice")
          return 7;
        if (name == "bob:friends")
          return 8;
        return common::fail(ErrorCode::NotFound, "nobody");
      },
      [](fileproto::AclWho who, std::uint32_t id) -> std::string {
        return id == 7 && who == fileproto::AclWho::User ? "alice" : std::to_string(id);
      }};
  const auto text = [&](std::string_view typed) {
    const auto entry = parse_acl_entry(typed, names);
    REQUIRE_OK(entry);
    return acl_entry_text(*entry, names);
  };
  CHECK(text("user:alice:rl") == "user:alice:rl");
  CHECK(text("u:alice:lr") == "user:alice:rl");
  CHECK(text("group:bob:friends:write") == "group:8:rlidwk");
  CHECK(text("deny:user:alice:w") == "deny:user:alice:w");
  CHECK(text("anyuser:read") == "anyuser:rl");
  CHECK(text("authuser:all") == "authuser:rlidwka");
  CHECK(text("user:alice:none") == "user:alice:none");
  // As AFS writes them.
  CHECK(text("alice rlidwk") == "user:alice:rlidwk");
  CHECK(text("bob:friends  read") == "group:8:rl");
  CHECK(text("-alice w") == "deny:user:alice:w");
  CHECK(text("system:anyuser rl") == "anyuser:rl");
  CHECK(text("system:authuser none") == "authuser:none");
  for (const char* wrong : {"alice:r", "user::r", "user:alice:rx", "user:alice", "everybody:r", "",
                            " rl", "- rl", "alice x"}) {
    CAPTURE(wrong);
    CHECK_FAILS(parse_acl_entry(wrong, names), ErrorCode::InvalidArgument);
  }
  CHECK_FAILS(parse_acl_entry("user:carol:r", names), ErrorCode::NotFound);
  fileproto::Acl acl;
  set_acl_entry(acl, *parse_acl_entry("user:alice:rl", names));
  set_acl_entry(acl, *parse_acl_entry("deny:user:alice:w", names));
  set_acl_entry(acl, *parse_acl_entry("user:alice:all", names));
  REQUIRE(acl.size() == 2);
  set_acl_entry(acl, *parse_acl_who("deny:user:alice", names));
  REQUIRE(acl.size() == 1);
  CHECK(acl[0].rights == fileproto::right::kAll);
  set_acl_entry(acl, *parse_acl_entry("-bob:friends d", names));
  set_acl_entry(acl, *parse_acl_entry("anyuser:l", names));
  CHECK(afs_list_text(acl, names) ==
        "Normal rights:\n  alice rlidwka\n  system:anyuser l\nNegative rights:\n  8 d\n");
}

TEST_CASE("find knows names, kinds, sizes and ages") {
  const common::WallTime now{std::chrono::hours(24 * 20'000)};
  Attributes node;
  node.size = 1000;
  node.mtime = (now - std::chrono::hours(50)).time_since_epoch().count();
  const auto matches = [&](const FindWords& words, const std::string& name = "File.c") {
    const auto tests = parse_find_tests(words, now);
    REQUIRE_OK(tests);
    return tests->match(name, "/dir/" + name, node, 2);
  };
  CHECK(matches({.name = "*.c"}));
  CHECK_FALSE(matches({.name = "*.h"}));
  CHECK_FALSE(matches({.name = "file*"}));
  CHECK(matches({.iname = "file*"}));
  CHECK(matches({.path = "/dir/*"}));
  CHECK(matches({.type = "f"}));
  CHECK_FALSE(matches({.type = "d"}));
  CHECK(matches({.size = "2"}));
  CHECK(matches({.size = "1000c"}));
  CHECK(matches({.size = "+999c"}));
  CHECK_FALSE(matches({.size = "+1000c"}));
  CHECK(matches({.size = "-2k"}));
  CHECK(matches({.size = "1M"}));
  CHECK(matches({.mtime = "2"}));
  CHECK(matches({.mtime = "+1"}));
  CHECK_FALSE(matches({.mtime = "-2"}));
  CHECK(matches({.mmin = "3000"}));
  CHECK_FALSE(matches({.mmin = "-3000"}));
  CHECK(matches({.maxdepth = "2"}));
  CHECK_FALSE(matches({.maxdepth = "1"}));
  CHECK_FALSE(matches({.mindepth = "3"}));
  CHECK_FALSE(matches({.empty = true}));
  for (const FindWords& words : {FindWords{.type = "x"}, FindWords{.size = "big"},
                                 FindWords{.size = "+"}, FindWords{.maxdepth = "-1"}})
    CHECK_FAILS(parse_find_tests(words, now), ErrorCode::InvalidArgument);
}

TEST_CASE("a transfer says how far it is, how fast, and how much longer") {
  ProgressState state;
  state.bytes_done = 50 << 20;
  state.bytes_total = 200 << 20;
  state.totals_known = true;
  state.current = "/docs/film.mkv";
  CHECK(progress_text(state, 10 << 20, 100) ==
        " 25% 50M of 200M, 10M/s, 0:15 left  /docs/film.mkv");
  CHECK(progress_text(state, 10 << 20, 45) == " 25% 50M of 200M, 10M/s, 0:15 left  ..lm.mkv");
  state.files_total = 12;
  state.files_done = 3;
  state.totals_known = false;
  state.current = "a\x1Bz";
  CHECK(progress_text(state, 0, 100) == "50M of 200M+, 3 of 12+ files, 0/s  a\\x1bz");
  CHECK(progress_text(state, 0, 10).size() == 10);
}
