#include "cli/files/find_tests.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <charconv>

namespace cli {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::fileproto::Attributes;
using common::fileproto::NodeKind;

namespace {

Result<std::uint64_t> number(std::string_view what, std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    return fail(ErrorCode::InvalidArgument, "-{}: expected a number, not \"{}\"", what, text);
  return value;
}

Result<FindNumber> signed_number(std::string_view what, std::string_view text) {
  FindNumber found;
  if (text.starts_with('+'))
    found.than = FindNumber::Than::More;
  else if (text.starts_with('-'))
    found.than = FindNumber::Than::Less;
  TROTH_TRY(found.value,
            number(what, text.substr(found.than == FindNumber::Than::Exactly ? 0 : 1)));
  return found;
}

Result<NodeKind> kind_of(std::string_view text) {
  static constexpr std::string_view kLetters = "fdlpscb";
  const std::size_t at = text.size() == 1 ? kLetters.find(text[0]) : std::string_view::npos;
  if (at == std::string_view::npos)
    return fail(ErrorCode::InvalidArgument, "-type: expected one of f d l p s c b, not \"{}\"",
                text);
  return static_cast<NodeKind>(at + 1);
}

std::uint64_t unit_of(std::string_view& text) {
  constexpr std::uint64_t kKiB = 1024;
  struct Unit {
    char letter;
    std::uint64_t bytes;
  };
  static constexpr Unit kUnits[] = {{'c', 1},    {'w', 2},           {'b', 512},
                                    {'k', kKiB}, {'M', kKiB * kKiB}, {'G', kKiB * kKiB * kKiB}};
  for (const Unit& unit : kUnits) {
    if (text.ends_with(unit.letter)) {
      text.remove_suffix(1);
      return unit.bytes;
    }
  }
  return 512;
}

}  // namespace

bool FindNumber::holds(std::uint64_t of) const {
  return than == Than::More ? of > value : than == Than::Less ? of < value : of == value;
}

bool FindTests::match(const std::string& file_name, const std::string& file_path,
                      const Attributes& node, std::size_t depth) const {
  constexpr std::int64_t kMinuteNs = 60'000'000'000;
  constexpr std::int64_t kDayNs = 24 * 60 * kMinuteNs;
  const auto age = [&](std::int64_t unit) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, (now - node.mtime) / unit));
  };
  if (depth < min_depth || depth > max_depth)
    return false;
  if (!name.empty() && ::fnmatch(name.c_str(), file_name.c_str(), 0) != 0)
    return false;
  if (!iname.empty() && ::fnmatch(iname.c_str(), file_name.c_str(), FNM_CASEFOLD) != 0)
    return false;
  if (!path.empty() && ::fnmatch(path.c_str(), file_path.c_str(), 0) != 0)
    return false;
  if (kind && node.kind != *kind)
    return false;
  if (size && !size->holds((node.size + size_unit - 1) / size_unit))
    return false;
  if ((days && !days->holds(age(kDayNs))) || (minutes && !minutes->holds(age(kMinuteNs))))
    return false;
  if (newer_than && node.mtime <= *newer_than)
    return false;
  return !empty || (node.kind == NodeKind::File && node.size == 0);
}

Result<FindTests> parse_find_tests(const FindWords& words, common::WallTime now) {
  FindTests tests;
  tests.name = words.name;
  tests.iname = words.iname;
  tests.path = words.path;
  tests.empty = words.empty;
  tests.now = now.time_since_epoch().count();
  if (!words.type.empty()) {
    TROTH_TRY(tests.kind, kind_of(words.type));
  }
  if (!words.size.empty()) {
    std::string_view text = words.size;
    tests.size_unit = unit_of(text);
    TROTH_TRY(tests.size, signed_number("size", text));
  }
  if (!words.mtime.empty()) {
    TROTH_TRY(tests.days, signed_number("mtime", words.mtime));
  }
  if (!words.mmin.empty()) {
    TROTH_TRY(tests.minutes, signed_number("mmin", words.mmin));
  }
  if (!words.maxdepth.empty()) {
    TROTH_TRY(tests.max_depth, number("maxdepth", words.maxdepth));
  }
  if (!words.mindepth.empty()) {
    TROTH_TRY(tests.min_depth, number("mindepth", words.mindepth));
  }
  return tests;
}

}  // namespace cli
