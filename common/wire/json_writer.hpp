#pragma once

// Builds one JSON object as text, field after field, for services that answer with what they hold:
//
//   JsonWriter().field("id", 7U).begin_list("groups").item("a").end().take()
//
// The caller opens and closes in pairs; names of fields are constants of ours.

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace common::wire {

class JsonWriter {
 public:
  JsonWriter() : text_("{") {}

  JsonWriter& field(std::string_view name, std::string_view value);
  JsonWriter& field(std::string_view name, const char* value) {
    return field(name, std::string_view(value));
  }
  JsonWriter& field(std::string_view name, bool value);
  template <std::integral T>
  requires(!std::same_as<T, bool>) JsonWriter& field(std::string_view name, T value) {
    begin_value(name);
    text_ += std::to_string(value);
    return *this;
  }
  // null if there is none.
  template <typename T>
  JsonWriter& field(std::string_view name, const std::optional<T>& value) {
    return value ? field(name, *value) : null(name);
  }
  JsonWriter& null(std::string_view name);

  // In an object or, without a name, in a list.
  JsonWriter& begin_object(std::string_view name = {});
  JsonWriter& begin_list(std::string_view name = {});
  JsonWriter& item(std::string_view value);
  // Closes what was begun last.
  JsonWriter& end();

  // The text, with what is still open closed. What is not UTF-8 in it has become U+FFFD.
  [[nodiscard]] std::string take();

 private:
  void begin_value(std::string_view name);
  void quote(std::string_view value);

  std::string text_;
  std::string open_ = "}";  // what closes, innermost last
};

}  // namespace common::wire
