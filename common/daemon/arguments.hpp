#pragma once

// The command line of a daemon: the same four words for all of them, and what few can do instead of
// running. Everything else is a setting.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"

namespace common::daemon {

// Something that a program does once instead of running: `troth-kdc --dump FILE`.
struct TaskWord {
  std::string_view option;  // "--dump"
  std::string_view value;   // what --help calls what follows it: "FILE"
  std::string_view help;
};

struct Arguments {
  enum class Action : std::uint8_t { Run, Check, Help, Version, Task };
  Action action = Action::Run;
  std::string config;                   // empty: none was named
  std::vector<std::string> positional;  // at most as many as parse was told
  std::string_view task;                // with Task: its option
  std::string task_value;               // never empty then
};

// `words` without the program's name. A word that is not known is an error that says what is.
Result<Arguments> parse_arguments(const std::vector<std::string>& words,
                                  std::size_t most_positional = 0,
                                  std::span<const TaskWord> tasks = {});

// One line for each word that parse_arguments knows.
std::string arguments_help(std::span<const TaskWord> tasks = {});

}  // namespace common::daemon
