#include "common/wire/json.hpp"

#include <nlohmann/json.hpp>

#include "tests/support/test.hpp"

using namespace common;
using namespace common::wire;

namespace {
std::string repeated(std::string_view piece, std::size_t times) {
  std::string text;
  for (std::size_t i = 0; i < times; ++i)
    text += piece;
  return text;
}
}  // namespace

TEST_CASE("values of all kinds are read and written again") {
  const std::string text =
      R"({"a":[1,-2,3.5,true,false,null,"x"],"b":{"c":{},"d":[]},"e":18446744073709551615})";
  const auto value = parse_json(text);
  REQUIRE_OK(value);
  CHECK(dump_json(*value).value() == text);
  CHECK_OK(parse_json("  7 "));
  CHECK(dump_json(parse_json(R"({"z":1,"a":2})").value()).value() == R"({"a":2,"z":1})");
}

TEST_CASE("what is not JSON is refused") {
  for (const char* bad : {"",
                          " ",
                          "{",
                          "}",
                          "[1,]",
                          "{\"a\":}",
                          "{'a':1}",
                          "[1 2]",
                          "01",
                          "1 2",
                          "nul",
                          "+1",
                          ".5",
                          "NaN",
                          "1e999",
                          "\"\n\"",
                          "\"\\x\"",
                          "\"\\ud800\"",
                          "\"\\udc00\\ud800\"",
                          "\"\xC0\x80\"",
                          "\"\xED\xA0\x80\"",
                          "\"\xFF\"",
                          "/* */1",
                          "{\"a\":1}}",
                          "\xEF\xBB\xBF",
                          "[1]x",
                          "{\"a\":1,}",
                          "{1:2}"}) {
    INFO(bad);
    CHECK_FAILS(parse_json(bad), ErrorCode::Protocol);
  }
  const std::string nul("1\0", 2);
  CHECK_FAILS(parse_json(nul), ErrorCode::Protocol);
}

TEST_CASE("a key that appears twice is refused, at any depth, however spelled") {
  CHECK_FAILS(parse_json(R"({"a":1,"a":2})"), ErrorCode::Protocol);
  CHECK_FAILS(parse_json(R"({"a":1,"\u0061":2})"), ErrorCode::Protocol);
  CHECK_FAILS(parse_json(R"([{"x":{"a":1,"b":2,"a":3}}])"), ErrorCode::Protocol);
  CHECK_OK(parse_json(R"([{"a":1},{"a":2},{"b":{"a":1},"a":1}])"));
}

TEST_CASE("nesting is bounded before the value is built") {
  const JsonLimits limits{.depth = 16};
  CHECK_OK(parse_json(repeated("[", 16) + repeated("]", 16), limits));
  CHECK_FAILS(parse_json(repeated("[", 17) + repeated("]", 17), limits), ErrorCode::TooLarge);
  CHECK_FAILS(parse_json(repeated("{\"a\":", 17) + "1" + repeated("}", 17), limits),
              ErrorCode::TooLarge);
  // Ends at the seventeenth bracket: the rest is never looked at.
  CHECK_FAILS(parse_json(repeated("[", 1'000'000), limits), ErrorCode::TooLarge);
}

TEST_CASE("sizes are bounded") {
  CHECK_FAILS(parse_json("[1,2,3]", {.bytes = 6}), ErrorCode::TooLarge);
  CHECK_OK(parse_json("[1,2,3]", {.values = 4}));
  CHECK_FAILS(parse_json("[1,2,3]", {.values = 3}), ErrorCode::TooLarge);
  CHECK_FAILS(parse_json("[[],[],{}]", {.values = 3}), ErrorCode::TooLarge);
  CHECK_OK(parse_json("\"abcd\"", {.text_bytes = 4}));
  CHECK_FAILS(parse_json("\"abcde\"", {.text_bytes = 4}), ErrorCode::TooLarge);
  CHECK_FAILS(parse_json("{\"abcde\":1}", {.text_bytes = 4}), ErrorCode::TooLarge);
}

TEST_CASE("an error says where and holds no control characters") {
  const auto value = parse_json("[1, x]");
  REQUIRE_FALSE(value);
  CHECK(value.error().message == "not JSON at byte 5");
  const auto twice = parse_json("{\"a\\n\":1,\"a\\n\":2}");
  REQUIRE_FALSE(twice);
  CHECK(twice.error().message == "key 'a?' appears twice");
}

TEST_CASE("writing escapes on request and refuses what is not UTF-8") {
  CHECK(dump_json(nlohmann::json("gr\xC3\xBCn")).value() == "\"gr\xC3\xBCn\"");
  CHECK(dump_json(nlohmann::json("gr\xC3\xBCn"), true).value() == "\"gr\\u00fcn\"");
  CHECK_FAILS(dump_json(nlohmann::json("\xFF")), ErrorCode::InvalidArgument);
}
