#pragma once

// Lines from a person at a terminal.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/shell/line_editor.hpp"
#include "common/result.hpp"

namespace cli {

// What Tab may make of the word at the cursor.
struct Completion {
  std::size_t begin = 0;           // of the word, in the line
  std::vector<std::string> words;  // whole words that it may become, not quoted; sorted
};
using Complete = std::function<Completion(std::string_view line_up_to_cursor)>;

enum class LineEnd : std::uint8_t { Line, Interrupted, Ended };
struct ReadLine {
  LineEnd end = LineEnd::Line;
  std::string text;
};

// Whether standard input and output are a terminal that can be edited on.
[[nodiscard]] bool can_edit();

// Asks for one line. The terminal is as it was when this returns, also if a signal ends or stops
// the process meanwhile. Main thread.
[[nodiscard]] common::Result<ReadLine> read_line(const std::string& prompt,
                                                 const std::vector<std::string>& history,
                                                 const Complete& complete);

}  // namespace cli
