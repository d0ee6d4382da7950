#pragma once

#include <string>
#include <vector>

#include "cli/files/files.hpp"

namespace cli {

// What the path `word`, as far as it is typed, may become: volumes and names that begin so,
// directories with a slash behind them. Sorted. Nothing where the cell does not answer soon.
[[nodiscard]] std::vector<std::string> complete_path(Files& files, const std::string& word);

}  // namespace cli
