#include "common/fileproto/json_access.hpp"

#include <algorithm>
#include <limits>

#include <nlohmann/json.hpp>

#include "common/wire/json.hpp"

namespace common::fileproto::codec {

bool is_object(const Json& value) {
  return value.is_object();
}
bool is_list(const Json& value) {
  return value.is_array();
}
bool is_null(const Json& value) {
  return value.is_null();
}
std::size_t count(const Json& value) {
  return value.size();
}

const Json* member(const Json& object, std::string_view name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

const Json& item(const Json& list, std::size_t index) {
  return list[index];
}

std::string other_field(const Json& object, std::span<const std::string_view> known) {
  for (const auto& [name, value] : object.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      return name;
  }
  return {};
}

std::optional<std::uint64_t> unsigned_of(const Json& value) {
  if (!value.is_number_unsigned())
    return std::nullopt;
  return value.get<std::uint64_t>();
}

std::optional<std::int64_t> signed_of(const Json& value) {
  if (!value.is_number_integer())
    return std::nullopt;
  if (value.is_number_unsigned() &&
      value.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
    return std::nullopt;
  }
  return value.get<std::int64_t>();
}

std::optional<bool> boolean_of(const Json& value) {
  if (!value.is_boolean())
    return std::nullopt;
  return value.get<bool>();
}

const std::string* text_of(const Json& value) {
  return value.is_string() ? value.get_ptr<const std::string*>() : nullptr;
}

Result<std::shared_ptr<const Json>> parse(std::string_view text) {
  // As much as a client of common/rpc collects.
  const wire::JsonLimits limits{
      .bytes = 16 << 20, .depth = 16, .values = 400'000, .text_bytes = 1 << 20};
  TROTH_TRY(Json value, wire::parse_json(text, limits));
  return std::make_shared<const Json>(std::move(value));
}

}  // namespace common::fileproto::codec
