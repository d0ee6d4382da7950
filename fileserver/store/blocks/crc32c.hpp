#pragma once

#include <cstdint>

#include "common/bytes.hpp"

namespace fileserver::store {

// CRC-32C (Castagnoli) of the pieces so far and `bytes`: begin with 0, hand the answer on. By the
// CPU's own instruction where it has one. Safe from any thread.
[[nodiscard]] std::uint32_t crc32c(std::uint32_t so_far, common::ByteView bytes);

// The same from a table alone, for CPUs without the instruction.
[[nodiscard]] std::uint32_t crc32c_portable(std::uint32_t so_far, common::ByteView bytes);

}  // namespace fileserver::store
