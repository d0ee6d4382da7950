#pragma once

// How people name files of a cell: [[CELL:]VOLUME:]PATH. Pure.
//
//   /docs/a          in the root volume
//   home:/a          in the volume "home"
//   office:home:/a   the same, of the cell "office"
//
// A colon counts only before the first slash, and only where a slash or nothing follows the last
// one: "./a:b" and "a:b" are names with a colon in them.

#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"

namespace common::fileclient {

// The deepest directory that we make, 10,000 levels, has names of 100 bytes.
inline constexpr std::size_t kMaxPathBytes = std::size_t{1} << 20;

struct RemotePath {
  std::string cell;       // empty: the one in use
  std::string volume;     // empty: the root volume
  std::string path;       // any bytes but NUL
  bool relative = false;  // does not begin with a slash: to some directory of the caller's choice

  // It ends in a slash, "." or "..": what it names must be a directory.
  [[nodiscard]] bool names_directory() const;
  friend bool operator==(const RemotePath&, const RemotePath&) = default;
};

// InvalidArgument for an empty one, one with NUL, or a wrong cell or volume name; TooLarge.
[[nodiscard]] Result<RemotePath> parse_remote_path(std::string_view text);
// As a person would type it.
[[nodiscard]] std::string to_text(const RemotePath& path);

// `path` seen from the directory `from`, which is not relative.
[[nodiscard]] RemotePath seen_from(const RemotePath& from, RemotePath path);

// The names in it, without empty ones and ".".
[[nodiscard]] std::vector<std::string> names_of(std::string_view path);
// "a/b" of "a" and "b"; no slash is doubled.
[[nodiscard]] std::string joined(std::string_view directory, std::string_view name);
// The last name of a path; empty for "/", "." and "..".
[[nodiscard]] std::string base_name(std::string_view path);

}  // namespace common::fileclient
