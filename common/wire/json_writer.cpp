#include "common/wire/json_writer.hpp"

#include <nlohmann/json.hpp>

namespace common::wire {

void JsonWriter::quote(std::string_view value) {
  using nlohmann::json;
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
