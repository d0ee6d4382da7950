#include "common/wire/name.hpp"

#include <nlohmann/json.hpp>

#include "common/wire/json.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::wire;

namespace {

// Through the text, as on the wire.
std::string there_and_back(std::string_view name) {
  const std::string text = dump_json(encode_name(name)).value();
  return decode_name(parse_json(text).value(), 1 << 20).value();
}

}  // namespace

TEST_CASE("every byte round-trips alone, doubled and within text") {
  for (int value = 0; value < 256; ++value) {
    const std::string byte(1, static_cast<char>(value));
    CHECK(there_and_back(byte) == byte);
    CHECK(there_and_back(byte + byte) == byte + byte);
    CHECK(there_and_back("caf\xC3\xA9" + byte + "z") == "caf\xC3\xA9" + byte + "z");
  }
  CHECK(there_and_back("").empty());
  std::string all;
  for (int value = 0; value < 256; ++value)
    all += static_cast<char>(value);
  CHECK(there_and_back(all) == all);
}

TEST_CASE("pairs of bytes round-trip, all 65,536 of them") {
  std::size_t wrong = 0;
  for (int value = 0; value < 65'536; ++value) {
    const std::string pair{static_cast<char>(value >> 8), static_cast<char>(value & 255)};
    if (decode_name(encode_name(pair), 2).value_or("") != pair)
      ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("text stays readable, the rest is base64") {
  CHECK(encode_name("gr\xC3\xBCn").dump() == "\"gr\xC3\xBCn\"");
  CHECK(encode_name("a\nb").dump() == "\"a\\nb\"");
  CHECK(encode_name("gr\xFCn").dump() == "{\"b64\":\"Z3L8bg==\"}");
  CHECK(encode_name("\xED\xA0\x80").dump() == "{\"b64\":\"7aCA\"}");  // a surrogate
}

TEST_CASE("a name has one form") {
  const auto refused = [](const char* text) {
    const auto name = decode_name(parse_json(text).value(), 100);
    return !name && name.error().code == ErrorCode::Protocol;
  };
  CHECK(refused(R"({"b64":"YQ=="})"));  // "a" is UTF-8
  CHECK(refused(R"({"b64":""})"));
  CHECK(refused(R"({"b64":"/w"})"));
  CHECK(refused(R"({"b64":"/x=="})"));
  CHECK(refused(R"({"b64":"_w=="})"));
  CHECK(refused(R"({"b64":"/w==","x":1})"));
  CHECK(refused(R"({"B64":"/w=="})"));
  CHECK(refused(R"({"b64":["/w=="]})"));
  CHECK(refused("{}"));
  CHECK(refused("7"));
  CHECK(refused("null"));
  CHECK(refused("[\"a\"]"));
}

TEST_CASE("length counts bytes of the name, in both forms") {
  CHECK_OK(decode_name(encode_name("abc"), 3));
  CHECK_FAILS(decode_name(encode_name("abcd"), 3), ErrorCode::Protocol);
  CHECK_OK(decode_name(encode_name("\xFF\xFE\xFD"), 3));
  CHECK_FAILS(decode_name(encode_name("\xFF\xFE\xFD\xFC"), 3), ErrorCode::Protocol);
  CHECK_FAILS(decode_name(encode_name(std::string(100'000, '\xFF')), 255), ErrorCode::Protocol);
}
