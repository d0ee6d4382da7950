#pragma once

// Memory for secrets: locked in RAM and left out of core dumps where the kernel allows it.

#include <cstddef>

namespace common::crypto::secret_memory {

// Memory of at least `size` bytes, 16-aligned, content undefined. Safe from any thread; never
// fails short of memory exhaustion, which ends the process as for any `new`. Small blocks (up to
// 64 bytes, the size of a key) share locked pages, because a lock is per page and unlocking one
// secret must not unlock its neighbour; larger ones get pages of their own.
std::byte* allocate(std::size_t size);

// Wipes and gives back. `size` is what allocate() was called with.
void release(std::byte* memory, std::size_t size) noexcept;

}  // namespace common::crypto::secret_memory
