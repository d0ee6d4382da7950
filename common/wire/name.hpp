#pragma once

// How bytes that are usually text travel in JSON: file names, symlink targets, xattr names and
// values. Valid UTF-8 is a JSON string; anything else is {"b64":"<base64>"}. Every byte string has
// exactly one form: UTF-8 in the b64 form is refused, as is a non-canonical base64.

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "common/result.hpp"

namespace common::wire {

nlohmann::json encode_name(std::string_view bytes);

// The bytes, at most `most_bytes` of them. Fails with Protocol; the sentence begins in lower case
// and says what was expected, for JsonObject to put behind the field's name. What the bytes mean
// (no '/', no NUL, not "..") is for the service to check.
Result<std::string> decode_name(const nlohmann::json& value, std::size_t most_bytes);

}  // namespace common::wire
