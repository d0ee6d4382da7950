#pragma once

// Who is disabled, as services ask that hold tickets of theirs (PROTOCOL.md, "Disabled").

#include <optional>
#include <vector>

#include "kdc/core.hpp"

namespace kdc {

// One answer: what has changed since a version, or a page of everybody.
struct DisabledPage {
  std::uint64_t version = 0;  // ask from here the next time
  bool whole = false;         // a page of everybody
  // Ids of principals that are disabled, or of nobody any more; ascending.
  std::vector<Id> disabled;
  // Others whose flag or groups have changed; none in a page of everybody.
  std::vector<Id> enabled;
  std::optional<Id> next;  // the next page begins after this one; none: there is no more
};

// Ids that one page of everybody looks at: some milliseconds.
inline constexpr std::size_t kMostDisabledSeen = 20'000;

// `since`: a version that an earlier answer told; none: everybody after `after`. A version that
// nobody knows any more, or that is of a database that was put back, is answered by the first page
// of everybody. One consistent view; safe from any thread.
common::Result<DisabledPage> read_disabled(Core& core, std::optional<std::uint64_t> since, Id after,
                                           std::size_t most = kMostDisabledSeen);

}  // namespace kdc
