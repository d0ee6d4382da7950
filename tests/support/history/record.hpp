#pragma once

// What clients of a test write down of each operation before they begin it and when they know what
// came of it: one line of text each. All processes of a run take their stamps from one clock, so
// that the lines of all of them can be put into one order.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/io/unique_fd.hpp"
#include "common/result.hpp"
#include "common/sync/mutex.hpp"

namespace history {

enum class Phase : std::uint8_t { Invoke, Return };

enum class Kind : std::uint8_t {
  Idle,    // nothing but the stamp: the writer lives, and says nothing earlier any more
  Read,    // of a register: a file's whole content, or an attribute; value, version
  Write,   // of a register: value
  Append,  // of one record: value names it, length; offset, version
  Log,     // a file of appended records, read whole: length, digest, version
  Create,  // name; node
  Remove,  // name
  Rename,  // name, to, node
  Look,    // name; node, 0: nothing has it
  List,    // entries
  Torn,    // what was read is no whole content or record: text says where and how
};

enum class Outcome : std::uint8_t {
  Done,
  Refused,  // certainly not executed
  Unknown,  // perhaps executed, perhaps only later
};

struct Entry {
  std::string name;
  std::uint64_t node = 0;
  friend bool operator==(const Entry&, const Entry&) = default;
};

// Of an Invoke: what is asked for. Of a Return: the same again, and what came of it.
struct Record {
  Phase phase = Phase::Invoke;
  Kind kind = Kind::Idle;
  Outcome outcome = Outcome::Done;
  std::int64_t at = 0;       // ns of CLOCK_BOOTTIME
  std::uint64_t client = 0;  // a process: whoever takes another's place has another number
  std::uint64_t op = 0;      // of this client
  std::uint64_t object = 0;  // the register, log or directory
  std::uint64_t version = 0;
  std::uint64_t value = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t digest = 0;
  std::uint64_t node = 0;
  std::string name;  // letters, digits, '-', '.' and '_' only
  std::string to;
  std::vector<Entry> entries;
  std::string text;  // one line, for people
  friend bool operator==(const Record&, const Record&) = default;
};

// Without the newline.
[[nodiscard]] std::string to_line(const Record& record);
[[nodiscard]] common::Result<Record> from_line(std::string_view line);
[[nodiscard]] std::string describe(const Record& record);

// Appends records to a file. Each is there when write() returns, also if the process is killed
// then. Any thread; the stamps in the file never go back.
class Writer {
 public:
  [[nodiscard]] static common::Result<std::unique_ptr<Writer>> open(const std::string& path);
  // Stamps it.
  void write(Record record) EXCLUDES(mutex_);

 private:
  explicit Writer(common::UniqueFd file) : file_(std::move(file)) {}
  common::Mutex mutex_;
  common::UniqueFd file_ GUARDED_BY(mutex_);
};

// The name of bytes in a history; not against liars. Can be built up: of a, then of b beginning
// with that of a, is the digest of a and b together.
inline constexpr std::uint64_t kEmptyDigest = 14695981039346656037ULL;
[[nodiscard]] std::uint64_t digest_of(std::string_view bytes, std::uint64_t begin = kEmptyDigest);

}  // namespace history
