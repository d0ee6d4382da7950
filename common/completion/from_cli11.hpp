#pragma once

#include "common/completion/command_tree.hpp"

namespace CLI {
class App;
}

namespace common::completion {

// The tree of a finished CLI11 application. What an option's value is comes from its type name:
// "FILE", "DIR", or words separated by '|' ("bash|zsh|fish"); anything else is text. Commands and
// options in the empty group are hidden and left out.
Command from_cli11(const CLI::App& app);

}  // namespace common::completion
