#pragma once

// SHA-256 of several messages at a time. In one message each of the CPU's instructions for SHA-256
// waits for the one before; two messages fill each other's gaps, so that a core hashes half as much
// again and more. With AVX-512, sixteen messages lie side by side in its registers, which is
// half as much again.

#include <span>

#include "common/crypto/hash.hpp"

namespace common::crypto {

// `head`, then `body`, as if they lay in one buffer.
struct Message {
  ByteView head;
  ByteView body;
};

// The digest of each, in their order. Best for neighbours of about the same length, from a few KiB
// on. Any thread; fails as sha256() does.
Status sha256_many(std::span<const Message> messages, std::span<Digest> digests);

// How many this machine hashes at a time: 16, 2 or 1. Whoever shares work out hands over as many.
std::size_t sha256_at_once();

}  // namespace common::crypto
