#pragma once

#include "cli/commands.hpp"

namespace cli {

void add_shell_command(Command app, Session& session);

}  // namespace cli
