#include "common/wire/json_writer.hpp"

#include <limits>

#include <nlohmann/json.hpp>

#include "common/wire/json.hpp"
#include "common/wire/name.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::wire;

TEST_CASE("values stand in objects and lists, in order") {
  JsonWriter out(64);
  out.field("a", 7U).field("text", "x").field("yes", true).null("none");
  out.begin_list("list").item(1).item(std::uint64_t{2}).item("three").item(false).null();
  out.begin_list().item(-5).end();
  out.begin_object().field("in", std::string_view("side")).end().end();
  out.field("absent", std::optional<int>()).field("there", std::optional<int>(3));
  CHECK(out.take() == R"({"a":7,"text":"x","yes":true,"none":null,"list":[1,2,"three",false,null,)"
                      R"([-5],{"in":"side"}],"absent":null,"there":3})");
}

TEST_CASE("what is still open is closed at the end") {
  JsonWriter out;
  out.begin_list("a").begin_object().begin_list("b");
  CHECK(out.take() == R"({"a":[{"b":[]}]})");
}

TEST_CASE("numbers are whole at both ends of their range") {
  JsonWriter out;
  out.field("most", std::numeric_limits<std::uint64_t>::max());
  out.field("least", std::numeric_limits<std::int64_t>::min());
  CHECK(out.take() == R"({"most":18446744073709551615,"least":-9223372036854775808})");
}

TEST_CASE("every byte may stand in a text and in bytes") {
  for (int byte = 0; byte < 256; ++byte) {
    for (const std::string& around : {std::string(), std::string("x"), std::string("\xC3\xA9")}) {
      const std::string value = around + std::string(1, static_cast<char>(byte)) + around;
      JsonWriter out;
      out.bytes("bytes", value).begin_list("list").bytes({}, value).end();
      const auto parsed = parse_json(out.take());
      REQUIRE_OK(parsed);
      CHECK(parsed->at("bytes") == encode_name(value));
      CHECK(parsed->at("list").at(0) == encode_name(value));
      if (byte < 0x80) {
        const auto text = parse_json(JsonWriter().field("text", value).take());
        REQUIRE_OK(text);
        CHECK(text->at("text").get<std::string>() == value);
      }
    }
  }
  CHECK(JsonWriter().field("bad", "\xFF").take() == "{\"bad\":\"\xEF\xBF\xBD\"}");
}
