#pragma once

#include <functional>
#include <string>

#include "common/result.hpp"

namespace common::cell {

// Looks up an environment variable; empty if it is not set.
using GetVariable = std::function<std::string(const char* name)>;
std::string process_variable(const char* name);

// The directory of the cell to use: `asked` (from --cell) if not empty, else $TROTH_CELL, else the
// first of /etc/troth and ~/.config/troth that holds a cell.toml. The first two are taken as they
// are, so that a mistake in them is noticed. NotFound says where was looked.
Result<std::string> find_cell(const std::string& asked,
                              const GetVariable& variable = process_variable);

}  // namespace common::cell
