#pragma once

// Patterns of the shell become names.

#include <functional>
#include <string>
#include <vector>

#include "cli/shell/words.hpp"
#include "common/result.hpp"

namespace cli {

// The names in a directory, as typed ("" is where one is, "/" the top, "vol:/" a volume's);
// directories have a slash behind them. Empty where it cannot be listed.
using NamesIn = std::function<std::vector<std::string>(const std::string& directory)>;

// What the word fits, sorted, spelled as it was typed; the word itself if it fits nothing or is no
// pattern. A leading dot has to be typed, and no pattern fits a slash. A name that would be taken
// for an option or a volume gets "./" before it. TooLarge: it fits more than kMaxExpanded names.
[[nodiscard]] common::Result<std::vector<std::string>> expand(const Word& word,
                                                              const NamesIn& names_in);

inline constexpr std::size_t kMaxExpanded = 100'000;

// The name as an argument that means a file and nothing else.
[[nodiscard]] std::string as_path(std::string name);

}  // namespace cli
