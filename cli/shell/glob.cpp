#include "cli/shell/glob.hpp"

#include <fnmatch.h>

#include <algorithm>

namespace cli {
namespace {

struct Part {
  std::string pattern;  // with backslashes before what was quoted
  std::string text;     // as typed
  bool is_pattern = false;
};

// The word at its slashes; the slashes go with what is before them.
std::vector<Part> parts_of(const Word& word) {
  std::vector<Part> parts(1);
  for (std::size_t i = 0; i < word.text.size(); ++i) {
    const char c = word.text[i];
    Part& part = parts.back();
    part.text += c;
    if (c == '/') {
      parts.emplace_back();
      continue;
    }
    const bool special = c == '*' || c == '?' || c == '[';
    if (word.quoted[i] && (special || c == ']' || c == '\\'))
      part.pattern += '\\';
    else if (special)
      part.is_pattern = true;
    part.pattern += c;
  }
  return parts;
}

// Without the slash at its end.
std::string_view bare(std::string_view name) {
  return name.ends_with('/') ? name.substr(0, name.size() - 1) : name;
}

}  // namespace

std::string as_path(std::string name) {
  const std::string_view first = std::string_view(name).substr(0, name.find('/'));
  const bool volume = first.size() > 1 && first.back() == ':';
  return name.starts_with('-') || volume ? "./" + name : name;
}

common::Result<std::vector<std::string>> expand(const Word& word, const NamesIn& names_in) {
  if (!word.is_pattern())
    return std::vector<std::string>{word.text};
  const std::vector<Part> parts = parts_of(word);
  std::vector<std::string> found{""};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    const bool last = i + 1 == parts.size();
    if (!part.is_pattern) {
      for (std::string& path : found)
        path += part.text;
      continue;
    }
    std::vector<std::string> next;
    for (const std::string& path : found) {
      for (const std::string& name : names_in(path)) {
        const bool directory = name.ends_with('/');
        if ((!last && !directory) ||
            ::fnmatch(part.pattern.c_str(), std::string(bare(name)).c_str(), FNM_PERIOD) != 0)
          continue;
        if (next.size() == kMaxExpanded)
          return common::fail(common::ErrorCode::TooLarge, "{}: fits more than {} names", word.text,
                              kMaxExpanded);
        next.push_back(path + std::string(bare(name)) + (last ? "" : "/"));
      }
    }
    found = std::move(next);
  }
  // Plain parts behind a pattern ("*/Makefile") must be there, too.
  if (!parts.back().is_pattern && !parts.back().text.empty()) {
    std::erase_if(found, [&](const std::string& path) {
      const std::size_t slash = path.rfind('/');
      const std::string name = path.substr(slash + 1);
      const auto there = names_in(path.substr(0, slash + 1));
      return std::none_of(there.begin(), there.end(),
                          [&](const std::string& one) { return bare(one) == name; });
    });
  }
  if (found.empty())
    return std::vector<std::string>{word.text};
  if (parts[0].is_pattern)
    std::transform(found.begin(), found.end(), found.begin(), as_path);
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace cli
