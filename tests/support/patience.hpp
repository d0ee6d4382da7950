#pragma once

#include <chrono>

namespace test_support {

// How long a test waits for something that happens within milliseconds on a healthy machine. Only a
// failing test ever waits so long; two busy cores under a sanitizer never come near it.
inline constexpr std::chrono::seconds kPatience{30};

}  // namespace test_support
