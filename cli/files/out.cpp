#include "cli/files/out.hpp"

#include <unistd.h>

#include <cerrno>
#include <ctime>

#include <nlohmann/json.hpp>

#include "common/utf8.hpp"
#include "common/wire/name.hpp"

namespace cli {

using common::fileproto::Attributes;
using common::fileproto::FileTime;
using common::fileproto::NodeKind;

namespace {

constexpr std::size_t kBuffer = 64 * 1024;
constexpr std::int64_t kSecondNs = 1'000'000'000;

std::tm local_time(FileTime time) {
  std::time_t seconds = time / kSecondNs - (time % kSecondNs < 0 ? 1 : 0);
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  return parts;
}

// Bytes that a shell takes as they are.
bool is_plain(std::string_view name) {
  return !name.empty() && name[0] != '~' && name[0] != '#' &&
         name.find_first_of(" \t\n!\"$&'()*;<=>?[\\]^`{|}") == std::string_view::npos;
}

bool is_printable(std::string_view name) {
  while (!name.empty()) {
    const common::Utf8Step step = common::decode_utf8(name);
    if (!step.valid || common::is_control(step.code_point))
      return false;
    name.remove_prefix(step.length);
  }
  return true;
}

void append_escaped(std::string& out, std::string_view character, bool valid) {
  static constexpr std::string_view kShort = "abtnvfr";  // 7 to 13
  const char c = character[0];
  if (valid && character.size() == 1 && c >= 7 && c <= 13)
    out += fmt::format("\\{}", kShort[static_cast<std::size_t>(c - 7)]);
  else
    for (const char byte : character)
      out += fmt::format("\\{:03o}", static_cast<unsigned char>(byte));
}

}  // namespace

void Out::write(std::string_view text) {
  if (error_ != 0)
    return;
  buffer_ += text;
  if (buffer_.size() >= kBuffer)
    static_cast<void>(flush());
}

bool Out::flush() {
  std::string_view rest = buffer_;
  while (!rest.empty() && error_ == 0) {
    const ssize_t put = ::write(fd_, rest.data(), rest.size());
    if (put < 0 && errno == EINTR)
      continue;
    if (put < 0)
      error_ = errno;
    else
      rest.remove_prefix(static_cast<std::size_t>(put));
  }
  buffer_.clear();
  return error_ == 0;
}

common::Error Out::trouble() const {
  return common::fail_errno(error_, "write standard output").value();
}

void Out::use(int fd) {
  static_cast<void>(flush());
  fd_ = fd;
  error_ = 0;
}

bool Out::is_terminal() const {
  return ::isatty(fd_) == 1;
}

Out& standard_out() {
  static Out out(STDOUT_FILENO);
  return out;
}

std::string quoted_name(std::string_view name) {
  if (is_printable(name)) {
    if (is_plain(name))
      return std::string(name);
    if (name.find('\'') == std::string_view::npos)
      return fmt::format("'{}'", name);
    if (name.find_first_of("\"$`\\!") == std::string_view::npos)
      return fmt::format("\"{}\"", name);
  }
  std::string out = "$'";
  while (!name.empty()) {
    const common::Utf8Step step = common::decode_utf8(name);
    const std::string_view character = name.substr(0, step.length);
    if (!step.valid || common::is_control(step.code_point))
      append_escaped(out, character, step.valid);
    else if (character == "'" || character == "\\")
      out += fmt::format("\\{}", character);
    else
      out += character;
    name.remove_prefix(step.length);
  }
  return out + "'";
}

std::string shown_name(std::string_view name) {
  return standard_out().is_terminal() ? quoted_name(name) : std::string(name);
}

void write_json(const nlohmann::json& value) {
  standard_out().write(value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
}

JsonList::JsonList(const nlohmann::json& head, std::string_view list) {
  std::string text = head.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  text.pop_back();
  standard_out().write(fmt::format("{}{}\"{}\":[", text, head.empty() ? "" : ",", list));
}

void JsonList::add(const nlohmann::json& item) {
  if (!first_)
    standard_out().write(",");
  first_ = false;
  write_json(item);
}

void JsonList::end() {
  standard_out().write("]}\n");
}

nlohmann::json json_name(std::string_view name) {
  return common::wire::encode_name(name);
}

nlohmann::json describe(const Attributes& node) {
  nlohmann::json object = {{"node", node.node.value},
                           {"type", kind_name(node.kind)},
                           {"mode", fmt::format("{:04o}", node.mode)},
                           {"uid", node.uid},
                           {"gid", node.gid},
                           {"links", node.links},
                           {"size", node.size},
                           {"allocated", node.allocated},
                           {"mtime_ns", node.mtime},
                           {"ctime_ns", node.ctime},
                           {"version", node.version.value},
                           {"data_version", node.data_version.value},
                           {"access_list", node.governed}};
  if (node.attached != common::VolumeId{})
    object["attached_volume"] = node.attached.value;
  return object;
}

std::string_view kind_name(NodeKind kind) {
  switch (kind) {
    case NodeKind::File:
      return "file";
    case NodeKind::Directory:
      return "directory";
    case NodeKind::Symlink:
      return "link";
    case NodeKind::Fifo:
      return "fifo";
    case NodeKind::Socket:
      return "socket";
    case NodeKind::CharacterDevice:
      return "character device";
    case NodeKind::BlockDevice:
      return "block device";
  }
  return "?";
}

std::string mode_text(const Attributes& node) {
  static constexpr std::string_view kKinds = "?-dlpscb";
  std::string text(1, kKinds[static_cast<std::size_t>(node.kind) % kKinds.size()]);
  for (int shift = 6; shift >= 0; shift -= 3) {
    const unsigned bits = (node.mode >> shift) & 7;
    text += (bits & 4) != 0 ? 'r' : '-';
    text += (bits & 2) != 0 ? 'w' : '-';
    text += (bits & 1) != 0 ? 'x' : '-';
  }
  const auto special = [&](unsigned bit, std::size_t at, char with, char without) {
    if ((node.mode & bit) != 0)
      text[at] = text[at] == 'x' ? with : without;
  };
  special(04000, 3, 's', 'S');
  special(02000, 6, 's', 'S');
  special(01000, 9, 't', 'T');
  return text + (node.governed ? "+" : "");
}

std::string human_size(std::uint64_t bytes) {
  constexpr std::uint64_t kStep = 1024;
  if (bytes < kStep)
    return std::to_string(bytes);
  static constexpr std::string_view kUnits = "KMGTPE";
  std::size_t unit = 0;
  std::uint64_t size = kStep;
  while (unit + 1 < kUnits.size() && bytes / size >= kStep) {
    size *= kStep;
    ++unit;
  }
  // Tenths, rounded upwards: nothing is shown smaller than it is.
  const std::uint64_t whole = bytes / size;
  const std::uint64_t tenths = whole * 10 + (bytes % size * 10 + size - 1) / size;
  if (tenths < 100)
    return fmt::format("{}.{}{}", tenths / 10, tenths % 10, kUnits[unit]);
  const std::uint64_t rounded = (tenths + 9) / 10;
  if (rounded == kStep && unit + 1 < kUnits.size())
    return fmt::format("1.0{}", kUnits[unit + 1]);
  return fmt::format("{}{}", rounded, kUnits[unit]);
}

std::string full_time(FileTime time) {
  const std::tm parts = local_time(time);
  char day[64];
  char zone[16];
  const std::size_t day_size = std::strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S", &parts);
  const std::size_t zone_size = std::strftime(zone, sizeof zone, "%z", &parts);
  return fmt::format("{}.{:09} {}", std::string_view(day, day_size),
                     (time % kSecondNs + kSecondNs) % kSecondNs, std::string_view(zone, zone_size));
}

std::string list_time(FileTime time, FileTime now) {
  constexpr FileTime kHalfYear = 182LL * 24 * 3600 * kSecondNs;
  const bool recent = time <= now && time > now - kHalfYear;
  const std::tm parts = local_time(time);
  char text[64];
  const std::size_t size = recent ? std::strftime(text, sizeof text, "%b %e %H:%M", &parts)
                                  : std::strftime(text, sizeof text, "%b %e  %Y", &parts);
  return {text, size};
}

}  // namespace cli
