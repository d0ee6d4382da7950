#pragma once

// Names in directories. Each is made, renamed and removed by one client only, one operation after
// the other, and never used again; everybody looks. So for each name there is a sequence of what it
// was (nothing, a node, nothing), and whoever looks must have seen one of those that were possible
// while he looked.

#include <cstdint>
#include <map>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tests/support/history/record.hpp"
#include "tests/support/history/verdicts.hpp"

namespace history {

class NamesCheck {
 public:
  // So long after it was removed a name is remembered only as one that must not come back.
  static constexpr std::int64_t kRememberedNs = 60'000'000'000;

  explicit NamesCheck(Verdicts& verdicts) : verdicts_(verdicts) {}

  // Create, Remove, Rename, Look and List, both phases, in the order of their stamps.
  void take(const Record& record);
  void client_gone(std::uint64_t client);
  // All others have ended: these are all entries of a directory.
  void take_last(std::uint64_t directory, const std::vector<Entry>& entries);
  // Names that are remembered in full.
  [[nodiscard]] std::size_t remembered() const { return names_.size(); }

 private:
  // An answer of the file system that any node would be.
  static constexpr std::uint64_t kAnyNode = ~std::uint64_t{0};

  struct Step {
    std::uint64_t client = 0;
    std::uint64_t op = 0;
    std::uint64_t node = 0;  // what the name is afterwards: 0 nothing
    std::int64_t began = 0;
    std::int64_t ended = 0;         // 0: it has not, or nobody knows
    bool only_explanation = false;  // of something that was seen
  };
  struct Name {
    std::vector<Step> steps;
  };
  using NameKey = std::pair<std::uint64_t, std::string>;  // directory, name
  struct InFlight {
    std::int64_t began = 0;
  };
  using Key = std::pair<std::uint64_t, std::uint64_t>;

  void invoke(const Record& record);
  void returned(const Record& record);
  void begin_step(const Record& record, const std::string& name, std::uint64_t node);
  void end_step(const Record& record, const std::string& name);
  // Somebody saw that the name is `node` (0: nothing), and had begun to look then.
  void seen(const Record& record, const NameKey& key, std::uint64_t node, std::int64_t began,
            Fault if_missing);
  void seen_all(const Record& record, std::int64_t began, Fault if_missing);
  void prune(std::int64_t now);

  Verdicts& verdicts_;
  std::map<NameKey, Name> names_;
  std::unordered_set<std::uint64_t> retired_;  // digests of names that are gone for good
  std::map<Key, InFlight> in_flight_;
  std::int64_t next_prune_ = 0;
};

}  // namespace history
