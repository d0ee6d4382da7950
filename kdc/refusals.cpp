#include "kdc/refusals.hpp"

#include <algorithm>

namespace kdc {

Refusals::Caller& Refusals::caller(Callers& callers, Id actor, Time now) const {
  const auto found = callers.find(actor);
  if (found != callers.end())
    return found->second;
  if (callers.size() >= most_) {
    std::erase_if(callers, [&](const auto& entry) {
      return entry.second.counted == 0 && is_forgettable(entry.second.bucket, kRefusalRules, now);
    });
  }
  const bool full = callers.size() >= most_;
  return callers
      .try_emplace(full ? kNobody : actor,
                   Caller{fresh_guesses(kRefusalRules, now), 0, now, {}, {}})
      .first->second;
}

bool Refusals::admit(const AuditRecord& record) {
  auto callers = callers_.lock();
  Caller& mine = caller(*callers, record.actor, record.at);
  if (take_attempt(mine.bucket, kRefusalRules, record.at).allowed)
    return true;
  if (mine.counted == 0)
    mine.since = record.at;
  mine.counted += record.times;
  mine.name = record.actor_name;
  mine.source = record.source;
  return false;
}

std::vector<AuditRecord> Refusals::take_counted(Time now, std::size_t most, Which which) {
  std::vector<AuditRecord> records;
  auto callers = callers_.lock();
  for (auto& [actor, mine] : *callers) {
    // A clock that was set back keeps nobody waiting.
    const bool due =
        which == Which::All || now - mine.since >= kRefusalsCountedFor || now < mine.since;
    if (mine.counted == 0 || !due)
      continue;
    if (records.size() >= most)
      break;
    records.push_back({.at = now,
                       .event = "refusals",
                       .actor = actor,
                       .actor_name = mine.name,
                       .source = mine.source,
                       .outcome = "overloaded",
                       .times = mine.counted,
                       .details = "so many were refused beside those that are listed"});
    mine.counted = 0;
  }
  return records;
}

}  // namespace kdc
