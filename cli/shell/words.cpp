#include "cli/shell/words.hpp"

#include <optional>

#include "cli/files/out.hpp"

namespace cli {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;

namespace {

constexpr std::string_view kBlank = " \t\r";
constexpr std::string_view kSpecial = "|&<>()`";

// Reads one line from left to right.
class Splitter {
 public:
  explicit Splitter(std::string_view line) : line_(line) {}

  Status run() {
    while (at_ < line_.size())
      TROTH_TRY_VOID(step());
    end_word();
    end_command();
    return {};
  }

  std::vector<Words> commands;
  bool open = false;  // the line ends within a quote or with a backslash
  std::optional<Word> word;

 private:
  void begin_word() {
    if (!word) {
      word.emplace();
      word->begin = at_;
    }
  }
  void end_word() {
    if (!word)
      return;
    word->end = at_;
    words_.push_back(*std::move(word));
    word.reset();
  }
  void end_command() {
    if (!words_.empty())
      commands.push_back(std::move(words_));
    words_.clear();
  }
  void put(char c, bool quoted) {
    word->text += c;
    word->quoted.push_back(quoted);
  }

  Status step() {
    const char c = line_[at_];
    if (kBlank.find(c) != std::string_view::npos) {
      end_word();
    } else if (c == ';' || c == '\n') {
      end_word();
      end_command();
    } else if (c == '#' && !word) {
      at_ = std::min(line_.find('\n', at_), line_.size());
      return {};
    } else if (c == '\'') {
      return single();
    } else if (c == '"') {
      return twice();
    } else if (c == '$' && at_ + 1 < line_.size() && line_[at_ + 1] == '\'') {
      return escaped();
    } else if (c == '\\') {
      return backslash();
    } else if (kSpecial.find(c) != std::string_view::npos ||
               (c == '$' && at_ + 1 < line_.size() && is_name(line_[at_ + 1]))) {
      return fail(ErrorCode::InvalidArgument,
                  "\"{}\" means nothing to this shell; put quotes around it where it is part of a "
                  "name",
                  c);
    } else {
      begin_word();
      put(c, false);
    }
    ++at_;
    return {};
  }

  static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '{' || c == '(';
  }

  Status unclosed(char quote) {
    open = true;
    at_ = line_.size();
    return fail(ErrorCode::InvalidArgument, "a {} is not closed", quote);
  }

  Status single() {
    begin_word();
    const std::size_t end = line_.find('\'', at_ + 1);
    for (std::size_t i = at_ + 1; i < std::min(end, line_.size()); ++i)
      put(line_[i], true);
    if (end == std::string_view::npos)
      return unclosed('\'');
    at_ = end + 1;
    return {};
  }

  Status twice() {
    begin_word();
    for (++at_; at_ < line_.size() && line_[at_] != '"'; ++at_) {
      const bool escape = line_[at_] == '\\' && at_ + 1 < line_.size() &&
                          std::string_view("\\\"$`").find(line_[at_ + 1]) != std::string_view::npos;
      if (escape)
        ++at_;
      put(line_[at_], true);
    }
    if (at_ >= line_.size())
      return unclosed('"');
    ++at_;
    return {};
  }

  // $'...': as bash, ksh and zsh have it, for bytes that cannot be typed.
  Status escaped() {
    begin_word();
    for (at_ += 2; at_ < line_.size() && line_[at_] != '\''; ++at_) {
      if (line_[at_] != '\\' || at_ + 1 >= line_.size()) {
        put(line_[at_], true);
        continue;
      }
      ++at_;
      put(escape_at(), true);
    }
    if (at_ >= line_.size())
      return unclosed('\'');
    ++at_;
    return {};
  }

  char escape_at() {
    static constexpr std::string_view kLetters = "abtnvfr";
    const char c = line_[at_];
    if (const std::size_t i = kLetters.find(c); i != std::string_view::npos)
      return static_cast<char>(7 + i);
    if (c == 'e')
      return '\x1B';
    if (c >= '0' && c <= '7')
      return number(8, 3, at_);
    if (c == 'x' && at_ + 1 < line_.size() && digit(line_[at_ + 1], 16) >= 0)
      return number(16, 2, at_ + 1);
    return c;
  }
  static int digit(char c, int base) {
    const int value = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : base;
    return value < base ? value : -1;
  }
  char number(int base, int most, std::size_t from) {
    int value = 0;
    std::size_t i = from;
    for (int digits = 0; digits < most && i < line_.size() && digit(line_[i], base) >= 0; ++digits)
      value = value * base + digit(line_[i++], base);
    at_ = i - 1;
    return static_cast<char>(value);
  }

  Status backslash() {
    begin_word();
    if (at_ + 1 >= line_.size()) {
      ++at_;
      open = true;
      return fail(ErrorCode::InvalidArgument, "nothing follows the backslash");
    }
    if (line_[at_ + 1] != '\n')
      put(line_[at_ + 1], true);
    at_ += 2;
    return {};
  }

  std::string_view line_;
  std::size_t at_ = 0;
  Words words_;

 public:
  [[nodiscard]] const Words& words() const { return words_; }
};

}  // namespace

bool Word::is_pattern() const {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!quoted[i] && (text[i] == '*' || text[i] == '?' || text[i] == '['))
      return true;
  }
  return false;
}

std::string Word::pattern() const {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (quoted[i] && std::string_view("*?[]\\").find(text[i]) != std::string_view::npos)
      out += '\\';
    out += text[i];
  }
  return out;
}

Result<std::vector<Words>> split_line(std::string_view line) {
  Splitter splitter(line);
  TROTH_TRY_VOID(splitter.run());
  return std::move(splitter.commands);
}

bool goes_on(std::string_view line) {
  Splitter splitter(line);
  return !splitter.run() && splitter.open;
}

Unfinished unfinished_word(std::string_view line) {
  Splitter splitter(line);
  const Status whole = splitter.run();
  Unfinished unfinished;
  // A word that ends right at the cursor is still being typed.
  Words words = splitter.words();
  if (whole && !splitter.commands.empty() && !line.empty() && line.back() != ';' &&
      line.back() != '\n')
    words = splitter.commands.back();
  if (splitter.word) {
    unfinished.begin = splitter.word->begin;
    unfinished.text = splitter.word->text;
  } else if (!words.empty() && words.back().end == line.size()) {
    unfinished.begin = words.back().begin;
    unfinished.text = words.back().text;
    words.pop_back();
  } else {
    unfinished.begin = line.size();
  }
  for (const Word& word : words)
    unfinished.words_before.push_back(word.text);
  return unfinished;
}

std::string quoted_word(std::string_view text) {
  return quoted_name(text);
}

}  // namespace cli
