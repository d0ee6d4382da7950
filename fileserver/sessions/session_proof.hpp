#pragma once

// How connections and streams of a session prove that they are its own (PROTOCOL.md 1.3).

#include <array>
#include <string_view>

#include "common/bytes.hpp"
#include "common/result.hpp"

namespace fileserver {

inline constexpr std::string_view kJoinLabel = "troth join 1";
inline constexpr std::string_view kResumeLabel = "troth resume 1";
inline constexpr std::string_view kStreamLabel = "troth stream 1";
inline constexpr std::string_view kServerLabel = "troth server 1";

using SessionProof = std::array<std::byte, 32>;

// HMAC-SHA-256(key, label || binding || name).
[[nodiscard]] common::Result<SessionProof> session_proof(common::ByteView key,
                                                         std::string_view label,
                                                         common::ByteView binding,
                                                         std::string_view name);
// Takes the same time wherever they differ.
[[nodiscard]] bool is_session_proof(common::ByteView key, std::string_view label,
                                    common::ByteView binding, std::string_view name,
                                    const SessionProof& proof);

}  // namespace fileserver
