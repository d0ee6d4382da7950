#pragma once

// The command line of a daemon: the same four words for all of them. Everything else is a setting.

#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"

namespace common::daemon {

struct Arguments {
  enum class Action : std::uint8_t { Run, Check, Help, Version };
  Action action = Action::Run;
  std::string config;                   // empty: none was named
  std::vector<std::string> positional;  // at most as many as parse was told
};

// `words` without the program's name. A word that is not known is an error that says what is.
Result<Arguments> parse_arguments(const std::vector<std::string>& words,
                                  std::size_t most_positional = 0);

// One line for each word that parse_arguments knows.
std::string_view arguments_help();

}  // namespace common::daemon
