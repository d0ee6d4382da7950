#pragma once

// A program's settings, each declared once: section, key, type, default, bounds, help. From that
// one declaration come the checks of the file, the environment variables and the text of --help.
//
//   Schema schema;
//   schema.section("limits", "What this server takes on.")
//       .integer("connections", &limits.connections, {1, 100'000}, "Connections in all.")
//       .duration("idle", &limits.idle, {1s, 1h}, "How long a quiet connection is kept.");
//   TROTH_TRY_VOID(schema.load(path, process_environment()));
//
// The value that a target holds when it is declared is its default. Every setting can also be given
// as TROTH_<SECTION>_<KEY>, which wins over the file. Secrets are never settings: a setting names
// the file that holds one.

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/config/values.hpp"
#include "common/result.hpp"

namespace common::config {

// Largest configuration file that is read; ours are a few KiB.
inline constexpr std::size_t kMaxFile = 1 << 20;

using Environment = std::map<std::string, std::string>;
// All variables of this process whose names begin with TROTH_.
Environment process_environment();

template <typename T>
struct Range {
  T min;
  T max;
};

enum class Presence : std::uint8_t {
  Optional,  // the default stands
  Required,  // there is no sensible default
};

// One value as it was found, before anybody knows what it should be.
struct RawValue {
  enum class Kind : std::uint8_t { Text, Integer, Boolean, Other };
  Kind kind = Kind::Other;
  std::string text;  // as written, for messages; the value itself where kind is Text
  std::int64_t integer = 0;
  bool boolean = false;
  bool from_environment = false;  // always Text, whatever is meant
};

class Schema {
 public:
  class Section;

  Schema();
  ~Schema();
  Schema(const Schema&) = delete;
  Schema& operator=(const Schema&) = delete;

  // Opens a section to declare settings in; naming one again continues it. Names of sections and
  // keys are lower case with underscores.
  Section section(std::string_view name, std::string_view help);

  // Reads the file (none if `path` is empty), then the environment, checks everything, and only
  // then sets the targets: after a failure all of them are as before. The failure is one line that
  // begins with FILE:LINE:COLUMN, or names the variable, and ends in what was expected.
  Status load(const std::string& path, const Environment& environment);
  // The same for text that is already here; relative paths are relative to the directory of `name`.
  Status load_text(const std::string& name, std::string_view text, const Environment& environment);

  // Where a setting got its value: "FILE:LINE:COLUMN: [section] key", "TROTH_SECTION_KEY" or
  // "[section] key (default)". For messages about values that turn out wrong only later.
  [[nodiscard]] std::string origin(std::string_view section, std::string_view key) const;

  // Every setting with its meaning, default, bounds and variable, in order of declaration.
  [[nodiscard]] std::string help() const;

  // For generated documentation and tests.
  struct Description {
    std::string section;
    std::string key;
    std::string variable;
    std::string expected;
    std::string default_text;  // empty with Required
    std::string help;
    Presence presence;
  };
  [[nodiscard]] std::vector<Description> describe() const;

 private:
  friend class Section;
  struct Setting;
  struct SectionInfo;
  struct Loader;

  void add(Setting setting);

  std::vector<SectionInfo> sections_;
  std::vector<Setting> settings_;
};

// Declares the settings of one section. Targets must outlive the schema.
class Schema::Section {
 public:
  // Text without control characters, at most 1 KiB.
  Section& text(std::string_view key, std::string* target, std::string_view help,
                Presence presence = Presence::Optional);
  // A path; a relative one is relative to the configuration file's directory, or to the working
  // directory when it comes from the environment. The target gets it made whole.
  Section& path(std::string_view key, std::string* target, std::string_view help,
                Presence presence = Presence::Optional);
  Section& boolean(std::string_view key, bool* target, std::string_view help);
  Section& duration(std::string_view key, std::chrono::milliseconds* target,
                    Range<std::chrono::milliseconds> range, std::string_view help);
  Section& size(std::string_view key, std::uint64_t* target, Range<std::uint64_t> range,
                std::string_view help);
  Section& endpoint(std::string_view key, Endpoint* target, std::string_view help,
                    PortZero zero = PortZero::Refused);

  template <std::integral T>
  Section& integer(std::string_view key, T* target, Range<std::int64_t> range,
                   std::string_view help) {
    return integer_setting(key, static_cast<std::int64_t>(*target), range, help,
                           [target](std::int64_t value) { *target = static_cast<T>(value); });
  }

  // One of a few words.
  template <typename E>
  Section& choice(std::string_view key, E* target,
                  std::initializer_list<std::pair<const char*, E>> words, std::string_view help,
                  Presence presence = Presence::Optional) {
    std::vector<std::string> names;
    std::vector<E> values;
    std::string default_word;
    for (const auto& [name, value] : words) {
      if (value == *target)
        default_word = name;
      names.emplace_back(name);
      values.push_back(value);
    }
    return choice_setting(key, default_word, std::move(names), help, presence,
                          [target, values](std::size_t index) { *target = values[index]; });
  }

 private:
  friend class Schema;
  Section(Schema& schema, std::string name) : schema_(schema), name_(std::move(name)) {}

  Section& integer_setting(std::string_view key, std::int64_t default_value,
                           Range<std::int64_t> range, std::string_view help,
                           std::function<void(std::int64_t)> set);
  Section& choice_setting(std::string_view key, const std::string& default_word,
                          std::vector<std::string> names, std::string_view help, Presence presence,
                          std::function<void(std::size_t)> set);

  Schema& schema_;
  std::string name_;
};

}  // namespace common::config
