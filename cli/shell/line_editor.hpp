#pragma once

// Editing one line: keys in, text and cursor out. Pure; terminal.hpp brings it together with a
// terminal.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cli {

enum class Key : std::uint8_t {
  Text,  // what was typed or pasted
  Enter,
  Tab,
  Backspace,
  Delete,
  Left,
  Right,
  WordLeft,
  WordRight,
  Home,
  End,
  Up,
  Down,
  KillToEnd,
  KillToBegin,
  KillWordBack,
  KillWord,
  Yank,
  Transpose,
  Search,  // Ctrl-R
  Clear,
  Interrupt,
  EndOfInput,
  Unknown,
};
struct KeyPress {
  Key key = Key::Unknown;
  std::string text;  // of Text
};

// Bytes of a terminal become keys. A key's bytes may come in parts.
class KeyDecoder {
 public:
  // The key that this byte completes.
  std::optional<KeyPress> feed(char byte);
  // Nothing more comes at once: a lone Escape is what was begun.
  std::optional<KeyPress> pause();
  [[nodiscard]] bool waits() const { return !begun_.empty(); }

 private:
  std::optional<KeyPress> sequence();
  std::string begun_;
};

class LineEditor {
 public:
  enum class Outcome : std::uint8_t { Going, Accepted, Interrupted, Ended, WantsCompletion, Clear };

  // `history`: the oldest first; outlives the editor.
  explicit LineEditor(const std::vector<std::string>& history) : history_(history) {}

  Outcome on(const KeyPress& press);

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::size_t cursor() const { return cursor_; }  // in bytes
  // Replaces [begin, cursor) by `with`, and puts the cursor behind it.
  void replace_to_cursor(std::size_t begin, std::string_view with);

  // What is being searched for; nullopt: nothing.
  [[nodiscard]] const std::optional<std::string>& search() const { return search_; }

 private:
  void insert(std::string_view text);
  void erase(std::size_t begin, std::size_t end, bool keep);
  [[nodiscard]] std::size_t before(std::size_t at) const;
  [[nodiscard]] std::size_t after(std::size_t at) const;
  [[nodiscard]] std::size_t word_before(std::size_t at) const;
  [[nodiscard]] std::size_t word_after(std::size_t at) const;
  void show_history(std::size_t index);
  void transpose();
  Outcome on_search(const KeyPress& press);
  bool find_back(std::size_t from);
  void move_or_edit(const KeyPress& press);

  const std::vector<std::string>& history_;
  std::string text_;
  std::size_t cursor_ = 0;
  std::string killed_;
  std::string unfinished_;                 // what was typed before history was looked at
  std::optional<std::size_t> at_history_;  // which entry is shown
  std::optional<std::string> search_;
};

// One line of a terminal: what is to be written, and how many columns the cursor is from the left.
struct ShownLine {
  std::string text;
  std::size_t cursor = 0;
};
// The part of the line that fits `width` columns behind the prompt and has the cursor in it.
[[nodiscard]] ShownLine show_line(std::string_view prompt, std::string_view text,
                                  std::size_t cursor, std::size_t width);

// What all of them begin with.
[[nodiscard]] std::string common_beginning(const std::vector<std::string>& words);

}  // namespace cli
