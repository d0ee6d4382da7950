#include "common/ticket/principal.hpp"

#include <algorithm>

namespace common::ticket {
namespace {

constexpr std::size_t kMaxServicePart = 32;
constexpr std::size_t kMaxInstancePart = 64;
constexpr std::size_t kMaxGroupPart = 64;
constexpr std::string_view kSystem = "system";
constexpr std::string_view kHost = "host";

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_dot_or_dash(char c) {
  return c == '.' || c == '_' || c == '-';
}

template <typename Allowed>
bool consists_of(std::string_view text, std::size_t most, Allowed allowed) {
  return !text.empty() && text.size() <= most && std::all_of(text.begin(), text.end(), allowed);
}

bool is_user_part(std::string_view text, std::size_t most) {
  return consists_of(text, most,
                     [](char c) { return is_lower(c) || is_digit(c) || is_dot_or_dash(c); });
}

bool is_user(std::string_view name) {
  return is_user_part(name, kMaxUserName) && is_lower(name.front());
}

// The part before the slash of a well-formed <service>/<instance>; empty for anything else.
std::string_view service_part(std::string_view name) {
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos)
    return {};
  const auto first = name.substr(0, slash);
  const bool good = consists_of(first, kMaxServicePart,
                                [](char c) { return is_lower(c) || is_digit(c) || c == '-'; }) &&
                    consists_of(name.substr(slash + 1), kMaxInstancePart, [](char c) {
                      return is_lower(c) || is_upper(c) || is_digit(c) || is_dot_or_dash(c);
                    });
  return good ? first : std::string_view{};
}

}  // namespace

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::User:
      return "user";
    case Kind::Service:
      return "service";
    case Kind::Host:
      return "host";
  }
  return "unknown";
}

Status check_cell_id(std::string_view id) {
  if (consists_of(id, kMaxCellId,
                  [](char c) { return is_lower(c) || is_upper(c) || is_digit(c) || c == '-'; })) {
    return {};
  }
  return fail(ErrorCode::InvalidArgument, "a cell's id is 1 to {} letters, digits and '-'",
              kMaxCellId);
}

Status check_user_name(std::string_view name) {
  if (is_user(name) && name != kSystem)
    return {};
  return fail(ErrorCode::InvalidArgument,
              "a user's name is 1 to {} of a-z 0-9 . _ -, begins with a letter and is not \"{}\"",
              kMaxUserName, kSystem);
}

Status check_service_name(std::string_view name) {
  const auto first = service_part(name);
  if (!first.empty() && first != kHost)
    return {};
  return fail(ErrorCode::InvalidArgument,
              "a service's name is <service>/<instance>: 1 to {} of a-z 0-9 - (not \"{}\"), a "
              "slash, 1 to {} of A-Z a-z 0-9 . _ -",
              kMaxServicePart, kHost, kMaxInstancePart);
}

Status check_host_name(std::string_view name) {
  if (service_part(name) == kHost)
    return {};
  return fail(ErrorCode::InvalidArgument,
              "a host's name is {}/<machine>: the second part 1 to {} of A-Z a-z 0-9 . _ -", kHost,
              kMaxInstancePart);
}

Status check_group_name(std::string_view name) {
  const std::size_t colon = name.find(':');
  if (colon != std::string_view::npos && is_user(name.substr(0, colon)) &&
      is_user_part(name.substr(colon + 1), kMaxGroupPart)) {
    return {};
  }
  return fail(ErrorCode::InvalidArgument,
              "a group's name is <owner>:<name>: a user's name or \"{}\", a colon, 1 to {} of "
              "a-z 0-9 . _ -",
              kSystem, kMaxGroupPart);
}

Status check_name(Kind kind, std::string_view name) {
  switch (kind) {
    case Kind::User:
      return check_user_name(name);
    case Kind::Service:
      return check_service_name(name);
    case Kind::Host:
      return check_host_name(name);
  }
  return fail(ErrorCode::InvalidArgument, "unknown kind of principal");
}

Result<Kind> kind_of(std::string_view name) {
  if (is_user(name) && name != kSystem)
    return Kind::User;
  const auto first = service_part(name);
  if (!first.empty())
    return first == kHost ? Kind::Host : Kind::Service;
  return fail(ErrorCode::InvalidArgument,
              "neither a user's name (alice) nor a service's (fileserver/fs1) nor a host's "
              "(host/desk7)");
}

}  // namespace common::ticket
