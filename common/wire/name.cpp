#include "common/wire/name.hpp"

#include <nlohmann/json.hpp>

#include "common/bytes.hpp"
#include "common/utf8.hpp"
#include "common/wire/base64.hpp"

namespace common::wire {
namespace {

constexpr std::string_view kBase64Key = "b64";

tl::unexpected<Error> too_long(std::size_t most_bytes) {
  return fail(ErrorCode::Protocol, "at most {} bytes", most_bytes);
}

}  // namespace

nlohmann::json encode_name(std::string_view bytes) {
  if (is_valid_utf8(bytes))
    return nlohmann::json(bytes);
  nlohmann::json encoded = nlohmann::json::object();
  encoded[std::string(kBase64Key)] = to_base64(as_bytes(bytes));
  return encoded;
}

Result<std::string> decode_name(const nlohmann::json& value, std::size_t most_bytes) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text.size() > most_bytes)
      return too_long(most_bytes);
    return text;
  }
  const auto found = value.is_object() ? value.find(kBase64Key) : value.end();
  if (!value.is_object() || value.size() != 1 || found == value.end() || !found->is_string()) {
    return fail(ErrorCode::Protocol, "a string or {{\"b64\":\"…\"}}");
  }
  const auto& text = found->get_ref<const std::string&>();
  if (text.size() / 4 * 3 > most_bytes + 2)
    return too_long(most_bytes);
  const auto bytes = from_base64(text);
  if (!bytes)
    return fail(ErrorCode::Protocol, "strict base64 in \"b64\"");
  if (bytes->size() > most_bytes)
    return too_long(most_bytes);
  if (is_valid_utf8(as_text(*bytes))) {
    return fail(ErrorCode::Protocol, "a plain string, because it is UTF-8");
  }
  return std::string(as_text(*bytes));
}

}  // namespace common::wire
