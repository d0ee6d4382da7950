#include "kdc/names.hpp"

namespace kdc {

using common::ErrorCode;
using common::fail;
using common::Status;

Status check_policy_name(std::string_view name) {
  if (common::ticket::check_user_name(name))
    return {};
  return fail(ErrorCode::InvalidArgument,
              "a policy's name is 1 to 64 of a-z 0-9 . _ - and begins with a letter");
}

std::string_view group_prefix(std::string_view name) {
  return name.substr(0, name.find(':'));
}

bool is_own_service(std::string_view name) {
  return name.starts_with("kdc/");
}

}  // namespace kdc
