#include "cli/shell/line_editor.hpp"

#include "tests/support/test.hpp"

using namespace cli;
using Outcome = LineEditor::Outcome;

namespace {

const std::vector<std::string> kHistory{"ls", "cat file", "put a b"};

// Bytes as a terminal sends them, into an editor.
struct Typing {
  std::vector<std::string> history = kHistory;
  LineEditor editor{history};
  KeyDecoder decoder;

  Outcome type(std::string_view bytes) {
    Outcome outcome = Outcome::Going;
    for (const char byte : bytes) {
      if (const auto press = decoder.feed(byte))
        outcome = editor.on(*press);
    }
    return outcome;
  }
  [[nodiscard]] std::string shown() const {
    std::string text = editor.text();
    return text.insert(editor.cursor(), "|");
  }
};

}  // namespace

TEST_CASE("text is typed, moved in, and erased") {
  Typing t;
  t.type("hello");
  CHECK(t.shown() == "hello|");
  t.type("\x1B[D\x1B[D");
  CHECK(t.shown() == "hel|lo");
  t.type("X\x7F\x7F");
  CHECK(t.shown() == "he|lo");
  t.type("\x1B[3~");
  CHECK(t.shown() == "he|o");
  t.type("\x01");
  CHECK(t.shown() == "|heo");
  t.type("\x05");
  CHECK(t.shown() == "heo|");
  t.type("\x1B[H\x06\x06\x02");
  CHECK(t.shown() == "h|eo");
}

TEST_CASE("characters are whole, however many bytes they have") {
  Typing t;
  t.type("a\xC3\xA9\xF0\x9F\x98\x80z");
  CHECK(t.editor.text() == "a\xC3\xA9\xF0\x9F\x98\x80z");
  t.type("\x1B[D\x7F");
  CHECK(t.shown() == "a\xC3\xA9|z");
  t.type("\x1B[D\x1B[3~");
  CHECK(t.shown() == "a|z");
}

TEST_CASE("words and the rest of the line are killed and come back") {
  Typing t;
  t.type("cp one/two three\x17");
  CHECK(t.shown() == "cp one/two |");
  t.type("\x19\x19");
  CHECK(t.shown() == "cp one/two threethree|");
  t.type("\x15");
  CHECK(t.shown() == "|");
  t.type("\x19\x01\x0B");
  CHECK(t.shown() == "|");
  t.type(
      "\x19\x1B"
      "b\x1B"
      "b");
  CHECK(t.shown() == "cp one/|two threethree");
  t.type(
      "\x1B"
      "d");
  CHECK(t.shown() == "cp one/| threethree");
  t.type("\x1B[1;5C");
  CHECK(t.shown() == "cp one/ threethree|");
  t.type(
      "\x15"
      "ab\x14");
  CHECK(t.shown() == "ba|");
}

TEST_CASE("history is gone through, and what was typed before is still there") {
  Typing t;
  t.type("new");
  t.type("\x1B[A");
  CHECK(t.shown() == "put a b|");
  t.type("\x10\x10\x10\x10");
  CHECK(t.shown() == "ls|");
  t.type("\x1B[B\x0E");
  CHECK(t.shown() == "put a b|");
  t.type("\x1B[B");
  CHECK(t.shown() == "new|");
  t.type("\x1B[B");
  CHECK(t.shown() == "new|");
}

TEST_CASE("history is searched backwards") {
  Typing t;
  t.type(
      "\x12"
      "t");
  CHECK(t.editor.search() == "t");
  CHECK(t.editor.text() == "put a b");
  t.type("\x12");
  CHECK(t.editor.text() == "cat file");
  t.type(" f");
  CHECK(t.editor.text() == "cat file");
  CHECK(t.type("\r") == Outcome::Accepted);
  CHECK(t.editor.text() == "cat file");
  Typing u;
  u.type(
      "typed\x12"
      "ls\x03");
  CHECK_FALSE(u.editor.search().has_value());
  CHECK(u.editor.text() == "typed");
}

TEST_CASE("keys that end a line") {
  Typing t;
  CHECK(t.type("x\r") == Outcome::Accepted);
  CHECK(t.type("\n") == Outcome::Accepted);
  CHECK(t.type("\x03") == Outcome::Interrupted);
  CHECK(t.type("\t") == Outcome::WantsCompletion);
  CHECK(t.type("\x0C") == Outcome::Clear);
  CHECK(t.type("\x01\x04") == Outcome::Going);
  CHECK(t.shown() == "|");
  CHECK(t.type("\x04") == Outcome::Ended);
}

TEST_CASE("a lone Escape and unknown keys do nothing, and nothing of them is typed") {
  Typing t;
  t.type("a\x1B");
  CHECK(t.decoder.waits());
  const auto press = t.decoder.pause();
  REQUIRE(press.has_value());
  t.editor.on(*press);
  t.type("b\x1B[99;99~c\x1BOPd\x1B[Me");
  CHECK(t.shown() == "abcde|");
  // A sequence without an end gives up.
  t.type("\x1B[1111111111111111x");
  CHECK(t.editor.text().starts_with("abcde"));
}

TEST_CASE("the part of a long line with the cursor in it is shown") {
  CHECK(show_line("> ", "abc", 3, 20).text == "> abc");
  CHECK(show_line("> ", "abc", 1, 20).cursor == 3);
  const ShownLine end = show_line("> ", "abcdefghij", 10, 8);
  CHECK(end.text == "> ghij");
  CHECK(end.cursor == 6);
  CHECK(show_line("> ", "abcdefghij", 0, 8).text == "> abcde");
  CHECK(show_line("> ",
                  "a\x01\xFF"
                  "b",
                  0, 20)
            .text == "> a??b");
  CHECK(show_line("> ", "\xC3\xA9x", 2, 20).cursor == 3);
  CHECK(show_line("a long prompt> ", "abc", 3, 4).text.starts_with("a long prompt> "));
}

TEST_CASE("Tab puts a word in the place of its beginning") {
  Typing t;
  t.type("ls /do x\x1B[D\x1B[D");
  t.editor.replace_to_cursor(3, "/docs/");
  CHECK(t.shown() == "ls /docs/| x");
  CHECK(common_beginning({"/a/bc", "/a/bd", "/a/b"}) == "/a/b");
  CHECK(common_beginning({"x"}) == "x");
  CHECK(common_beginning({"a", "b"}).empty());
  CHECK(common_beginning({}).empty());
  CHECK(common_beginning({"\xC3\xA9", "\xC3\xA8"}).empty());
}
