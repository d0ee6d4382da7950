#pragma once

#include "common/clock.hpp"

namespace common::rpc {

// `by` times a random factor between 0.5 and 1.5, so that many who wait do not come back together.
// Any thread.
[[nodiscard]] Duration jittered(Duration by);

}  // namespace common::rpc
