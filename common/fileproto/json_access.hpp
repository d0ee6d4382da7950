#pragma once

// What the decoders of this folder ask of a JSON value, so that only one source includes
// nlohmann's. For this folder only.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "common/result.hpp"

namespace common::fileproto::codec {

using Json = nlohmann::json;

[[nodiscard]] bool is_object(const Json& value);
[[nodiscard]] bool is_list(const Json& value);
[[nodiscard]] bool is_null(const Json& value);
// Fields of an object, items of a list.
[[nodiscard]] std::size_t count(const Json& value);
// nullptr: no such field. `object` is one.
[[nodiscard]] const Json* member(const Json& object, std::string_view name);
[[nodiscard]] const Json& item(const Json& list, std::size_t index);
// A field whose name is none of these; empty: there is none.
[[nodiscard]] std::string other_field(const Json& object, std::span<const std::string_view> known);

// nullopt: of another type, or not in the range of it.
[[nodiscard]] std::optional<std::uint64_t> unsigned_of(const Json& value);
[[nodiscard]] std::optional<std::int64_t> signed_of(const Json& value);
[[nodiscard]] std::optional<bool> boolean_of(const Json& value);
// nullptr: no string.
[[nodiscard]] const std::string* text_of(const Json& value);

// The value of a text that is within the limits of messages.
[[nodiscard]] Result<std::shared_ptr<const Json>> parse(std::string_view text);

}  // namespace common::fileproto::codec
