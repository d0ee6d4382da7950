#include "kdc/disabled.hpp"

#include <limits>

#include "kdc/groups.hpp"
#include "kdc/principals.hpp"

namespace kdc {
namespace {

using common::Result;
using common::Status;
using common::db::ReadTx;

Status read_changed(ReadTx& tx, const DirectoryChanges& changes, DisabledPage& page) {
  for (const Id id : changes.principals) {
    TROTH_TRY(const auto principal, find_principal(tx, id));
    (!principal || principal->disabled ? page.disabled : page.enabled).push_back(id);
  }
  return {};
}

// An id that was given out and is no principal's and no group's any more was somebody's who has
// been removed: his tickets are as bad as those of a disabled one.
Status read_everybody(ReadTx& tx, Id after, std::size_t most, DisabledPage& page) {
  page.whole = true;
  TROTH_TRY(auto rows, tx.query("SELECT used_id.id, CASE WHEN user_group.id IS NOT NULL THEN 0 "
                                "ELSE coalesce(principal.disabled, 1) END FROM used_id "
                                "LEFT JOIN principal ON principal.id = used_id.id "
                                "LEFT JOIN user_group ON user_group.id = used_id.id "
                                "WHERE used_id.id > ?1 ORDER BY used_id.id LIMIT ?2",
                                after.value, most));
  std::size_t seen = 0;
  Id last = after;
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      break;
    ++seen;
    last = Id(static_cast<std::uint32_t>(rows.column_uint64(0)));
    if (rows.column_uint64(1) != 0)
      page.disabled.push_back(last);
  }
  if (seen == most)
    page.next = last;
  return {};
}

}  // namespace

Result<DisabledPage> read_disabled(Core& core, std::optional<std::uint64_t> since, Id after,
                                   std::size_t most) {
  return core.read([&](ReadTx& tx) -> Result<DisabledPage> {
    DisabledPage page;
    // What is newer than any version has no changes, but tells the version that there is.
    constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max() / 2;
    TROTH_TRY(const DirectoryChanges changes, directory_changes(tx, since.value_or(kNever)));
    page.version = changes.version;
    if (!changes.everything)
      TROTH_TRY_VOID(read_changed(tx, changes, page));
    else
      TROTH_TRY_VOID(read_everybody(tx, since ? kNobody : after, most, page));
    return page;
  });
}

}  // namespace kdc
