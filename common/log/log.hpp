#pragma once

// Structured logging: one event, one sentence, named fields. Safe from any thread.
//
//   log::warn("refused a connection", {{"peer", address}, {"reason", "cap per address"}});
//
// A common::crypto::Secret cannot be a field: it has no conversion to text. Peers' bytes may be
// passed as they are; the sinks escape control characters, so no field can forge a log line.
//
// Writing never holds a caller up for long: a line whose reader is behind is dropped, counted, and
// reported once the reader has caught up (stream_sink.hpp). A line is at most 4 KiB; what does not
// fit is left out and the line says so.

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace common::log {

enum class Level : std::uint8_t { Debug, Info, Warn, Error };
enum class Format : std::uint8_t {
  Auto,  // Journal when standard error is connected to the journal, else Text
  Text,
  Json,     // one object a line
  Journal,  // text with the <N> priority prefix that journald understands
};

struct Field {
  std::string_view key;
  std::string value;
  bool is_number = false;

  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(v) {}
  Field(std::string_view k, const std::string& v) : key(k), value(v) {}
  Field(std::string_view k, bool v) : key(k), value(v ? "true" : "false"), is_number(true) {}
  template <std::integral T>
  Field(std::string_view k, T v) : key(k), value(std::to_string(v)), is_number(true) {}
  Field(std::string_view k, double v) : key(k), value(std::to_string(v)), is_number(true) {}
};

struct Options {
  Level level = Level::Info;
  Format format = Format::Auto;
  int fd = 2;  // where lines go; not owned. Anything but standard error is for tests.
};

// Sets the process's log; called once by main before other threads start. Without it: Text, Info.
void configure(const Options& options);

// Whether `fd` is the stream that the journal gave this service: JOURNAL_STREAM, which is inherited
// by children whose output goes elsewhere, names its device and inode.
bool is_journal_stream(int fd, const char* journal_stream);

// Lines lost since the start because nobody read them in time.
std::uint64_t dropped_lines();

// Whether a message of this level would be written; guards costly field building.
bool enabled(Level level);

void write(Level level, std::string_view message, std::initializer_list<Field> fields);

inline void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::Debug))
    write(Level::Debug, message, fields);
}
inline void info(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::Info, message, fields);
}
inline void warn(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::Warn, message, fields);
}
inline void error(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::Error, message, fields);
}

}  // namespace common::log
