#pragma once

// Names beyond those of principals and groups (common/ticket/principal.hpp), and what names tell.

#include <string_view>

#include "kdc/types.hpp"

namespace kdc {

// InvalidArgument with a sentence that says what a name looks like.
common::Status check_policy_name(std::string_view name);

// `alice` of `alice:friends`; `system` of the cell's own.
std::string_view group_prefix(std::string_view name);
inline constexpr std::string_view kSystemPrefix = "system";

// `kdc/...`: made with the database and never by anybody.
bool is_own_service(std::string_view name);

}  // namespace kdc
