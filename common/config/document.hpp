#pragma once

// TOML files that are lists of things rather than settings, such as a cell's description: tables
// and lists of tables, holding text only.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"

namespace common::config {

struct TextTable {
  std::string where;  // "FILE:LINE", for messages
  std::map<std::string, std::string, std::less<>> values;
};

struct TextDocument {
  std::map<std::string, TextTable, std::less<>> tables;              // [name]
  std::map<std::string, std::vector<TextTable>, std::less<>> lists;  // [[name]]
};

// Reads a document of at most kMaxFile bytes; `name` is how failures call it. Anything but text in
// a table is refused with its line. Pure.
Result<TextDocument> read_text_document(const std::string& name, std::string_view text);

// `text` as a TOML string with its quotes.
std::string toml_quoted(std::string_view text);

}  // namespace common::config
