#pragma once

// Randomness from the kernel (getrandom) and from nowhere else. Safe from any thread. Blocks only
// on a machine that has just booted and has no entropy yet. Cores under simulation must not call
// these: they get their randomness from their driver.

#include <cstdint>
#include <span>

#include "common/ids.hpp"
#include "common/result.hpp"

namespace common::crypto {

Status random_bytes(std::span<std::byte> out);
Result<std::uint64_t> random_u64();

// A fresh operation id: 128 random bits, never all zero (zero means "none" on the wire).
Result<OperationId> new_operation_id();

}  // namespace common::crypto
