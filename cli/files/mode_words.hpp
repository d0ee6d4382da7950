#pragma once

// Modes as people type them: "0755", "u+x,go-w". Pure.

#include <cstdint>
#include <string_view>

#include "common/result.hpp"

namespace cli {

// What `text` makes of the mode `present`. Without u, g, o or a, all are meant, whatever the
// process's umask. X is x for directories and for what somebody may execute already.
// InvalidArgument says what was expected.
[[nodiscard]] common::Result<std::uint32_t> changed_mode(std::string_view text,
                                                         std::uint32_t present, bool is_directory);

}  // namespace cli
