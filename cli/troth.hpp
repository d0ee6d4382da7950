#pragma once

#include <string>
#include <vector>

#include "common/clock.hpp"

namespace cli {

// The whole program: parses the words behind its name, runs the command, returns the exit code.
int run(const std::vector<std::string>& words, const common::Clock& clock);

}  // namespace cli
