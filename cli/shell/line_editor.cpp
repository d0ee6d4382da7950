#include "cli/shell/line_editor.hpp"

#include <algorithm>

#include "common/utf8.hpp"

namespace cli {
namespace {

constexpr char kEscape = '\x1B';

// Ctrl-A is 1 and so on; 0 where a key does nothing.
Key control_key(char byte) {
  switch (byte) {
    case 1:
      return Key::Home;
    case 2:
      return Key::Left;
    case 3:
      return Key::Interrupt;
    case 4:
      return Key::EndOfInput;
    case 5:
      return Key::End;
    case 6:
      return Key::Right;
    case 8:
    case 127:
      return Key::Backspace;
    case 9:
      return Key::Tab;
    case 10:
    case 13:
      return Key::Enter;
    case 11:
      return Key::KillToEnd;
    case 12:
      return Key::Clear;
    case 14:
      return Key::Down;
    case 16:
      return Key::Up;
    case 18:
      return Key::Search;
    case 20:
      return Key::Transpose;
    case 21:
      return Key::KillToBegin;
    case 23:
      return Key::KillWordBack;
    case 25:
      return Key::Yank;
    default:
      return Key::Unknown;
  }
}

// Behind ESC [ or ESC O.
Key sequence_key(std::string_view sequence) {
  struct Known {
    std::string_view bytes;
    Key key;
  };
  static constexpr Known kKnown[] = {
      {"A", Key::Up},          {"B", Key::Down},         {"C", Key::Right},
      {"D", Key::Left},        {"H", Key::Home},         {"F", Key::End},
      {"1~", Key::Home},       {"7~", Key::Home},        {"4~", Key::End},
      {"8~", Key::End},        {"3~", Key::Delete},      {"1;5C", Key::WordRight},
      {"1;5D", Key::WordLeft}, {"1;3C", Key::WordRight}, {"1;3D", Key::WordLeft}};
  for (const Known& known : kKnown) {
    if (known.bytes == sequence)
      return known.key;
  }
  return Key::Unknown;
}

Key meta_key(char byte) {
  switch (byte) {
    case 'b':
      return Key::WordLeft;
    case 'f':
      return Key::WordRight;
    case 'd':
      return Key::KillWord;
    case '\x7F':
    case '\b':
      return Key::KillWordBack;
    default:
      return Key::Unknown;
  }
}

bool is_continuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U;
}

std::size_t utf8_length(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

bool is_word_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         static_cast<unsigned char>(c) >= 0x80;
}

// Of one character: how it is shown, always in as many columns as it has code points.
std::string shown(std::string_view character) {
  const common::Utf8Step step = common::decode_utf8(character);
  return !step.valid || common::is_control(step.code_point) ? "?" : std::string(character);
}

}  // namespace

std::optional<KeyPress> KeyDecoder::sequence() {
  const bool bracket = begun_.size() > 1 && (begun_[1] == '[' || begun_[1] == 'O');
  if (begun_.size() == 1)
    return std::nullopt;
  if (!bracket) {
    const KeyPress press{meta_key(begun_[1]), {}};
    begun_.clear();
    return press;
  }
  constexpr std::size_t kLongest = 16;
  const char last = begun_.back();
  const bool ended = begun_.size() > 2 && last >= '@' && last <= '~';
  if (!ended && begun_.size() < kLongest)
    return std::nullopt;
  const KeyPress press{sequence_key(std::string_view(begun_).substr(2)), {}};
  begun_.clear();
  return press;
}

std::optional<KeyPress> KeyDecoder::feed(char byte) {
  if (!begun_.empty() && begun_[0] == kEscape) {
    begun_ += byte;
    return sequence();
  }
  if (!begun_.empty()) {
    if (is_continuation(byte)) {
      begun_ += byte;
      if (begun_.size() < utf8_length(begun_[0]))
        return std::nullopt;
    }
    KeyPress press{Key::Text, std::move(begun_)};
    begun_.clear();
    if (!is_continuation(byte)) {
      // It was cut off, and this one begins another.
      if (static_cast<unsigned char>(byte) >= 0xC0 || byte == kEscape)
        begun_ = byte;
    }
    return press;
  }
  if (byte == kEscape || static_cast<unsigned char>(byte) >= 0xC0) {
    begun_ = byte;
    return std::nullopt;
  }
  if ((byte >= 0 && byte < ' ') || byte == '\x7F')
    return KeyPress{control_key(byte), {}};
  return KeyPress{Key::Text, std::string(1, byte)};
}

std::optional<KeyPress> KeyDecoder::pause() {
  if (begun_.empty())
    return std::nullopt;
  const bool escape = begun_[0] == kEscape;
  KeyPress press{escape ? Key::Unknown : Key::Text, escape ? std::string() : begun_};
  begun_.clear();
  return press;
}

void LineEditor::insert(std::string_view text) {
  text_.insert(cursor_, text);
  cursor_ += text.size();
}

void LineEditor::erase(std::size_t begin, std::size_t end, bool keep) {
  if (keep)
    killed_ = text_.substr(begin, end - begin);
  text_.erase(begin, end - begin);
  cursor_ = begin;
}

void LineEditor::replace_to_cursor(std::size_t begin, std::string_view with) {
  text_.replace(begin, cursor_ - begin, with);
  cursor_ = begin + with.size();
}

std::size_t LineEditor::before(std::size_t at) const {
  if (at == 0)
    return 0;
  do {
    --at;
  } while (at > 0 && is_continuation(text_[at]));
  return at;
}

std::size_t LineEditor::after(std::size_t at) const {
  if (at >= text_.size())
    return text_.size();
  do {
    ++at;
  } while (at < text_.size() && is_continuation(text_[at]));
  return at;
}

std::size_t LineEditor::word_before(std::size_t at) const {
  while (at > 0 && !is_word_byte(text_[at - 1]))
    --at;
  while (at > 0 && is_word_byte(text_[at - 1]))
    --at;
  return at;
}

std::size_t LineEditor::word_after(std::size_t at) const {
  while (at < text_.size() && !is_word_byte(text_[at]))
    ++at;
  while (at < text_.size() && is_word_byte(text_[at]))
    ++at;
  return at;
}

void LineEditor::show_history(std::size_t index) {
  if (!at_history_)
    unfinished_ = text_;
  if (index < history_.size()) {
    at_history_ = index;
    text_ = history_[index];
  } else {
    at_history_.reset();
    text_ = unfinished_;
  }
  cursor_ = text_.size();
}

void LineEditor::transpose() {
  if (cursor_ == 0 || text_.empty())
    return;
  const std::size_t second = cursor_ == text_.size() ? before(cursor_) : cursor_;
  const std::size_t first = before(second);
  const std::size_t end = after(second);
  if (first == second)
    return;
  const std::string swapped =
      text_.substr(second, end - second) + text_.substr(first, second - first);
  text_.replace(first, end - first, swapped);
  cursor_ = end;
}

bool LineEditor::find_back(std::size_t from) {
  for (std::size_t i = from; i > 0; --i) {
    const std::size_t at = history_[i - 1].find(*search_);
    if (at == std::string::npos)
      continue;
    if (!at_history_)
      unfinished_ = text_;
    at_history_ = i - 1;
    text_ = history_[i - 1];
    cursor_ = at;
    return true;
  }
  return false;
}

// Typing narrows the search; Ctrl-R goes on to older lines; anything else takes what was found.
LineEditor::Outcome LineEditor::on_search(const KeyPress& press) {
  switch (press.key) {
    case Key::Text:
      *search_ += press.text;
      static_cast<void>(find_back(at_history_ ? *at_history_ + 1 : history_.size()));
      return Outcome::Going;
    case Key::Backspace:
      if (!search_->empty())
        search_->pop_back();
      return Outcome::Going;
    case Key::Search:
      static_cast<void>(find_back(at_history_.value_or(history_.size())));
      return Outcome::Going;
    case Key::Interrupt:
      search_.reset();
      if (at_history_)
        show_history(history_.size());
      return Outcome::Going;
    default:
      search_.reset();
      return on(press);
  }
}

void LineEditor::move_or_edit(const KeyPress& press) {
  switch (press.key) {
    case Key::Text:
      return insert(press.text);
    case Key::Backspace:
      return erase(before(cursor_), cursor_, false);
    case Key::Delete:
      return erase(cursor_, after(cursor_), false);
    case Key::Left:
      cursor_ = before(cursor_);
      return;
    case Key::Right:
      cursor_ = after(cursor_);
      return;
    case Key::WordLeft:
      cursor_ = word_before(cursor_);
      return;
    case Key::WordRight:
      cursor_ = word_after(cursor_);
      return;
    case Key::Home:
      cursor_ = 0;
      return;
    case Key::End:
      cursor_ = text_.size();
      return;
    case Key::Up:
      if (const std::size_t at = at_history_.value_or(history_.size()); at > 0)
        show_history(at - 1);
      return;
    case Key::Down:
      if (at_history_)
        show_history(*at_history_ + 1);
      return;
    case Key::KillToEnd:
      return erase(cursor_, text_.size(), true);
    case Key::KillToBegin:
      return erase(0, cursor_, true);
    case Key::KillWordBack:
      return erase(word_before(cursor_), cursor_, true);
    case Key::KillWord:
      return erase(cursor_, word_after(cursor_), true);
    case Key::Yank:
      return insert(killed_);
    case Key::Transpose:
      return transpose();
    default:
      return;
  }
}

LineEditor::Outcome LineEditor::on(const KeyPress& press) {
  if (search_)
    return on_search(press);
  switch (press.key) {
    case Key::Enter:
      return Outcome::Accepted;
    case Key::Tab:
      return Outcome::WantsCompletion;
    case Key::Interrupt:
      return Outcome::Interrupted;
    case Key::Clear:
      return Outcome::Clear;
    case Key::Search:
      search_.emplace();
      return Outcome::Going;
    case Key::EndOfInput:
      if (text_.empty())
        return Outcome::Ended;
      erase(cursor_, after(cursor_), false);
      return Outcome::Going;
    default:
      move_or_edit(press);
      return Outcome::Going;
  }
}

ShownLine show_line(std::string_view prompt, std::string_view text, std::size_t cursor,
                    std::size_t width) {
  std::vector<std::string> cells;
  std::size_t cursor_cell = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (at <= cursor)
      cursor_cell = cells.size();
    const std::size_t length =
        std::max<std::size_t>(1, common::decode_utf8(text.substr(at)).length);
    cells.push_back(shown(text.substr(at, length)));
    at += length;
  }
  if (cursor >= text.size())
    cursor_cell = cells.size();
  std::size_t prompt_width = 0;
  for (const char c : prompt)
    prompt_width += is_continuation(c) ? 0 : 1;
  // One column stays free, for the cursor behind the last character.
  const std::size_t room = width > prompt_width + 2 ? width - prompt_width - 1 : 1;
  const std::size_t first = cursor_cell >= room ? cursor_cell - room + 1 : 0;
  ShownLine line;
  line.text = prompt;
  for (std::size_t i = first; i < std::min(cells.size(), first + room); ++i)
    line.text += cells[i];
  line.cursor = prompt_width + cursor_cell - first;
  return line;
}

std::string common_beginning(const std::vector<std::string>& words) {
  if (words.empty())
    return {};
  std::string common = words[0];
  for (const std::string& word : words) {
    std::size_t same = 0;
    while (same < common.size() && same < word.size() && common[same] == word[same])
      ++same;
    // Not into the middle of a character.
    while (same > 0 && same < common.size() && is_continuation(common[same]))
      --same;
    common.resize(same);
  }
  return common;
}

}  // namespace cli
