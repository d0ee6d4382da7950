#pragma once

// Which boot of the machine this is: what is only true until it ends is marked with it.

#include <array>
#include <cstddef>

#include "common/result.hpp"

namespace common::io {

using BootId = std::array<std::byte, 16>;

// As the kernel says. IoError and the like where there is no /proc.
[[nodiscard]] Result<BootId> current_boot();

}  // namespace common::io
