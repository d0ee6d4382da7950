#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>

#include "common/config/schema_parts.hpp"
#include "common/io/unique_fd.hpp"
#include "common/log/escape.hpp"

extern char** environ;

namespace common::config {
namespace {

// Bytes of a wrong value that a message shows.
constexpr std::size_t kMaxShown = 64;

std::string escaped(std::string_view text) {
  std::string out;
  if (!log::append_escaped(out, text, log::Quoting::Quoted, kMaxShown))
    out += "...";
  return out;
}

Result<std::string> read_file(const std::string& path) {
  // O_NONBLOCK: a FIFO in the file's place must not hold the program up.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid())
    return fail_errno(errno, "cannot read the configuration {}; name a file that can be read",
                      path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0)
    return fail_errno(errno, "cannot read {}", path);
  if (!S_ISREG(info.st_mode)) {
    return fail(ErrorCode::InvalidArgument,
                "cannot read the configuration {}: it is not an ordinary file; name one", path);
  }
  std::string text;
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0)
      return fail_errno(errno, "cannot read the configuration {}", path);
    if (n == 0)
      return text;
    text.append(buffer.data(), static_cast<std::size_t>(n));
    if (text.size() > kMaxFile) {
      return fail(ErrorCode::TooLarge, "the configuration {} is larger than {} KiB", path,
                  kMaxFile / 1024);
    }
  }
}

RawValue to_raw(const toml::node& node) {
  RawValue raw;
  if (const auto* text = node.as_string()) {
    raw.kind = RawValue::Kind::Text;
    raw.text = text->get();
  } else if (const auto* integer = node.as_integer()) {
    raw.kind = RawValue::Kind::Integer;
    raw.integer = integer->get();
    raw.text = std::to_string(raw.integer);
  } else if (const auto* boolean = node.as_boolean()) {
    raw.kind = RawValue::Kind::Boolean;
    raw.boolean = boolean->get();
    raw.text = raw.boolean ? "true" : "false";
  } else if (const auto* real = node.as_floating_point()) {
    raw.text = fmt::format("{}", real->get());
  } else if (node.is_table()) {
    raw.text = "a table";
  } else if (node.is_array()) {
    raw.text = "a list";
  } else {
    raw.text = "a date or time";
  }
  return raw;
}

bool sounds_secret(std::string_view key) {
  for (const char* word : {"password", "passphrase", "secret", "token"}) {
    if (key.find(word) != std::string_view::npos)
      return true;
  }
  return false;
}

// toml++ sorts keys; people read from the top: the first problem in the file is the one to report.
struct Problem {
  toml::source_position where{};
  std::string text;
};

}  // namespace

Environment process_environment() {
  Environment result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (!text.starts_with("TROTH_") || equals == std::string_view::npos)
      continue;
    result.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return result;
}

// One load: finds problems and collects what to set, and sets it only if there was no problem.
struct Schema::Loader {
  Schema& schema;
  std::string file;
  std::string directory;
  std::optional<Problem> first{};
  struct Found {
    Setting::Commit commit;
    std::string origin;
  };
  std::map<const Setting*, Found> found{};

  void problem(const toml::source_region& region, std::string text) {
    const auto& where = region.begin;
    const bool earlier = !first || where.line < first->where.line ||
                         (where.line == first->where.line && where.column < first->where.column);
    if (earlier)
      first = Problem{where, std::move(text)};
  }

  std::vector<std::string> section_names() const {
    std::vector<std::string> names;
    for (const auto& section : schema.sections_)
      names.push_back(section.name);
    return names;
  }

  std::vector<std::string> key_names(std::string_view section) const {
    std::vector<std::string> names;
    for (const auto& setting : schema.settings_) {
      if (setting.section == section)
        names.push_back(setting.key);
    }
    return names;
  }

  Setting* find(std::string_view section, std::string_view key) const {
    for (auto& setting : schema.settings_) {
      if (setting.section == section && setting.key == key)
        return &setting;
    }
    return nullptr;
  }

  // What to say after an unknown name: the likely one, or all of them.
  static std::string advice(std::string_view word, const std::vector<std::string>& known) {
    const std::string meant = closest_word(word, known);
    if (!meant.empty())
      return fmt::format("did you mean \"{}\"?", meant);
    return fmt::format("expected one of {}", fmt::join(known, ", "));
  }

  void read_setting(const std::string& section, std::string_view key, const toml::node& node) {
    const Setting* setting = find(section, key);
    if (setting == nullptr) {
      const std::string say =
          sounds_secret(key) ? "secrets do not belong in the configuration: name a file instead"
                             : advice(key, key_names(section));
      problem(node.source(),
              fmt::format("unknown key \"{}\" in [{}]; {}", escaped(key), section, say));
      return;
    }
    const RawValue raw = to_raw(node);
    auto commit = setting->accept(raw, directory);
    const auto& at = node.source().begin;
    if (!commit) {
      const char* quote = raw.kind == RawValue::Kind::Text ? "\"" : "";
      problem(node.source(), fmt::format("[{}] {} is {}{}{}; expected {}", section, key, quote,
                                         escaped(raw.text), quote, commit.error().message));
      return;
    }
    found[setting] = {*std::move(commit),
                      fmt::format("{}:{}:{}: [{}] {}", file, at.line, at.column, section, key)};
  }

  void read_section(const std::string& name, const toml::node& node) {
    const auto known = section_names();
    const bool is_known = std::find(known.begin(), known.end(), name) != known.end();
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      problem(node.source(),
              is_known
                  ? fmt::format("\"{0}\" must be a section, written [{0}]", name)
                  : fmt::format("\"{}\" stands outside every section; expected it below one of "
                                "[{}]",
                                escaped(name), fmt::join(known, "], [")));
      return;
    }
    if (!is_known) {
      problem(node.source(),
              fmt::format("unknown section [{}]; {}", escaped(name), advice(name, known)));
      return;
    }
    for (const auto& [key, value] : *table)
      read_setting(name, key.str(), value);
  }

  Status read_toml(std::string_view text) {
    try {
      const toml::table root = toml::parse(text, std::string_view(file));
      for (const auto& [key, value] : root)
        read_section(std::string(key.str()), value);
    } catch (const toml::parse_error& error) {
      const auto& at = error.source().begin;
      return fail(ErrorCode::InvalidArgument, "{}:{}:{}: this is not valid TOML: {}", file, at.line,
                  at.column, shown_sentence(error.description()));
    } catch (const std::exception& error) {
      return fail(ErrorCode::InvalidArgument, "{}: this cannot be read as TOML: {}", file,
                  shown_sentence(error.what()));
    }
    if (first) {
      return fail(ErrorCode::InvalidArgument, "{}:{}:{}: {}", file, first->where.line,
                  first->where.column, first->text);
    }
    return {};
  }

  // The library's own words, which may quote bytes of the file.
  static std::string shown_sentence(std::string_view text) {
    constexpr std::size_t kMaxSentence = 200;
    std::string out;
    log::append_escaped(out, text, log::Quoting::Bare, kMaxSentence);
    return out;
  }

  Status read_variable(const std::string& name, const std::string& value) {
    for (auto& setting : schema.settings_) {
      if (setting.variable() != name)
        continue;
      RawValue raw{RawValue::Kind::Text, value};
      raw.from_environment = true;
      std::error_code ignored;
      auto commit = setting.accept(raw, std::filesystem::current_path(ignored).string());
      if (!commit) {
        return fail(ErrorCode::InvalidArgument, "environment variable {} is \"{}\"; expected {}",
                    name, escaped(value), commit.error().message);
      }
      found[&setting] = {*std::move(commit), name};
      return {};
    }
    return unknown_variable(name);
  }

  // A variable that begins like a section of ours but names no setting is a slip; any other TROTH_
  // variable belongs to another program.
  Status unknown_variable(const std::string& name) const {
    std::vector<std::string> known;
    bool ours = false;
    for (const auto& setting : schema.settings_) {
      known.push_back(setting.variable());
      const std::size_t prefix = known.back().size() - setting.key.size();
      ours = ours || name.starts_with(known.back().substr(0, prefix));
    }
    if (!ours)
      return {};
    const std::string meant = closest_word(name, known);
    return fail(ErrorCode::InvalidArgument, "environment variable {} names no setting; {}",
                escaped(name),
                meant.empty() ? "unset it, or see --help for all of them"
                              : fmt::format("did you mean {}?", meant));
  }

  Status check_required() const {
    for (const auto& setting : schema.settings_) {
      if (setting.presence != Presence::Required || found.contains(&setting))
        continue;
      return fail(ErrorCode::InvalidArgument,
                  "{}: [{}] {} is missing; expected {}, in the file or as {}",
                  file.empty() ? "configuration" : file, setting.section, setting.key,
                  setting.expected, setting.variable());
    }
    return {};
  }

  void commit() {
    for (auto& setting : schema.settings_) {
      const auto it = found.find(&setting);
      if (it == found.end())
        continue;
      it->second.commit();
      setting.origin = it->second.origin;
    }
  }
};

Status Schema::load(const std::string& path, const Environment& environment) {
  std::string text;
  if (!path.empty()) {
    TROTH_TRY(text, read_file(path));
  }
  return load_text(path, text, environment);
}

Status Schema::load_text(const std::string& name, std::string_view text,
                         const Environment& environment) {
  std::error_code ignored;
  const auto whole = std::filesystem::absolute(name.empty() ? "." : name, ignored);
  Loader loader{*this, name, whole.parent_path().string()};
  TROTH_TRY_VOID(loader.read_toml(text));
  for (const auto& [variable, value] : environment) {
    TROTH_TRY_VOID(loader.read_variable(variable, value));
  }
  TROTH_TRY_VOID(loader.check_required());
  loader.commit();
  return {};
}

}  // namespace common::config
