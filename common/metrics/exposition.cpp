#include "common/metrics/exposition.hpp"

#include <fmt/format.h>

#include <cmath>

#include "common/utf8.hpp"

namespace common::metrics {
namespace {

bool is_name(std::string_view name, bool colon_allowed) {
  if (name.empty() || (name.front() >= '0' && name.front() <= '9'))
    return false;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool digit = c >= '0' && c <= '9';
    if (!letter && !digit && c != '_' && !(c == ':' && colon_allowed))
      return false;
  }
  return true;
}

void append_escaped(std::string& out, std::string_view text, bool escape_quote) {
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    if (!step.valid) {
      out += "\xEF\xBF\xBD";
    } else if (step.code_point == '\\') {
      out += "\\\\";
    } else if (step.code_point == '\n') {
      out += "\\n";
    } else if (step.code_point == '"' && escape_quote) {
      out += "\\\"";
    } else {
      out += text.substr(0, step.length);
    }
    text.remove_prefix(step.length);
  }
}

}  // namespace

bool is_metric_name(std::string_view name) {
  return is_name(name, true);
}

bool is_label_name(std::string_view name) {
  return is_name(name, false) && !name.starts_with("__");
}

void append_help(std::string& out, std::string_view help) {
  append_escaped(out, help, false);
}

void append_label_value(std::string& out, std::string_view value) {
  append_escaped(out, value, true);
}

void append_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
  } else if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
  } else {
    fmt::format_to(std::back_inserter(out), "{}", value);
  }
}

}  // namespace common::metrics
