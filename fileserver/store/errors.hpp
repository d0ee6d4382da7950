#pragma once

// Failures that a mount tells its users apart and that common's closed set has no names for yet:
// whoever translates them looks at the operation, too.

#include "common/result.hpp"

namespace fileserver::store {

inline constexpr auto kNotDirectory = common::ErrorCode::InvalidArgument;    // ENOTDIR
inline constexpr auto kIsDirectory = common::ErrorCode::InvalidArgument;     // EISDIR
inline constexpr auto kNotEmpty = common::ErrorCode::Busy;                   // ENOTEMPTY
inline constexpr auto kTooManyLinks = common::ErrorCode::ResourceExhausted;  // EMLINK

}  // namespace fileserver::store
