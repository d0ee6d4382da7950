#pragma once

// The Prometheus text format, character by character. Pure functions used by registry.cpp.

#include <string>
#include <string_view>

namespace common::metrics {

// Metric names: [a-zA-Z_:][a-zA-Z0-9_:]*; label names the same without ':' and not beginning "__".
bool is_metric_name(std::string_view name);
bool is_label_name(std::string_view name);

// Appends HELP text: backslash and newline escaped.
void append_help(std::string& out, std::string_view help);
// Appends a label value: backslash, newline and double quote escaped, invalid UTF-8 replaced by
// U+FFFD, because the format is UTF-8 and one bad byte would spoil the whole answer.
void append_label_value(std::string& out, std::string_view value);
// Appends a sample value as the format writes it: shortest exact decimal, NaN, +Inf, -Inf.
void append_number(std::string& out, double value);

}  // namespace common::metrics
