#pragma once

// The lines that were typed in the shell, kept between its runs.

#include <string>
#include <vector>

#include "common/result.hpp"

namespace cli {

inline constexpr std::size_t kMaxHistory = 1'000;
inline constexpr std::size_t kMaxHistoryLine = 4'096;

// Where it is: $XDG_STATE_HOME/troth/shell_history, else ~/.local/state/...; empty: nowhere.
[[nodiscard]] std::string history_path();

class HistoryFile {
 public:
  // Reads what is there. A file that others may read or write is not used, and said to be so in
  // trouble().
  explicit HistoryFile(std::string path);

  // Remembered unless it is empty, begins with a space, or is the same as the last.
  void add(const std::string& line);
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }
  [[nodiscard]] const common::Status& trouble() const { return trouble_; }

 private:
  common::Status load();
  common::Status append(const std::string& line) const;

  const std::string path_;
  std::vector<std::string> lines_;
  common::Status trouble_;
};

}  // namespace cli
