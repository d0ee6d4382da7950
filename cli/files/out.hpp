#pragma once

// Standard output of commands that may print much, and bytes as they are.

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "common/bytes.hpp"
#include "common/fileproto/node.hpp"
#include "common/result.hpp"

namespace cli {

// Buffered. After a failure nothing more is written. Main thread.
class Out {
 public:
  explicit Out(int fd) : fd_(fd) {}
  Out(const Out&) = delete;
  Out& operator=(const Out&) = delete;

  void write(std::string_view text);
  void write(common::ByteView bytes) { write(common::as_text(bytes)); }
  bool flush();
  [[nodiscard]] bool good() const { return error_ == 0; }
  // Why it is not good.
  [[nodiscard]] common::Error trouble() const;
  // Another output has begun: a pipe or file that was opened anew.
  void use(int fd);
  [[nodiscard]] bool is_terminal() const;

 private:
  int fd_;
  int error_ = 0;
  std::string buffer_;
};
Out& standard_out();

// A file name as part of the output: on a terminal quoted as a shell reads it, where it needs that
// ('a b', $'a\nb'); else its bytes.
[[nodiscard]] std::string shown_name(std::string_view name);
// The same, for a terminal.
[[nodiscard]] std::string quoted_name(std::string_view name);

// A list of JSON objects as one object on one line, written as it comes:
// {"<field>":<value>,...,"<list>":[...]}.
class JsonList {
 public:
  // `head`: the other fields; an object.
  JsonList(const nlohmann::json& head, std::string_view list);
  void add(const nlohmann::json& item);
  void end();

 private:
  bool first_ = true;
};
// One object on one line of ASCII.
void write_json(const nlohmann::json& value);

// What every command says of a node in JSON.
[[nodiscard]] nlohmann::json describe(const common::fileproto::Attributes& node);
[[nodiscard]] nlohmann::json json_name(std::string_view name);

// "file", "directory", …
[[nodiscard]] std::string_view kind_name(common::fileproto::NodeKind kind);
// "-rw-r--r--", with '+' behind it where an access list governs.
[[nodiscard]] std::string mode_text(const common::fileproto::Attributes& node);
// "1.5K", "20M": as ls -h and du -h round, upwards.
[[nodiscard]] std::string human_size(std::uint64_t bytes);
// "2026-11-21 18:39:09.123456789 +0000" in local time.
[[nodiscard]] std::string full_time(common::fileproto::FileTime time);
// "Nov 21 18:39", and for what is older than half a year or in the future "Nov 21  2025".
[[nodiscard]] std::string list_time(common::fileproto::FileTime time,
                                    common::fileproto::FileTime now);

}  // namespace cli
