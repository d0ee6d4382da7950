#include "fileserver/operations/allowance.hpp"

#include <algorithm>

namespace fileserver {

using common::Instant;
using common::Status;
using common::ticket::PrincipalId;

namespace {

Status not_now(common::Duration wait) {
  return tl::unexpected(common::Error{common::ErrorCode::Overloaded,
                                      "nobody may have so many of these at a time: ask again later",
                                      std::chrono::ceil<std::chrono::milliseconds>(wait)});
}

}  // namespace

Status Allowance::ask(Table& table, PrincipalId who, std::uint64_t count, bool take) {
  const Instant now = clock_.now();
  const auto found = table.find(who);
  const Instant from = found == table.end() ? now : std::max(found->second, now);
  const auto of = [&](std::uint64_t many) {
    return rate_.comes_back * static_cast<std::int64_t>(std::min(many, rate_.most + 1));
  };
  const Instant after = from + of(count);
  if (const auto wait = after - (now + of(rate_.most)); wait > common::Duration::zero())
    return not_now(wait);
  if (!take)
    return {};
  if (found == table.end() && table.size() >= kMostPrincipals) {
    std::erase_if(table, [&](const auto& entry) { return entry.second <= now; });
    if (table.size() >= kMostPrincipals)
      return not_now(rate_.comes_back);
  }
  table[who] = after;
  return {};
}

Status Allowance::take(PrincipalId who, std::uint64_t count) {
  auto table = table_.lock();
  return ask(*table, who, count, true);
}

Status Allowance::check(PrincipalId who, std::uint64_t count) {
  auto table = table_.lock();
  return ask(*table, who, count, false);
}

void Allowance::give_back(PrincipalId who, std::uint64_t count) {
  auto table = table_.lock();
  const auto found = table->find(who);
  if (found == table->end())
    return;
  found->second -= rate_.comes_back * static_cast<std::int64_t>(std::min(count, rate_.most));
  if (found->second <= clock_.now())
    table->erase(found);
}

}  // namespace fileserver
