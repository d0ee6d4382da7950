#include "common/wire/json.hpp"

#include <nlohmann/json.hpp>

#include "common/sim/random.hpp"
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

TEST_CASE("escapes and numbers mean what they say") {
  const auto text = [](std::string_view json) {
    const auto value = parse_json(json);
    REQUIRE_OK(value);
    return value->get<std::string>();
  };
  CHECK(text(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(text(R"("\u0041\u00e9\u20AC\ud83d\uDE00x")") == "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80x");
  CHECK(text("\"\xF0\x9F\x98\x80\x7F\"") == "\xF0\x9F\x98\x80\x7F");
  for (const char* bad : {R"("\u12")",
                          R"("\u12g4")",
                          R"("\ud83dx")",
                          R"("\ud83d\n")",
                          R"("\ud83d\u0041")",
                          R"("\)",
                          R"("\u)",
                          "\"\xC3\\u00A9\"",
                          "\"a",
                          "-",
                          "1.",
                          "1e",
                          "1e+",
                          "-01",
                          "--1",
                          "1.e1",
                          "tru",
                          "truex",
                          "[",
                          "[1",
                          "[1,",
                          "{\"a\"",
                          "{\"a\":1",
                          "{\"a\":1,",
                          "[,1]",
                          "{,}",
                          "[1}",
                          "{\"a\":1]",
                          "]"}) {
    INFO(bad);
    CHECK_FAILS(parse_json(bad), ErrorCode::Protocol);
  }
  CHECK(parse_json("-9223372036854775808").value().is_number_integer());
  CHECK(parse_json("18446744073709551615").value().is_number_unsigned());
  CHECK(parse_json("18446744073709551616").value().is_number_float());
  CHECK(parse_json("-9223372036854775809").value().is_number_float());
  CHECK(parse_json("1e-999").value().get<double>() == 0);
  CHECK(parse_json("-1.5E+3").value().get<double>() == -1500);
}

namespace {

// A random text: often JSON, often nearly.
std::string random_json(sim::Random& random, int depth) {
  constexpr std::string_view kScalars[] = {"0",
                                           "-0",
                                           "17",
                                           "-3",
                                           "1.25",
                                           "1e3",
                                           "2E-2",
                                           "18446744073709551615",
                                           "99999999999999999999",
                                           "true",
                                           "false",
                                           "null",
                                           "\"\"",
                                           "\"plain\"",
                                           "\"\\u00e9\\n\"",
                                           "\"gr\xC3\xBCn\"",
                                           "\"\\ud83d\\ude00\"",
                                           "01",
                                           "1e999",
                                           "\"\\ud800\"",
                                           "\"\xC3\"",
                                           "\"\x01\"",
                                           "nul"};
  const std::uint64_t kind = random.below(depth > 4 ? 6 : 10);
  if (kind < 6)
    return std::string(kScalars[random.below(std::size(kScalars))]);
  const bool is_list = kind < 8;
  std::string text = is_list ? "[" : "{";
  for (std::uint64_t left = random.below(4); left > 0; --left) {
    if (!is_list)
      text += "\"k" + std::to_string(random.below(30)) + "\" : ";
    text += random_json(random, depth + 1);
    if (left > 1)
      text += random.below(2) == 0 ? "," : " ,\n";
  }
  return text + (is_list ? "]" : "}");
}

}  // namespace

TEST_CASE("random texts are read as another reader reads them") {
  sim::Random random(1);
  constexpr std::string_view kBytes = "[]{},:\"\\ue0123456789-+.Etrufalsn \t\xC3\xA9\xF0\x80";
  int read = 0;
  int refused = 0;
  for (int i = 0; i < 30'000; ++i) {
    std::string text = random_json(random, 0);
    for (std::uint64_t changes = random.below(3); changes > 0 && !text.empty(); --changes) {
      const std::size_t at = random.below(text.size());
      const char byte = kBytes[random.below(kBytes.size())];
      switch (random.below(3)) {
        case 0:
          text[at] = byte;
          break;
        case 1:
          text.erase(at, 1);
          break;
        default:
          text.insert(at, 1, byte);
      }
    }
    INFO(text);
    const auto ours = parse_json(text, {.depth = 64});
    if (!ours && ours.error().message.ends_with("twice"))
      continue;
    const auto theirs = nlohmann::json::parse(text, nullptr, false);
    REQUIRE(ours.has_value() == !theirs.is_discarded());
    if (ours) {
      CHECK(*ours == theirs);
      CHECK(ours->type() == theirs.type());
    }
    ++(ours ? read : refused);
  }
  // Both kinds were there.
  CHECK(read > 5'000);
  CHECK(refused > 5'000);
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
