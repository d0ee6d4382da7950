#pragma once

// Which refusals get a record of their own in the audit log. Being refused costs nobody anything,
// so without a limit one caller could push everybody's records out of the log.

#include <string>
#include <unordered_map>
#include <vector>

#include "common/sync/locked.hpp"
#include "kdc/audit_chain.hpp"
#include "kdc/guess_limit.hpp"

namespace kdc {

// Of one caller: 100 at once, then six a minute. To fill the audit log takes longer than records
// are kept.
inline constexpr GuessRules kRefusalRules{100, Millis(10'000), Millis(10'000)};
// The others of one caller are counted, in one record each time that so long has passed.
inline constexpr Millis kRefusalsCountedFor = std::chrono::minutes(1);
// Callers that are told apart; beyond it they share.
inline constexpr std::size_t kMostRefused = 10'000;

// Safe from any thread; its lock is a leaf. In memory: kill -9 loses counts of a minute, but none
// of the records.
class Refusals {
 public:
  explicit Refusals(std::size_t most = kMostRefused) : most_(most) {}

  // Whether this one, at its time `at`, gets a record; if not, it has been counted.
  [[nodiscard]] bool admit(const AuditRecord& record);

  enum class Which : std::uint8_t { Due, All };
  // At most `most` records of what was only counted; it counts from nothing again.
  [[nodiscard]] std::vector<AuditRecord> take_counted(Time now, std::size_t most, Which which);

 private:
  struct Caller {
    GuessState bucket;
    std::uint64_t counted = 0;
    Time since{};        // the first that was only counted
    std::string name;    // of the newest
    std::string source;  // likewise
  };
  using Callers = std::unordered_map<Id, Caller>;
  Caller& caller(Callers& callers, Id actor, Time now) const;

  const std::size_t most_;
  common::Locked<Callers> callers_;
};

}  // namespace kdc
