#pragma once

// Renders one event as the payload of one line; spdlog adds the time where the format wants one.

#include <span>
#include <string>
#include <string_view>

#include "common/log/log.hpp"

namespace common::log {

// `format` is not Auto. The result holds no newline, is valid UTF-8 and at most kMaxPayload bytes.
std::string render_payload(Format format, Level level, std::string_view message,
                           std::span<const Field> fields);

// kMaxLine less room for the time, the JSON brackets and the newline.
inline constexpr std::size_t kMaxPayload = 4000;

// One value may not crowd out the others: bytes of it that are shown.
inline constexpr std::size_t kMaxValue = 1024;

}  // namespace common::log
