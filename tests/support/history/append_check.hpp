#pragma once

// Files to which many append records (G9): each that was acknowledged is there once, where its
// answer said, and whole; one whose outcome is unknown at most once; nothing else. Whoever reads
// the file sees what was acknowledged before he began, and what he saw stays the beginning of what
// is seen later.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tests/support/history/record.hpp"
#include "tests/support/history/verdicts.hpp"

namespace history {

class AppendCheck {
 public:
  explicit AppendCheck(Verdicts& verdicts) : verdicts_(verdicts) {}

  // Append and Log, both phases, in the order of their stamps.
  void take(const Record& record);
  void client_gone(std::uint64_t client);
  // All others have ended: this is the whole file.
  void take_content(std::uint64_t object, std::string_view content);
  // Files that were appended to.
  [[nodiscard]] std::vector<std::uint64_t> objects() const;

 private:
  enum class State : std::uint8_t { Open, Acknowledged, Refused };
  struct Token {
    State state = State::Open;
    std::uint32_t length = 0;
    std::uint64_t offset = 0;
  };
  struct Seen {  // by whoever read it
    std::uint64_t digest = 0;
    std::string who;
  };
  struct Log {
    std::uint64_t newest = 0;  // version that was answered to anybody
    std::uint64_t least = 0;   // bytes that are there for sure
    std::unordered_map<std::uint64_t, Token> tokens;
    std::map<std::uint64_t, Seen> seen;  // by length
  };
  struct InFlight {
    std::uint64_t floor = 0;
    std::uint64_t least = 0;
  };
  using Key = std::pair<std::uint64_t, std::uint64_t>;

  void returned(Log& log, const Record& record);
  void appended(Log& log, const Record& record);
  void was_read(Log& log, const Record& record);
  void compare_prefixes(const Log& log, std::string_view content, std::uint64_t object);

  Verdicts& verdicts_;
  std::map<std::uint64_t, Log> logs_;
  std::map<Key, InFlight> in_flight_;
};

}  // namespace history
