#pragma once

// The compression function of SHA-256 on sixteen messages side by side, one in each 32-bit lane of
// the CPU's widest registers: twice what its instructions for SHA-256 do with one message. For
// hash_many.cpp only.

#include <array>
#include <cstddef>
#include <cstdint>

namespace common::crypto {

inline constexpr std::size_t kLanes = 16;

using Sha256Words = std::array<std::uint32_t, 8>;  // a to h

// Where a lane finds its blocks of 64 bytes: each `step` bytes after the one before. 64 for a
// message; 0 for a lane that has none, which hashes the same block over and over.
struct LaneInput {
  const std::byte* at = nullptr;
  std::size_t step = 64;
};

// Whether this CPU, and the system on it, has what compress_lanes() needs.
[[nodiscard]] bool cpu_has_lanes();

// `blocks` more blocks of each lane into its words; moves the inputs on. Only if cpu_has_lanes().
void compress_lanes(std::array<Sha256Words, kLanes>& words, std::array<LaneInput, kLanes>& inputs,
                    std::size_t blocks);

}  // namespace common::crypto
