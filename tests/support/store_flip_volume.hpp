#pragma once

// Of FlipVolume, for its own sources.

#include "fileserver/store/volume.hpp"

namespace test_support {

// The longest file of the volume, and what the others are shorter than.
inline constexpr std::size_t kFlipLargest = fileserver::store::kBlockBytes + 100;
inline constexpr std::size_t kFlipShort = 8192;

[[nodiscard]] fileserver::store::VolumeOptions flip_options(bool machine_restarted);

}  // namespace test_support
