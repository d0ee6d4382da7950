#pragma once

// SipHash-2-4: where something lies in a table must not be for the sender of it to choose.

#include <array>
#include <cstdint>

#include "common/bytes.hpp"

namespace common::ticket {

std::uint64_t siphash(const std::array<std::byte, 16>& key, ByteView data);

}  // namespace common::ticket
