#include "common/wire/json_object.hpp"

#include <nlohmann/json.hpp>

#include "tests/support/test.hpp"

using namespace common;
using namespace common::wire;

namespace {

const nlohmann::json kSample = nlohmann::json::parse(R"({
  "count": 7, "minus": -7, "half": 0.5, "whole": 7.0, "yes": true, "word": "hello", "nothing": null,
  "huge": 18446744073709551615, "five_g": 5000000000, "list": [1,2,3], "inner": {"x": "y"},
  "raw": {"b64": "/w=="}})");

JsonObject sample_object() {
  return JsonObject::of(kSample, "").value();
}

template <typename T>
std::string sentence(const Result<T>& result) {
  return result ? "ok" : result.error().message;
}

}  // namespace

TEST_CASE("fields are read with their types") {
  const JsonObject object = sample_object();
  CHECK(object.u64("count").value() == 7);
  CHECK(object.u32("count").value() == 7);
  CHECK(object.u64("huge").value() == 18446744073709551615ULL);
  CHECK(object.i64("minus").value() == -7);
  CHECK(object.i64("count").value() == 7);
  CHECK(object.boolean("yes").value());
  CHECK(object.text("word", 5).value() == "hello");
  CHECK(object.name("word", 5).value() == "hello");
  CHECK(object.name("raw", 5).value() == "\xFF");
  CHECK(object.object("inner").value().text("x", 9).value() == "y");
  CHECK(object.list("list", 3).value()->size() == 3);
}

TEST_CASE("a wrong field is named, with what was expected") {
  const JsonObject object = sample_object();
  CHECK(sentence(object.u64("missing")) == "field 'missing' is missing");
  CHECK(sentence(object.u64("minus")) == "field 'minus': expected an unsigned integer");
  CHECK(sentence(object.u64("half")) == "field 'half': expected an unsigned integer");
  CHECK(sentence(object.u64("whole")) == "field 'whole': expected an unsigned integer");
  CHECK(sentence(object.u64("nothing")) == "field 'nothing': expected an unsigned integer");
  CHECK(sentence(object.u64("yes")) == "field 'yes': expected an unsigned integer");
  CHECK(sentence(object.u64("count", 6)) == "field 'count': expected at most 6");
  CHECK(sentence(object.u32("five_g")) == "field 'five_g': expected at most 4294967295");
  CHECK(sentence(object.i64("huge")) == "field 'huge': expected a 64-bit integer");
  CHECK(sentence(object.boolean("count")) == "field 'count': expected true or false");
  CHECK(sentence(object.text("word", 4)) == "field 'word': expected at most 4 bytes");
  CHECK(sentence(object.text("count", 4)) == "field 'count': expected a string");
  CHECK(sentence(object.name("list", 9)) == "field 'list': expected a string or {\"b64\":\"…\"}");
  CHECK(sentence(object.list("list", 2)) == "field 'list': expected at most 2 values");
  CHECK(sentence(object.list("inner", 2)) == "field 'inner': expected a list");
  CHECK_FAILS(object.object("list"), ErrorCode::Protocol);
  CHECK(sentence(object.object("inner").value().u64("x")) ==
        "field 'inner.x': expected an unsigned integer");
  CHECK(sentence(JsonObject::of(kSample["list"], "head")) == "head: expected an object");
}

TEST_CASE("a missing field may be allowed, a wrong one never") {
  const JsonObject object = sample_object();
  CHECK(object.try_u64("missing").value() == std::nullopt);
  CHECK(object.try_text("missing", 5).value() == std::nullopt);
  CHECK(object.try_boolean("missing").value() == std::nullopt);
  CHECK(object.try_u64("count").value() == 7);
  CHECK_FAILS(object.try_u64("nothing"), ErrorCode::Protocol);
  CHECK_FAILS(object.try_text("count", 5), ErrorCode::Protocol);
  CHECK_FAILS(object.try_boolean("word"), ErrorCode::Protocol);
}

TEST_CASE("unknown fields are refused where the decoder asks for it") {
  const nlohmann::json value = {{"a", 1}, {"b", 2}};
  const JsonObject object = JsonObject::of(value, "head").value();
  CHECK_OK(object.refuse_others({"a", "b", "c"}));
  CHECK(sentence(object.refuse_others({"a"})) == "field 'head.b' is not known here");
}
