#include "common/log/line.hpp"

#include <algorithm>

#include "common/log/escape.hpp"

namespace common::log {
namespace {

// Shown when something did not fit; its room is set aside from the beginning.
constexpr std::string_view kTextTruncated = " truncated=true";
constexpr std::string_view kJsonTruncated = ",\"truncated\":true";

std::string_view level_name(Level level) {
  switch (level) {
    case Level::Debug:
      return "debug";
    case Level::Info:
      return "info";
    case Level::Warn:
      return "warn";
    case Level::Error:
      return "error";
  }
  return "error";
}

// Syslog priorities as journald reads them at the start of a line.
std::string_view journal_prefix(Level level) {
  switch (level) {
    case Level::Debug:
      return "<7>";
    case Level::Info:
      return "<6>";
    case Level::Warn:
      return "<4>";
    case Level::Error:
      return "<3>";
  }
  return "<3>";
}

// Keys are written by us, yet a slip must not break the line.
std::string safe_key(std::string_view key) {
  std::string safe(key.substr(0, 64));
  for (char& c : safe) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '.' || c == '-';
    if (!ok)
      c = '_';
  }
  if (safe.empty())
    safe = "_";
  if (safe == "time" || safe == "level" || safe == "message" || safe == "truncated")
    safe += '_';
  return safe;
}

// Appends pieces while they fit; remembers whether anything was left out.
class Line {
 public:
  explicit Line(std::size_t room) : room_(room) {}

  // All of `text` or nothing.
  bool add(std::string_view text) {
    if (text_.size() + text.size() > room_)
      return false;
    text_ += text;
    return true;
  }

  // As much of an escaped value as fits between the two marks, which are always written; the caller
  // has made sure of room for them.
  void add_value(std::string_view mark, std::string_view value, Quoting quoting) {
    text_ += mark;
    const std::size_t left = room_ - std::min(room_, text_.size() + mark.size());
    if (!append_escaped(text_, value, quoting, std::min(left, kMaxValue)))
      truncated_ = true;
    text_ += mark;
  }

  [[nodiscard]] bool has_room(std::size_t bytes) const { return text_.size() + bytes <= room_; }
  void set_truncated() { truncated_ = true; }
  std::string take(std::string_view truncated_mark) {
    if (truncated_)
      text_ += truncated_mark;
    return std::move(text_);
  }

 private:
  std::string text_;
  std::size_t room_;
  bool truncated_ = false;
};

void add_text_value(Line& line, std::string_view value) {
  const bool plain = is_plain_word(value);
  line.add_value(plain ? "" : "\"", value, plain ? Quoting::Bare : Quoting::Quoted);
}

std::string render_text(std::string_view start, std::string_view message,
                        std::span<const Field> fields) {
  Line line(kMaxPayload - kTextTruncated.size());
  line.add(start);
  // A sentence that could be taken for fields is quoted, so that it forges none.
  const bool quote = message.find_first_of("=\"") != std::string_view::npos;
  line.add_value(quote ? "\"" : "", message, quote ? Quoting::Quoted : Quoting::Bare);
  for (const Field& field : fields) {
    const std::string key = " " + safe_key(field.key) + "=";
    if (!line.has_room(key.size() + 2)) {
      line.set_truncated();
      break;
    }
    line.add(key);
    add_text_value(line, field.value);
  }
  return line.take(kTextTruncated);
}

// Without the outer braces: spdlog's pattern puts the time there.
std::string render_json(Level level, std::string_view message, std::span<const Field> fields) {
  Line line(kMaxPayload - kJsonTruncated.size());
  line.add("\"level\":\"");
  line.add(level_name(level));
  line.add("\",\"message\":");
  line.add_value("\"", message, Quoting::Json);
  for (const Field& field : fields) {
    const std::string key = ",\"" + safe_key(field.key) + "\":";
    const bool bare = field.is_number && field.value.size() <= 32 && is_json_scalar(field.value);
    if (!line.has_room(key.size() + (bare ? field.value.size() : 2))) {
      line.set_truncated();
      break;
    }
    line.add(key);
    if (bare) {
      line.add(field.value);
    } else {
      line.add_value("\"", field.value, Quoting::Json);
    }
  }
  return line.take(kJsonTruncated);
}

std::string_view text_prefix(Level level) {
  switch (level) {
    case Level::Debug:
      return "DEBUG ";
    case Level::Info:
      return "INFO ";
    case Level::Warn:
      return "WARN ";
    case Level::Error:
      return "ERROR ";
  }
  return "ERROR ";
}

}  // namespace

std::string render_payload(Format format, Level level, std::string_view message,
                           std::span<const Field> fields) {
  if (format == Format::Json)
    return render_json(level, message, fields);
  const std::string_view start =
      format == Format::Journal ? journal_prefix(level) : text_prefix(level);
  return render_text(start, message, fields);
}

}  // namespace common::log
