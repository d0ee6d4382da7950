#include "common/log/line.hpp"

#include <limits>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/log/escape.hpp"
#include "common/utf8.hpp"
#include "tests/support/test.hpp"

namespace {

using common::log::Field;
using common::log::Format;
using common::log::Level;

std::string text(std::string_view message, std::vector<Field> fields = {}) {
  return common::log::render_payload(Format::Text, Level::Warn, message, fields);
}

nlohmann::json json(std::string_view message, std::vector<Field> fields = {}) {
  const std::string payload =
      "{" + common::log::render_payload(Format::Json, Level::Warn, message, fields) + "}";
  CAPTURE(payload);
  const auto parsed = nlohmann::json::parse(payload, nullptr, false);
  CHECK_FALSE(parsed.is_discarded());
  return parsed;
}

// Every single byte, every pair that matters to UTF-8, and what people paste.
std::vector<std::string> nasty_strings() {
  std::vector<std::string> all;
  for (int byte = 0; byte < 256; ++byte) {
    const auto c = static_cast<char>(byte);
    all.push_back(std::string(1, c));
    all.push_back("a" + std::string(1, c) + "b");
    all.push_back("\xC3" + std::string(1, c));
    all.push_back("\xE2\x80" + std::string(1, c));
    all.push_back("\xF0\x9F\x98" + std::string(1, c));
    all.push_back("\xED" + std::string(1, c) + "\x80");
  }
  all.push_back("\nERROR forged=\"yes\"");
  all.push_back("\",\"level\":\"error\",\"x\":\"");
  all.push_back("\\\",\\");
  all.push_back(
      "x\xE2\x80\xAE"
      "drowssap");
  all.push_back(std::string("nul\0inside", 10));
  all.push_back(std::string(9000, '"'));
  all.push_back(std::string(9000, '\x01'));
  return all;
}

bool is_one_clean_line(std::string_view line) {
  if (!common::is_valid_utf8(line))
    return false;
  while (!line.empty()) {
    const auto step = common::decode_utf8(line);
    if (common::is_control(step.code_point))
      return false;
    line.remove_prefix(step.length);
  }
  return true;
}

}  // namespace

TEST_CASE("a text line shows level, sentence and fields") {
  CHECK(text("refused a connection",
             {{"peer", "10.0.0.1"}, {"count", 3}, {"reason", "cap reached"}}) ==
        "WARN refused a connection peer=10.0.0.1 count=3 reason=\"cap reached\"");
}

TEST_CASE("a journal line begins with its priority") {
  const std::vector<Field> none;
  using common::log::render_payload;
  CHECK(render_payload(Format::Journal, Level::Debug, "a", none) == "<7>a");
  CHECK(render_payload(Format::Journal, Level::Info, "a", none) == "<6>a");
  CHECK(render_payload(Format::Journal, Level::Warn, "a", none) == "<4>a");
  CHECK(render_payload(Format::Journal, Level::Error, "a", none) == "<3>a");
}

TEST_CASE("no value ends a line, hides text or leaves UTF-8, in any format") {
  for (const std::string& nasty : nasty_strings()) {
    for (const Format format : {Format::Text, Format::Json, Format::Journal}) {
      const std::vector<Field> fields{{"value", nasty}, {nasty, "key"}};
      const std::string line = common::log::render_payload(format, Level::Info, nasty, fields);
      CAPTURE(nasty);
      CAPTURE(line);
      CHECK(is_one_clean_line(line));
      CHECK(line.size() <= common::log::kMaxPayload);
    }
  }
}

TEST_CASE("every JSON line parses, has one level, and gives valid values back") {
  for (const std::string& nasty : nasty_strings()) {
    const auto parsed = json(nasty, {{"value", nasty}, {"level", nasty}, {"after", 7}});
    REQUIRE(parsed.is_object());
    CHECK(parsed["level"] == "warn");
    if (common::is_valid_utf8(nasty) && nasty.size() < 100) {
      CHECK(parsed["message"] == nasty);
      CHECK(parsed["value"] == nasty);
    }
  }
}

TEST_CASE("a sentence cannot pass for fields, nor a value for a second field") {
  CHECK(text("open failed peer=10.0.0.1") == "WARN \"open failed peer=10.0.0.1\"");
  CHECK(text("m", {{"a", "1 b=2"}}) == "WARN m a=\"1 b=2\"");
  CHECK(text("m", {{"a", "x\" b=\"2"}}) == "WARN m a=\"x\\\" b=\\\"2\"");
  CHECK(text("m", {{"a", ""}}) == "WARN m a=\"\"");
  CHECK(text("m", {{"a", "\\x0a"}}) == "WARN m a=\"\\\\x0a\"");
  CHECK(text("m", {{"a", "\n"}}) == "WARN m a=\"\\n\"");
  CHECK(text("m", {{"a", "\xff"}}) == "WARN m a=\"\\xff\"");
}

TEST_CASE("numbers are JSON numbers, and what is no JSON number is a string") {
  const auto parsed = json("m", {{"whole", -5},
                                 {"yes", true},
                                 {"real", 1.5},
                                 {"nan", std::numeric_limits<double>::quiet_NaN()},
                                 {"inf", -std::numeric_limits<double>::infinity()},
                                 {"huge", 1e300},
                                 {"text", "12"}});
  CHECK(parsed["whole"] == -5);
  CHECK(parsed["yes"] == true);
  CHECK(parsed["real"] == 1.5);
  CHECK(parsed["nan"].is_string());
  CHECK(parsed["inf"].is_string());
  CHECK(parsed["huge"].is_string());
  CHECK(parsed["text"] == "12");
}

TEST_CASE("a long line is cut, says so, and stays whole JSON") {
  const std::string long_value(5000, 'x');
  std::vector<Field> fields;
  for (int i = 0; i < 20; ++i)
    fields.emplace_back("key", long_value);
  const auto parsed = json(long_value, fields);
  CHECK(parsed["truncated"] == true);
  CHECK(text(long_value, fields).ends_with(" truncated=true"));
  CHECK_FALSE(json("short").contains("truncated"));
}

TEST_CASE("JSON scalars: accepted and refused") {
  for (const char* good : {"0", "-0", "10", "-7", "1.5", "0.25", "true", "false"}) {
    CAPTURE(good);
    CHECK(common::log::is_json_scalar(good));
  }
  for (const char* bad :
       {"", "-", "01", "1.", ".5", "nan", "inf", "1e5", "0x1", "1 ", "null", "tru"}) {
    CAPTURE(bad);
    CHECK_FALSE(common::log::is_json_scalar(bad));
  }
}
