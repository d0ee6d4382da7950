#include "common/metrics/exposition.hpp"

#include <limits>

#include "tests/support/test.hpp"

using namespace common::metrics;

namespace {

std::string number(double value) {
  std::string out;
  append_number(out, value);
  return out;
}

std::string label(std::string_view value) {
  std::string out;
  append_label_value(out, value);
  return out;
}

}  // namespace

TEST_CASE("metric and label names: accepted and refused") {
  for (const char* good : {"a", "troth_rpc_calls_total", "_x", "job:rate5m", "A9"}) {
    CAPTURE(good);
    CHECK(is_metric_name(good));
  }
  for (const char* bad : {"", "9a", "a-b", "a b", "a{b", "\xC3\xA4", "a\n"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_metric_name(bad));
    CHECK_FALSE(is_label_name(bad));
  }
  CHECK(is_label_name("reason"));
  CHECK_FALSE(is_label_name("a:b"));
  CHECK_FALSE(is_label_name("__name__"));
}

TEST_CASE("help keeps its quotes, label values do not") {
  std::string help;
  append_help(help, "a \"quoted\" \\ word\nand a line");
  CHECK(help == "a \"quoted\" \\\\ word\\nand a line");
  CHECK(label("a \"quoted\" \\ word\nand a line") == "a \\\"quoted\\\" \\\\ word\\nand a line");
  CHECK(label("gr\xC3\xBC\xC3\x9F") == "gr\xC3\xBC\xC3\x9F");
  CHECK(label("a\xff"
              "b") ==
        "a\xEF\xBF\xBD"
        "b");
}

TEST_CASE("numbers are exact and as short as they can be") {
  CHECK(number(0) == "0");
  CHECK(number(7480) == "7480");
  CHECK(number(0.1) == "0.1");
  CHECK(number(-2.5) == "-2.5");
  CHECK(number(9007199254740991.0) == "9007199254740991");
  CHECK(number(std::numeric_limits<double>::infinity()) == "+Inf");
  CHECK(number(-std::numeric_limits<double>::infinity()) == "-Inf");
  CHECK(number(std::numeric_limits<double>::quiet_NaN()) == "NaN");
}
