#pragma once

#include <string_view>

#include "common/crypto/secret.hpp"
#include "kdc/policy.hpp"

namespace kdc {

// A longer one is no password but a mistake.
inline constexpr std::size_t kMostPasswordBytes = 1024;

// Whether the policy takes this password: length, classes, not the user's name, none of the
// commonest, not one character over and over. InvalidArgument says which, never the password.
// History is checked where the keys are (Keys::password_history). Pure.
common::Status check_password(const Policy& policy, std::string_view user,
                              const common::crypto::Secret& password);

}  // namespace kdc
