#pragma once

// Names of principals for people, from the KDC: one's own and those of one's groups for everybody,
// others for administrators.

#include "cli/files/access_list.hpp"
#include "cli/files/files.hpp"

namespace cli {

// Asks the KDC when it is first used; outlives neither `files` nor one command.
[[nodiscard]] PrincipalNames names_from_kdc(Files& files, const std::string& cell);

}  // namespace cli
