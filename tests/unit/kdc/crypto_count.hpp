#pragma once

#include <array>
#include <cstdint>

namespace kdc_test {

// How often this program has computed a MAC, derived a key, hashed, opened and sealed, so far.
using CryptoCount = std::array<std::uint64_t, 5>;
CryptoCount crypto_count();

}  // namespace kdc_test
