#include "cli/shell/words.hpp"

#include "tests/support/test.hpp"

using namespace cli;
using common::ErrorCode;
using Lines = std::vector<std::vector<std::string>>;

namespace {

Lines split(std::string_view line) {
  const auto commands = split_line(line);
  REQUIRE_OK(commands);
  Lines out;
  for (const Words& words : *commands) {
    out.emplace_back();
    for (const Word& word : words)
      out.back().push_back(word.text);
  }
  return out;
}

}  // namespace

TEST_CASE("a line is split and unquoted as sh does it") {
  CHECK(split("") == Lines{});
  CHECK(split("  ls   -l  /a ") == Lines{{"ls", "-l", "/a"}});
  CHECK(split("a;b ; c") == Lines{{"a"}, {"b"}, {"c"}});
  CHECK(split("a\nb") == Lines{{"a"}, {"b"}});
  CHECK(split("ls # a comment ; not a command") == Lines{{"ls"}});
  CHECK(split("ls a#b") == Lines{{"ls", "a#b"}});
  CHECK(split("'a b' \"c d\" e\\ f") == Lines{{"a b", "c d", "e f"}});
  CHECK(split("a'b'\"c\"d") == Lines{{"abcd"}});
  CHECK(split("''") == Lines{{""}});
  CHECK(split("'it'\\''s'") == Lines{{"it's"}});
  CHECK(split(R"("a\"b\\c\d")") == Lines{{R"(a"b\c\d)"}});
  CHECK(split("'a;b#c|d'") == Lines{{"a;b#c|d"}});
  CHECK(split(R"($'a\nb\t\\\'\x41\101\e')") == Lines{{"a\nb\t\\'AA\x1B"}});
  CHECK(split(R"($'\377\xfe')") == Lines{{"\377\376"}});
  CHECK(split("a\\\nb") == Lines{{"ab"}});
  CHECK(split("cost$ 5$") == Lines{{"cost$", "5$"}});
}

TEST_CASE("what means more to a shell is refused, and not taken for a name") {
  for (const char* line : {"ls | less", "ls > x", "a & b", "(ls)", "echo `ls`", "ls $HOME",
                           "ls ${x}", "ls $(x)", "cat < x"}) {
    CAPTURE(line);
    const auto commands = split_line(line);
    CHECK_FAILS(commands, ErrorCode::InvalidArgument);
    CHECK(commands.error().message.find("quotes") != std::string::npos);
  }
}

TEST_CASE("an open quote goes on in the next line") {
  CHECK(goes_on("ls 'a"));
  CHECK(goes_on("ls \"a"));
  CHECK(goes_on("ls $'a"));
  CHECK(goes_on("ls a\\"));
  CHECK_FALSE(goes_on("ls 'a'"));
  CHECK_FALSE(goes_on("ls | x"));
  CHECK_FAILS(split_line("ls 'a"), ErrorCode::InvalidArgument);
}

TEST_CASE("only what is not quoted is a pattern") {
  const auto word = [](std::string_view text) { return (*split_line(text))[0][0]; };
  CHECK(word("*.c").is_pattern());
  CHECK(word("a?b").is_pattern());
  CHECK(word("[ab]").is_pattern());
  CHECK_FALSE(word("'*.c'").is_pattern());
  CHECK_FALSE(word("\\*").is_pattern());
  CHECK_FALSE(word("a]b").is_pattern());
  CHECK(word("'*'*").pattern() == "\\**");
}

TEST_CASE("the word at the cursor, for Tab") {
  const auto at = [](std::string_view line) { return unfinished_word(line); };
  CHECK(at("").words_before.empty());
  CHECK(at("l").text == "l");
  CHECK(at("ls ").begin == 3);
  CHECK(at("ls ").words_before == std::vector<std::string>{"ls"});
  CHECK(at("ls /a").text == "/a");
  CHECK(at("ls /a").begin == 3);
  CHECK(at("ls 'a b").text == "a b");
  CHECK(at("ls 'a b").begin == 3);
  CHECK(at("ls a\\ b").text == "a b");
  CHECK(at("ls x; cat -n /a").text == "/a");
  CHECK(at("ls x; cat -n /a").words_before == std::vector<std::string>{"cat", "-n"});
  CHECK(at("ls x;").words_before.empty());
  CHECK(at("ls x;").text.empty());
  CHECK(at("ls $'a\\n").text == "a\n");
}

TEST_CASE("what is quoted is one word again, whatever bytes it has") {
  for (const std::string text : {"plain", "a b", "it's", "\"", "a\nb", "\xFF\x01", "$x", "*", "~",
                                 "#", "a'b\"c$", "\\", "-", "\xC3\xA9", "\x7F", "a;b"}) {
    CAPTURE(text);
    const Lines lines = split("x " + quoted_word(text));
    REQUIRE(lines.size() == 1);
    REQUIRE(lines[0].size() == 2);
    CHECK(lines[0][1] == text);
    CHECK_FALSE((*split_line("x " + quoted_word(text)))[0][1].is_pattern());
  }
  for (int byte = 1; byte < 256; ++byte) {
    const std::string text = "n" + std::string(1, static_cast<char>(byte));
    CHECK(split("x " + quoted_word(text))[0][1] == text);
  }
}
