#pragma once

#include <string_view>

namespace common {

// The version of this build, as meson.build has it ("0.1.0").
std::string_view version();

}  // namespace common
