#include "common/wire/json_writer.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "common/bytes.hpp"
#include "common/utf8.hpp"
#include "common/wire/base64.hpp"

namespace common::wire {

namespace {

bool is_plain(std::string_view value) {
  return std::all_of(value.begin(), value.end(),
                     [](char c) { return c >= ' ' && c < 0x7F && c != '"' && c != '\\'; });
}

}  // namespace

void JsonWriter::quote(std::string_view value) {
  using nlohmann::json;
  if (is_plain(value)) {
    text_ += '"';
    text_ += value;
    text_ += '"';
    return;
  }
  text_ += json(std::string(value)).dump(-1, ' ', false, json::error_handler_t::replace);
}

void JsonWriter::begin_value(std::string_view name) {
  if (text_.back() != '{' && text_.back() != '[')
    text_ += ',';
  if (name.empty())
    return;
  text_ += '"';
  text_ += name;
  text_ += "\":";
}

JsonWriter& JsonWriter::field(std::string_view name, std::string_view value) {
  begin_value(name);
  quote(value);
  return *this;
}

JsonWriter& JsonWriter::field(std::string_view name, bool value) {
  begin_value(name);
  text_ += value ? "true" : "false";
  return *this;
}

JsonWriter& JsonWriter::bytes(std::string_view name, std::string_view value) {
  begin_value(name);
  if (is_valid_utf8(value)) {
    quote(value);
  } else {
    text_ += "{\"b64\":\"";
    text_ += to_base64(as_bytes(value));
    text_ += "\"}";
  }
  return *this;
}

JsonWriter& JsonWriter::null(std::string_view name) {
  begin_value(name);
  text_ += "null";
  return *this;
}

JsonWriter& JsonWriter::begin_object(std::string_view name) {
  begin_value(name);
  text_ += '{';
  open_ += '}';
  return *this;
}

JsonWriter& JsonWriter::begin_list(std::string_view name) {
  begin_value(name);
  text_ += '[';
  open_ += ']';
  return *this;
}

JsonWriter& JsonWriter::item(std::string_view value) {
  begin_value({});
  quote(value);
  return *this;
}

JsonWriter& JsonWriter::item(bool value) {
  begin_value({});
  text_ += value ? "true" : "false";
  return *this;
}

JsonWriter& JsonWriter::end() {
  text_ += open_.back();
  open_.pop_back();
  return *this;
}

std::string JsonWriter::take() {
  while (!open_.empty())
    end();
  return std::move(text_);
}

}  // namespace common::wire
