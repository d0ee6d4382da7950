#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace common::daemon {

// Raises this process's limit of open descriptors as far as it may go. If that is less than
// `needed`, returns one sentence about it: the server still works, for fewer connections.
std::optional<std::string> raise_descriptor_limit(std::uint64_t needed);

}  // namespace common::daemon
