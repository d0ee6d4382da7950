// What is accepted is what another reader accepts, keeps to the limits, and writing it gives a text
// that reads back to the same.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "common/wire/json.hpp"
#include "common/wire/json_object.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace {

std::size_t depth_of(const nlohmann::json& value) {
  std::size_t deepest = 0;
  if (value.is_structured()) {
    for (const auto& element : value)
      deepest = std::max(deepest, depth_of(element));
    return deepest + 1;
  }
  return 0;
}

}  // namespace

FUZZ_TARGET(json) {
  using namespace common::wire;
  const JsonLimits limits{.bytes = 4096, .depth = 8, .values = 200, .text_bytes = 256};
  const auto value = parse_json(fuzz::text(data, size), limits);
  // Another reader takes the same for JSON, but for what we refuse beyond it: keys that appear
  // twice, what breaks a limit, and a byte order mark. It takes NUL for an end.
  if (size <= limits.bytes && fuzz::text(data, size).find('\0') == std::string_view::npos) {
    const auto theirs = nlohmann::json::parse(fuzz::text(data, size), nullptr, false);
    if (value)
      fuzz::require(!theirs.is_discarded() && theirs == *value, "both read the same");
    else if (value.error().message.starts_with("not JSON"))
      fuzz::require(theirs.is_discarded() || *data == 0xEF, "both refuse the same");
  }
  if (!value)
    return 0;
  fuzz::require(size <= limits.bytes, "the cap on bytes");
  fuzz::require(depth_of(*value) <= limits.depth, "the cap on depth");
  const auto text = dump_json(*value);
  fuzz::require(text.has_value(), "what was read can be written");
  const auto again = parse_json(*text);
  fuzz::require(again && *again == *value, "read, write, read");
  if (const auto object = JsonObject::of(*value, "")) {
    static_cast<void>(object->u64("a"));
    static_cast<void>(object->name("n", 64));
    static_cast<void>(object->try_text("t", 64));
    static_cast<void>(object->refuse_others({"a", "n", "t"}));
  }
  return 0;
}
