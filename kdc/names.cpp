#include "kdc/names.hpp"

#include <algorithm>

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Status;

bool lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool digit(char c) {
  return c >= '0' && c <= '9';
}
bool upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool mark(char c) {
  return c == '.' || c == '_' || c == '-';
}

template <typename Allowed>
bool made_of(std::string_view text, std::size_t most, Allowed allowed) {
  return !text.empty() && text.size() <= most && std::all_of(text.begin(), text.end(), allowed);
}

bool user_name(std::string_view name) {
  return made_of(name, 64, [](char c) { return lower(c) || digit(c) || mark(c); }) &&
         lower(name.front());
}

bool service_name(std::string_view name) {
  const std::size_t slash = name.find('/');
  return slash != std::string_view::npos &&
         made_of(name.substr(0, slash), 32,
                 [](char c) { return lower(c) || digit(c) || c == '-'; }) &&
         made_of(name.substr(slash + 1), 64,
                 [](char c) { return lower(c) || upper(c) || digit(c) || mark(c); });
}

}  // namespace

Status check_principal_name(Kind kind, std::string_view name) {
  if (kind == Kind::User) {
    if (user_name(name))
      return {};
    return fail(ErrorCode::InvalidArgument,
                "a user's name is 1 to 64 of a-z 0-9 . _ - and begins with a letter");
  }
  const bool is_host = name.starts_with("host/");
  if (!service_name(name)) {
    return fail(ErrorCode::InvalidArgument,
                "a service or host is called service/instance: up to 32 of a-z 0-9 -, and up to 64 "
                "of A-Z a-z 0-9 . _ -");
  }
  if (is_host != (kind == Kind::Host)) {
    return fail(ErrorCode::InvalidArgument, "hosts, and only hosts, are called host/instance");
  }
  return {};
}

Status check_group_name(std::string_view name) {
  const std::size_t colon = name.find(':');
  const std::string_view rest =
      colon == std::string_view::npos ? std::string_view() : name.substr(colon + 1);
  if (colon != std::string_view::npos && user_name(name.substr(0, colon)) &&
      made_of(rest, 64, [](char c) { return lower(c) || digit(c) || mark(c); })) {
    return {};
  }
  return fail(ErrorCode::InvalidArgument,
              "a group is called owner:name, the name being 1 to 64 of a-z 0-9 . _ -");
}

Status check_policy_name(std::string_view name) {
  if (user_name(name))
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
