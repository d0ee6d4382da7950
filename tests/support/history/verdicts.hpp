#pragma once

// What checkers find.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace history {

enum class Fault : std::uint8_t {
  Stale,       // an operation saw less than what was done before it began
  Lost,        // something acknowledged is not there
  Duplicated,  // something took effect twice
  Torn,        // a mixture of contents, or a part of one
  Invented,    // something is there that nobody made, or that was refused
  Disordered,  // no order of the operations explains what was answered
};

// Counts all, and keeps the first sentences.
class Verdicts {
 public:
  static constexpr std::size_t kKept = 100;

  void add(Fault fault, std::string text);
  [[nodiscard]] std::uint64_t of(Fault fault) const {
    return counts_[static_cast<std::size_t>(fault)];
  }
  [[nodiscard]] std::uint64_t all() const;
  [[nodiscard]] const std::vector<std::string>& texts() const { return texts_; }

 private:
  std::array<std::uint64_t, 6> counts_{};
  std::vector<std::string> texts_;
};

}  // namespace history
