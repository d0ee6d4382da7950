#pragma once

// A program's commands as plain data: what shell completion needs to know of them.

#include <cstdint>
#include <string>
#include <vector>

namespace common::completion {

enum class ValueKind : std::uint8_t {
  None,
  Text,
  File,
  Directory,
  Words,
  Remote,  // a path of the cell, which the program itself is asked for
  FileOrRemote,
};

struct Value {
  ValueKind kind = ValueKind::None;
  std::vector<std::string> words;  // with Words
};

struct Option {
  std::vector<std::string> names;  // "--cell", "-c"
  std::string help;
  Value value;  // None: a flag
};

struct Command {
  std::string name;
  std::string help;
  std::vector<Option> options;
  std::vector<Value> positionals;  // in order; the last one may repeat
  std::vector<Command> subcommands;
};

}  // namespace common::completion
