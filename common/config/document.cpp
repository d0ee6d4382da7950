#include "common/config/document.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include "common/config/schema.hpp"
#include "common/log/escape.hpp"

namespace common::config {
namespace {

std::string shown(std::string_view text) {
  constexpr std::size_t kMaxShown = 100;
  std::string out;
  log::append_escaped(out, text, log::Quoting::Bare, kMaxShown);
  return out;
}

std::string place(const std::string& file, const toml::node& node) {
  return fmt::format("{}:{}", file, node.source().begin.line);
}

Result<TextTable> read_table(const std::string& file, const toml::table& table) {
  TextTable read{.where = place(file, table), .values = {}};
  for (const auto& [key, value] : table) {
    const auto* text = value.as_string();
    if (text == nullptr) {
      return fail(ErrorCode::InvalidArgument, "{}: {} must be text in double quotes",
                  place(file, value), shown(key.str()));
    }
    read.values.emplace(key.str(), text->get());
  }
  return read;
}

Status read_entry(const std::string& file, const std::string& name, const toml::node& node,
                  TextDocument& into) {
  if (const auto* table = node.as_table()) {
    TROTH_TRY(TextTable read, read_table(file, *table));
    into.tables.emplace(name, std::move(read));
    return {};
  }
  const auto* list = node.as_array();
  if (list == nullptr) {
    return fail(ErrorCode::InvalidArgument, "{}: \"{}\" stands outside every section",
                place(file, node), shown(name));
  }
  for (const auto& element : *list) {
    const auto* table = element.as_table();
    if (table == nullptr) {
      return fail(ErrorCode::InvalidArgument, "{}: expected sections written [[{}]]",
                  place(file, element), shown(name));
    }
    TROTH_TRY(TextTable read, read_table(file, *table));
    into.lists[name].push_back(std::move(read));
  }
  return {};
}

}  // namespace

Result<TextDocument> read_text_document(const std::string& name, std::string_view text) {
  if (text.size() > kMaxFile) {
    return fail(ErrorCode::TooLarge, "{} is larger than {} KiB", name, kMaxFile / 1024);
  }
  TextDocument document;
  try {
    const toml::table root = toml::parse(text, std::string_view(name));
    for (const auto& [key, node] : root) {
      TROTH_TRY_VOID(read_entry(name, std::string(key.str()), node, document));
    }
  } catch (const toml::parse_error& error) {
    return fail(ErrorCode::InvalidArgument, "{}:{}: this is not valid TOML: {}", name,
                error.source().begin.line, shown(error.description()));
  } catch (const std::exception& error) {
    return fail(ErrorCode::InvalidArgument, "{}: this cannot be read as TOML: {}", name,
                shown(error.what()));
  }
  return document;
}

std::string toml_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\u{:04X}", byte);
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace common::config
