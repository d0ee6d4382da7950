#include "tests/support/history/record.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <memory>

#include "common/clock.hpp"

namespace history {

using common::ErrorCode;
using common::fail;
using common::Result;

namespace {

constexpr std::array<std::string_view, 11> kKinds{
    "idle", "read", "write", "append", "log", "create", "remove", "rename", "look", "list", "torn"};
constexpr std::array<std::string_view, 3> kOutcomes{"done", "refused", "unknown"};
// A line: phase, kind, outcome, ten numbers, name, to, entries, text. Empty texts are "-".
constexpr std::size_t kNumbers = 10;

std::string shown(const std::string& text) {
  return text.empty() ? "-" : text;
}
std::string hidden(std::string_view text) {
  return text == "-" ? std::string() : std::string(text);
}

// The next word of the line, without the space behind it.
std::string_view next_word(std::string_view& line) {
  const auto end = line.find(' ');
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  return word;
}

template <typename Number>
bool parse_word(std::string_view word, Number& number) {
  const auto done = std::from_chars(word.data(), word.data() + word.size(), number);
  return done.ec == std::errc() && done.ptr == word.data() + word.size();
}

template <typename Words, typename Value>
bool look_up(const Words& words, std::string_view word, Value& value) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == word) {
      value = static_cast<Value>(i);
      return true;
    }
  }
  return false;
}

bool parse_entries(std::string_view text, std::vector<Entry>& entries) {
  while (!text.empty()) {
    const auto end = text.find(',');
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const auto colon = one.find(':');
    Entry entry;
    if (colon == std::string_view::npos || !parse_word(one.substr(colon + 1), entry.node))
      return false;
    entry.name = one.substr(0, colon);
    entries.push_back(std::move(entry));
  }
  return true;
}

}  // namespace

std::string to_line(const Record& record) {
  std::string entries;
  for (const Entry& entry : record.entries)
    entries += fmt::format("{}{}:{}", entries.empty() ? "" : ",", entry.name, entry.node);
  return fmt::format(
      "{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}",
      record.phase == Phase::Invoke ? "?" : "=", kKinds[static_cast<std::size_t>(record.kind)],
      kOutcomes[static_cast<std::size_t>(record.outcome)], record.at, record.client, record.op,
      record.object, record.version, record.value, record.offset, record.length, record.digest,
      record.node, shown(record.name), shown(record.to), shown(entries), record.text);
}

Result<Record> from_line(std::string_view line) {
  const std::string_view whole = line;
  const auto refuse = [&] {
    return fail(ErrorCode::Protocol, "no line of a history: {}", whole.substr(0, 200));
  };
  Record record;
  const std::string_view phase = next_word(line);
  if (phase != "?" && phase != "=")
    return refuse();
  record.phase = phase == "?" ? Phase::Invoke : Phase::Return;
  if (!look_up(kKinds, next_word(line), record.kind) ||
      !look_up(kOutcomes, next_word(line), record.outcome) ||
      !parse_word(next_word(line), record.at))
    return refuse();
  const std::array<std::uint64_t*, kNumbers - 1> numbers{
      &record.client, &record.op,     &record.object, &record.version, &record.value,
      &record.offset, &record.length, &record.digest, &record.node};
  for (std::uint64_t* const number : numbers) {
    if (!parse_word(next_word(line), *number))
      return refuse();
  }
  record.name = hidden(next_word(line));
  record.to = hidden(next_word(line));
  if (!parse_entries(hidden(next_word(line)), record.entries))
    return refuse();
  record.text = line;
  return record;
}

std::string describe(const Record& record) {
  std::string said = fmt::format("c{} op {} {}", record.client, record.op,
                                 kKinds[static_cast<std::size_t>(record.kind)]);
  if (!record.name.empty())
    said += " " + record.name;
  return said;
}

Result<std::unique_ptr<Writer>> Writer::open(const std::string& path) {
  common::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file.valid())
    return common::fail_errno(errno, "open {}", path);
  return std::unique_ptr<Writer>(new Writer(std::move(file)));
}

void Writer::write(Record record) {
  static const common::SystemClock clock;
  const common::MutexLock lock(mutex_);
  record.at = clock.now().time_since_epoch().count();
  const std::string line = to_line(record) + "\n";
  // A history with holes proves nothing.
  if (::write(file_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    std::perror("writing a history");
    std::abort();
  }
}

std::uint64_t digest_of(std::string_view bytes, std::uint64_t begin) {
  constexpr std::uint64_t kPrime = 1099511628211ULL;  // FNV-1a
  for (const char byte : bytes)
    begin = (begin ^ static_cast<unsigned char>(byte)) * kPrime;
  return begin;
}

}  // namespace history
