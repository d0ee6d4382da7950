#include "common/config/schema.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "common/config/schema_parts.hpp"
#include "common/utf8.hpp"

namespace common::config {
namespace {

// A name, a path or a sentence; PATH_MAX is 4096 and nobody writes longer ones by hand.
constexpr std::size_t kMaxText = 1024;

bool is_clean_text(std::string_view text) {
  if (text.size() > kMaxText)
    return false;
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    if (!step.valid || is_control(step.code_point))
      return false;
    text.remove_prefix(step.length);
  }
  return true;
}

std::string in_quotes(std::string_view text) {
  return fmt::format("\"{}\"", text);
}

std::string absolute_path(const std::string& path, const std::string& directory) {
  const std::filesystem::path whole = std::filesystem::path(directory) / path;
  return whole.lexically_normal().string();
}

std::string join_words(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0)
      text += i + 1 == words.size() ? " or " : ", ";
    text += in_quotes(words[i]);
  }
  return text;
}

// The failure of a setting's accept(): its message is what was expected.
tl::unexpected<Error> not_accepted(std::string expected) {
  return tl::unexpected<Error>(Error{ErrorCode::InvalidArgument, std::move(expected)});
}

Result<std::int64_t> as_integer(const RawValue& value) {
  if (value.kind == RawValue::Kind::Integer)
    return value.integer;
  if (value.from_environment)
    return parse_integer(value.text);
  return fail(ErrorCode::InvalidArgument, "expected a whole number");
}

}  // namespace

Schema::Schema() = default;
Schema::~Schema() = default;

std::string Schema::Setting::variable() const {
  std::string name = "TROTH_" + section + "_" + key;
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return name;
}

Schema::Section Schema::section(std::string_view name, std::string_view help) {
  const bool known = std::any_of(sections_.begin(), sections_.end(),
                                 [&](const SectionInfo& info) { return info.name == name; });
  if (!known)
    sections_.push_back({std::string(name), std::string(help)});
  return {*this, std::string(name)};
}

void Schema::add(Setting setting) {
  settings_.push_back(std::move(setting));
}

std::string Schema::origin(std::string_view section, std::string_view key) const {
  for (const Setting& setting : settings_) {
    if (setting.section != section || setting.key != key)
      continue;
    if (!setting.origin.empty())
      return setting.origin;
  }
  return fmt::format("[{}] {} (default)", section, key);
}

Schema::Section& Schema::Section::text(std::string_view key, std::string* target,
                                       std::string_view help, Presence presence) {
  Setting setting{name_, std::string(key), std::string(help), "text", in_quotes(*target), presence};
  setting.accept = [target, presence](const RawValue& value,
                                      const std::string&) -> Result<Setting::Commit> {
    const bool empty = value.text.empty() && presence == Presence::Required;
    if (value.kind != RawValue::Kind::Text || empty || !is_clean_text(value.text)) {
      return not_accepted(fmt::format("text in quotes, at most {} bytes, {}no control characters",
                                      kMaxText, empty ? "not empty, " : ""));
    }
    return [target, text = value.text] { *target = text; };
  };
  schema_.add(std::move(setting));
  return *this;
}

Schema::Section& Schema::Section::path(std::string_view key, std::string* target,
                                       std::string_view help, Presence presence) {
  Setting setting{name_,    std::string(key),   std::string(help),
                  "a path", in_quotes(*target), presence};
  setting.accept = [target](const RawValue& value,
                            const std::string& directory) -> Result<Setting::Commit> {
    if (value.kind != RawValue::Kind::Text || value.text.empty() || !is_clean_text(value.text)) {
      return not_accepted("a path in quotes");
    }
    return [target, path = absolute_path(value.text, directory)] { *target = path; };
  };
  schema_.add(std::move(setting));
  return *this;
}

Schema::Section& Schema::Section::boolean(std::string_view key, bool* target,
                                          std::string_view help) {
  Setting setting{name_, std::string(key), std::string(help), "true or false",
                  *target ? "true" : "false"};
  setting.accept = [target](const RawValue& value, const std::string&) -> Result<Setting::Commit> {
    const bool word = value.from_environment && (value.text == "true" || value.text == "false");
    if (value.kind != RawValue::Kind::Boolean && !word)
      return not_accepted("true or false");
    return [target, on = word ? value.text == "true" : value.boolean] { *target = on; };
  };
  schema_.add(std::move(setting));
  return *this;
}

Schema::Section& Schema::Section::duration(std::string_view key, std::chrono::milliseconds* target,
                                           Range<std::chrono::milliseconds> range,
                                           std::string_view help) {
  const std::string expected = fmt::format("a duration with its unit, from {} to {}",
                                           format_duration(range.min), format_duration(range.max));
  Setting setting{name_, std::string(key), std::string(help), expected,
                  in_quotes(format_duration(*target))};
  setting.accept = [target, range, expected](const RawValue& value,
                                             const std::string&) -> Result<Setting::Commit> {
    const auto parsed = parse_duration(value.text);
    const bool is_text = value.kind == RawValue::Kind::Text;
    if (!is_text || !parsed || *parsed < range.min || *parsed > range.max) {
      return not_accepted(expected + ", such as \"" + format_duration(range.max) + "\"");
    }
    return [target, duration = *parsed] { *target = duration; };
  };
  schema_.add(std::move(setting));
  return *this;
}

Schema::Section& Schema::Section::size(std::string_view key, std::uint64_t* target,
                                       Range<std::uint64_t> range, std::string_view help) {
  const std::string expected = fmt::format("a size with its unit, from {} to {}",
                                           format_size(range.min), format_size(range.max));
  Setting setting{name_, std::string(key), std::string(help), expected,
                  in_quotes(format_size(*target))};
  setting.accept = [target, range, expected](const RawValue& value,
                                             const std::string&) -> Result<Setting::Commit> {
    const auto parsed = parse_size(value.text);
    const bool is_text = value.kind == RawValue::Kind::Text;
    if (!is_text || !parsed || *parsed < range.min || *parsed > range.max) {
      return not_accepted(expected + ", such as \"" + format_size(range.max) + "\"");
    }
    return [target, size = *parsed] { *target = size; };
  };
  schema_.add(std::move(setting));
  return *this;
}

Schema::Section& Schema::Section::endpoint(std::string_view key, Endpoint* target,
                                           std::string_view help, PortZero zero) {
  const bool has_default = !target->host.empty();
  Setting setting{name_,
                  std::string(key),
                  std::string(help),
                  "an address and a port",
                  in_quotes(has_default ? format_endpoint(*target) : ""),
                  has_default ? Presence::Optional : Presence::Required};
  setting.accept = [target, zero](const RawValue& value,
                                  const std::string&) -> Result<Setting::Commit> {
    const auto parsed = parse_endpoint(value.text, zero);
    if (value.kind != RawValue::Kind::Text || !parsed) {
      return not_accepted(
          "an address and a port in quotes, such as \"127.0.0.1:7480\" or \"[::1]:7480\"");
    }
    return [target, endpoint = *parsed] { *target = endpoint; };
  };
  schema_.add(std::move(setting));
  return *this;
}

Schema::Section& Schema::Section::integer_setting(std::string_view key, std::int64_t default_value,
                                                  Range<std::int64_t> range, std::string_view help,
                                                  std::function<void(std::int64_t)> set) {
  const std::string expected = fmt::format("a whole number from {} to {}", range.min, range.max);
  Setting setting{name_, std::string(key), std::string(help), expected,
                  std::to_string(default_value)};
  setting.accept = [range, expected, set](const RawValue& value,
                                          const std::string&) -> Result<Setting::Commit> {
    const auto number = as_integer(value);
    if (!number || *number < range.min || *number > range.max)
      return not_accepted(expected);
    return [set, n = *number] { set(n); };
  };
  schema_.add(std::move(setting));
  return *this;
}

Schema::Section& Schema::Section::choice_setting(std::string_view key,
                                                 const std::string& default_word,
                                                 std::vector<std::string> names,
                                                 std::string_view help, Presence presence,
                                                 std::function<void(std::size_t)> set) {
  const std::string expected = join_words(names);
  Setting setting{name_,    std::string(key),        std::string(help),
                  expected, in_quotes(default_word), presence};
  setting.accept = [names = std::move(names), expected, set](
                       const RawValue& value, const std::string&) -> Result<Setting::Commit> {
    const auto found = std::find(names.begin(), names.end(), value.text);
    if (value.kind != RawValue::Kind::Text || found == names.end()) {
      const std::string meant = closest_word(value.text, names);
      return not_accepted(meant.empty() ? expected
                                        : expected + "; did you mean \"" + meant + "\"?");
    }
    return [set, index = static_cast<std::size_t>(found - names.begin())] { set(index); };
  };
  schema_.add(std::move(setting));
  return *this;
}

}  // namespace common::config
