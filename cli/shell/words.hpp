#pragma once

// A line of the shell as words: quoting as sh has it, without variables, pipes and redirections.
// Pure.

#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"

namespace cli {

// One word, with what of it was quoted: a quoted '*' is no pattern.
struct Word {
  std::string text;
  std::vector<bool> quoted;  // for each byte of text
  std::size_t begin = 0;     // in the line
  std::size_t end = 0;

  // It has an unquoted *, ? or [.
  [[nodiscard]] bool is_pattern() const;
  // As fnmatch(3) takes it: what was quoted stands behind backslashes.
  [[nodiscard]] std::string pattern() const;
};
using Words = std::vector<Word>;

// The commands of a line: separated by ';' and line breaks; '#' begins a comment. InvalidArgument:
// a quote is not closed, or something unquoted means more to a shell than to this one (| & < > ( )
// $ `).
[[nodiscard]] common::Result<std::vector<Words>> split_line(std::string_view line);

// Whether the line ends within quotes or with a backslash, so that the next one belongs to it.
[[nodiscard]] bool goes_on(std::string_view line);

// The word that the cursor is at the end of, for completion: where it begins in the line, and its
// text as far as it is typed, quotes taken off. `words_before`: those of the same command.
struct Unfinished {
  std::size_t begin = 0;
  std::string text;
  std::vector<std::string> words_before;
};
[[nodiscard]] Unfinished unfinished_word(std::string_view line_up_to_cursor);

// Text so quoted that split_line() makes one word of it again.
[[nodiscard]] std::string quoted_word(std::string_view text);

}  // namespace cli
