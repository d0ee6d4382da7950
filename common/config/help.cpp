#include <fmt/format.h>

#include "common/config/schema_parts.hpp"

namespace common::config {

std::vector<Schema::Description> Schema::describe() const {
  std::vector<Description> all;
  for (const SectionInfo& section : sections_) {
    for (const Setting& setting : settings_) {
      if (setting.section != section.name)
        continue;
      const bool required = setting.presence == Presence::Required;
      all.push_back({setting.section, setting.key, setting.variable(), setting.expected,
                     required ? "" : setting.default_text, setting.help, setting.presence});
    }
  }
  return all;
}

std::string Schema::help() const {
  std::string text = "Settings, in the configuration file or in the environment (which wins):\n";
  const std::vector<Description> all = describe();
  for (const SectionInfo& section : sections_) {
    text += fmt::format("\n[{}]  {}\n", section.name, section.help);
    for (const Description& setting : all) {
      if (setting.section != section.name)
        continue;
      const std::string value = setting.presence == Presence::Required
                                    ? "  (required)"
                                    : fmt::format(" = {}", setting.default_text);
      text += fmt::format("  {}{}\n      {}\n      {}; {}\n", setting.key, value, setting.help,
                          setting.variable, setting.expected);
    }
  }
  return text;
}

}  // namespace common::config
