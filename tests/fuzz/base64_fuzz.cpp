// Whatever decodes must encode back to exactly the text it came from.

#include "common/wire/base64.hpp"
#include "common/wire/hex.hpp"
#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(base64) {
  using namespace common::wire;
  const std::string_view text = fuzz::text(data, size);
  if (const auto bytes = from_base64(text))
    fuzz::require(to_base64(*bytes) == text, "one spelling in base64");
  if (const auto bytes = from_base64url(text))
    fuzz::require(to_base64url(*bytes) == text, "one spelling in base64url");
  if (const auto bytes = from_hex(text))
    fuzz::require(to_hex(*bytes) == text, "one spelling in hexadecimal");
  const auto bytes = common::as_bytes(text);
  const auto back = from_base64(to_base64(bytes));
  fuzz::require(back && common::as_text(*back) == text, "base64 round trip");
  return 0;
}
