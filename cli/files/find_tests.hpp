#pragma once

// What `troth find` looks for. Pure.

#include <limits>
#include <optional>
#include <string>

#include "common/clock.hpp"
#include "common/fileproto/node.hpp"
#include "common/result.hpp"

namespace cli {

// As typed; empty: not asked for.
struct FindWords {
  std::string name, iname, path, type, size, mtime, mmin, maxdepth, mindepth;
  bool empty = false;
};

// "+5", "-5", "5".
struct FindNumber {
  enum class Than : std::uint8_t { Exactly, More, Less };
  Than than = Than::Exactly;
  std::uint64_t value = 0;
  [[nodiscard]] bool holds(std::uint64_t of) const;
};

struct FindTests {
  std::string name, iname, path;
  std::optional<common::fileproto::NodeKind> kind;
  std::optional<FindNumber> size;
  std::uint64_t size_unit = 512;
  std::optional<FindNumber> days;
  std::optional<FindNumber> minutes;
  std::optional<common::fileproto::FileTime> newer_than;
  bool empty = false;
  std::size_t max_depth = std::numeric_limits<std::size_t>::max();
  std::size_t min_depth = 0;
  common::fileproto::FileTime now = 0;

  [[nodiscard]] bool match(const std::string& file_name, const std::string& file_path,
                           const common::fileproto::Attributes& node, std::size_t depth) const;
};
// InvalidArgument says which word is wrong and what was expected.
[[nodiscard]] common::Result<FindTests> parse_find_tests(const FindWords& words,
                                                         common::WallTime now);

}  // namespace cli
