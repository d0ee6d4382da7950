#pragma once

// "ID-NUMBER": which stream is drawn or taken in pieces, and which piece comes next.

#include <cstdint>
#include <string>

#include "common/result.hpp"

namespace fileserver {

struct PieceCursor {
  std::string id;
  std::uint64_t piece = 0;  // from 1

  [[nodiscard]] std::string text() const { return id + "-" + std::to_string(piece); }
};
[[nodiscard]] common::Result<PieceCursor> parse_cursor(const std::string& text);
// An id that nobody guesses.
[[nodiscard]] common::Result<std::string> new_cursor_id();

}  // namespace fileserver
