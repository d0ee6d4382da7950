// Any bytes survive as a name, and whatever JSON decodes as a name is the one form of that name.

#include <nlohmann/json.hpp>

#include "common/wire/json.hpp"
#include "common/wire/name.hpp"
#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(name) {
  using namespace common::wire;
  const std::string_view bytes = fuzz::text(data, size);
  const auto text = dump_json(encode_name(bytes));
  fuzz::require(text.has_value(), "every name can be written");
  const auto value = parse_json(*text, {.bytes = std::size_t{1} << 24});
  const auto back = value ? decode_name(*value, size) : std::string();
  fuzz::require(value && back && *back == bytes, "round trip");
  if (const auto foreign = parse_json(bytes)) {
    if (const auto name = decode_name(*foreign, 4096))
      fuzz::require(encode_name(*name) == *foreign, "one form for every name");
  }
  return 0;
}
