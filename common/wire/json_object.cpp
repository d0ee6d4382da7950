#include "common/wire/json_object.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "common/wire/name.hpp"

namespace common::wire {
namespace {

using Json = nlohmann::json;

std::string path_of(std::string_view where, std::string_view field) {
  if (where.empty())
    return std::string(field);
  return fmt::format("{}.{}", where, field);
}

}  // namespace

Result<JsonObject> JsonObject::of(const Json& value, std::string_view where) {
  if (!value.is_object()) {
    return fail(ErrorCode::Protocol, "{}: expected an object", where.empty() ? "message" : where);
  }
  return JsonObject(value, std::string(where));
}

bool JsonObject::has(std::string_view field) const {
  return value_->contains(field);
}

tl::unexpected<Error> JsonObject::wrong(std::string_view field, std::string_view expected) const {
  return fail(ErrorCode::Protocol, "field '{}': expected {}", path_of(where_, field), expected);
}

Result<const Json*> JsonObject::find(std::string_view field) const {
  const auto found = value_->find(field);
  if (found == value_->end()) {
    return fail(ErrorCode::Protocol, "field '{}' is missing", path_of(where_, field));
  }
  return &*found;
}

Result<std::uint64_t> JsonObject::u64(std::string_view field, std::uint64_t most) const {
  TROTH_TRY(const Json* value, find(field));
  if (!value->is_number_unsigned())
    return wrong(field, "an unsigned integer");
  const auto number = value->get<std::uint64_t>();
  if (number > most)
    return wrong(field, fmt::format("at most {}", most));
  return number;
}

Result<std::uint32_t> JsonObject::u32(std::string_view field) const {
  TROTH_TRY(const std::uint64_t value, u64(field, std::numeric_limits<std::uint32_t>::max()));
  return static_cast<std::uint32_t>(value);
}

Result<std::int64_t> JsonObject::i64(std::string_view field) const {
  TROTH_TRY(const Json* value, find(field));
  if (value->is_number_unsigned() &&
      value->get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
    return wrong(field, "a 64-bit integer");
  }
  if (!value->is_number_integer())
    return wrong(field, "an integer");
  return value->get<std::int64_t>();
}

Result<bool> JsonObject::boolean(std::string_view field) const {
  TROTH_TRY(const Json* value, find(field));
  if (!value->is_boolean())
    return wrong(field, "true or false");
  return value->get<bool>();
}

Result<std::string> JsonObject::text(std::string_view field, std::size_t most_bytes) const {
  TROTH_TRY(const Json* value, find(field));
  if (!value->is_string())
    return wrong(field, "a string");
  const auto& text = value->get_ref<const std::string&>();
  if (text.size() > most_bytes)
    return wrong(field, fmt::format("at most {} bytes", most_bytes));
  return text;
}

Result<std::string> JsonObject::name(std::string_view field, std::size_t most_bytes) const {
  TROTH_TRY(const Json* value, find(field));
  auto decoded = decode_name(*value, most_bytes);
  if (!decoded)
    return wrong(field, decoded.error().message);
  return decoded;
}

Result<JsonObject> JsonObject::object(std::string_view field) const {
  TROTH_TRY(const Json* value, find(field));
  if (!value->is_object())
    return wrong(field, "an object");
  return JsonObject(*value, path_of(where_, field));
}

Result<const Json*> JsonObject::list(std::string_view field, std::size_t most) const {
  TROTH_TRY(const Json* value, find(field));
  if (!value->is_array())
    return wrong(field, "a list");
  if (value->size() > most)
    return wrong(field, fmt::format("at most {} values", most));
  return value;
}

Result<std::optional<std::uint64_t>> JsonObject::try_u64(std::string_view field) const {
  if (!has(field))
    return std::nullopt;
  TROTH_TRY(const std::uint64_t value, u64(field));
  return value;
}

Result<std::optional<bool>> JsonObject::try_boolean(std::string_view field) const {
  if (!has(field))
    return std::nullopt;
  TROTH_TRY(const bool value, boolean(field));
  return value;
}

Result<std::optional<std::string>> JsonObject::try_text(std::string_view field,
                                                        std::size_t most_bytes) const {
  if (!has(field))
    return std::nullopt;
  TROTH_TRY(std::string value, text(field, most_bytes));
  return value;
}

Status JsonObject::refuse_others(std::initializer_list<std::string_view> known) const {
  for (const auto& [field, value] : value_->items()) {
    if (std::find(known.begin(), known.end(), field) == known.end()) {
      return fail(ErrorCode::Protocol, "field '{}' is not known here",
                  path_of(where_, field.substr(0, 64)));
    }
  }
  return {};
}

}  // namespace common::wire
