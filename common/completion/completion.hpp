#pragma once

// Shell completion scripts, generated from a program's command tree. A script completes commands,
// options, the fixed words of values, and files or directories where a value is one. It calls no
// program, so it works without a cell and costs nothing; but for paths of the cell, for which it
// runs `PROGRAM complete-path -- WORD` and takes a candidate from each line.

#include <optional>
#include <string>
#include <string_view>

#include "common/completion/command_tree.hpp"

namespace common::completion {

enum class Shell : std::uint8_t { Bash, Zsh, Fish };
std::optional<Shell> shell_from_name(std::string_view name);

// The script for `program`, the tree's root; its name is a command name without special characters.
// To be installed as bash-completion/completions/NAME, zsh/site-functions/_NAME,
// fish/vendor_completions.d/NAME.fish.
std::string script_for(Shell shell, const Command& program);

}  // namespace common::completion
