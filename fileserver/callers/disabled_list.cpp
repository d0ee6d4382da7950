#include "fileserver/callers/disabled_list.hpp"

#include <algorithm>
#include <iterator>

namespace fileserver {

using common::ErrorCode;
using common::fail;
using common::MutexLock;
using common::Result;
using common::auth::DisabledNews;

bool DisabledList::has(PrincipalId id) const {
  if (!any_.load(std::memory_order_acquire))
    return false;
  const MutexLock lock(mutex_);
  return std::binary_search(ids_.begin(), ids_.end(), id);
}

std::size_t DisabledList::size() const {
  const MutexLock lock(mutex_);
  return ids_.size();
}

Result<std::vector<PrincipalId>> DisabledList::read_everybody(const Ask& ask,
                                                              DisabledNews first) const {
  std::vector<PrincipalId> all = std::move(first.disabled);
  std::optional<PrincipalId> next = first.next;
  while (next) {
    TROTH_TRY(DisabledNews page, ask(std::nullopt, *next));
    const bool goes_on = !page.next || *page.next > *next;
    const bool follows = page.disabled.empty() || page.disabled.front() > *next;
    if (!page.whole || !goes_on || !follows)
      return fail(ErrorCode::Protocol, "the KDC's pages of the disabled do not follow each other");
    if (all.size() + page.disabled.size() > kMostDisabled)
      return fail(ErrorCode::ResourceExhausted, "more than {} principals are disabled",
                  kMostDisabled);
    all.insert(all.end(), page.disabled.begin(), page.disabled.end());
    next = page.next;
  }
  return all;
}

std::vector<PrincipalId> DisabledList::replace(std::vector<PrincipalId> all) {
  std::vector<PrincipalId> newly;
  const MutexLock lock(mutex_);
  std::set_difference(all.begin(), all.end(), ids_.begin(), ids_.end(), std::back_inserter(newly));
  ids_ = std::move(all);
  any_.store(!ids_.empty(), std::memory_order_release);
  return newly;
}

Result<std::vector<PrincipalId>> DisabledList::refresh(const Ask& ask, common::Instant now) {
  std::optional<std::uint64_t> since = version_;
  if (now - whole_at_ >= kWholeEvery)
    since.reset();
  TROTH_TRY(DisabledNews news, ask(since, PrincipalId{}));
  // What happens while pages are read is asked for the next time.
  const std::uint64_t version = news.version;
  std::vector<PrincipalId> all;
  if (news.whole) {
    TROTH_TRY(all, read_everybody(ask, std::move(news)));
    whole_at_ = now;
  } else {
    std::vector<PrincipalId> kept;
    {
      const MutexLock lock(mutex_);
      std::set_difference(ids_.begin(), ids_.end(), news.enabled.begin(), news.enabled.end(),
                          std::back_inserter(kept));
    }
    std::set_union(kept.begin(), kept.end(), news.disabled.begin(), news.disabled.end(),
                   std::back_inserter(all));
    if (all.size() > kMostDisabled)
      return fail(ErrorCode::ResourceExhausted, "more than {} principals are disabled",
                  kMostDisabled);
  }
  version_ = version;
  return replace(std::move(all));
}

}  // namespace fileserver
