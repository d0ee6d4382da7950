#include "kdc/group_graph.hpp"

#include <algorithm>

namespace kdc {
namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;
using common::db::ReadTx;
using common::db::WriteTx;

// Versions of the directory that are remembered one by one; whoever is further behind starts anew.
constexpr std::uint64_t kMostRemembered = 100'000;

Result<std::vector<Id>> ids_of(common::db::Statement& rows, std::size_t most) {
  std::vector<Id> ids;
  for (;;) {
    TROTH_TRY(const bool more, rows.step());
    if (!more || ids.size() == most)
      return ids;
    ids.emplace_back(static_cast<std::uint32_t>(rows.column_uint64(0)));
  }
}

Result<bool> is_group(ReadTx& tx, Id id) {
  TROTH_TRY(auto row, tx.query("SELECT 1 FROM user_group WHERE id = ?1", id.value));
  return row.step();
}

enum class Way : std::uint8_t { Up, Down };

// Longest path of groups from `start` (not counted), which is a group. The graph has no cycle and
// was built within the bound, so the levels end.
Result<std::uint32_t> height(ReadTx& tx, Id start, Way way) {
  std::vector<Id> level{start};
  for (std::uint32_t steps = 0; steps <= kMostNesting + 1; ++steps) {
    std::vector<Id> next;
    for (const Id id : level) {
      TROTH_TRY(auto rows,
                way == Way::Up
                    ? tx.query("SELECT in_group FROM membership WHERE member = ?1", id.value)
                    : tx.query("SELECT member FROM membership JOIN user_group ON "
                               "user_group.id = member WHERE in_group = ?1",
                               id.value));
      TROTH_TRY(const auto found, ids_of(rows, kMostMembers));
      next.insert(next.end(), found.begin(), found.end());
    }
    if (next.empty())
      return steps;
    std::sort(next.begin(), next.end());
    next.erase(std::unique(next.begin(), next.end()), next.end());
    level = std::move(next);
  }
  return kMostNesting + 1;
}

}  // namespace

Result<std::vector<Id>> closure_of(ReadTx& tx, Id member) {
  TROTH_TRY(auto rows,
            tx.query("WITH RECURSIVE up(id) AS (SELECT in_group FROM membership WHERE member = ?1 "
                     "UNION SELECT in_group FROM up JOIN membership ON member = id) "
                     "SELECT id FROM up ORDER BY id LIMIT ?2",
                     member.value, kMostClosure));
  return ids_of(rows, kMostClosure);
}

Result<bool> is_within(ReadTx& tx, Id member, Id group) {
  TROTH_TRY(const auto groups, closure_of(tx, member));
  return std::binary_search(groups.begin(), groups.end(), group);
}

Result<std::optional<std::vector<Id>>> principals_below(ReadTx& tx, Id member) {
  std::optional<std::vector<Id>> below;
  TROTH_TRY(auto rows,
            tx.query("WITH RECURSIVE down(id) AS (SELECT ?1 UNION SELECT member FROM down "
                     "JOIN membership ON in_group = id) "
                     "SELECT id FROM down WHERE EXISTS (SELECT 1 FROM principal WHERE "
                     "principal.id = down.id) LIMIT ?2",
                     member.value, kMostAffected + 1));
  TROTH_TRY(auto found, ids_of(rows, kMostAffected + 1));
  if (found.size() <= kMostAffected)
    below = std::move(found);
  return below;
}

Status check_nesting(ReadTx& tx, Id member, Id group) {
  TROTH_TRY(auto above, closure_of(tx, group));
  if (member == group || std::binary_search(above.begin(), above.end(), member))
    return fail(ErrorCode::Conflict, "that would make a group a member of itself");
  TROTH_TRY(const std::uint32_t up, height(tx, group, Way::Up));
  TROTH_TRY(const bool nests, is_group(tx, member));
  std::uint32_t down = 0;
  if (nests) {
    TROTH_TRY(const std::uint32_t below, height(tx, member, Way::Down));
    down = below + 1;
  }
  if (up + 1 + down > kMostNesting)
    return fail(ErrorCode::ResourceExhausted, "groups nest at most {} deep", kMostNesting);
  TROTH_TRY(const auto mine, closure_of(tx, member));
  above.insert(above.end(), mine.begin(), mine.end());
  above.push_back(group);
  std::sort(above.begin(), above.end());
  above.erase(std::unique(above.begin(), above.end()), above.end());
  if (above.size() > kMostClosure) {
    return fail(ErrorCode::ResourceExhausted, "nobody is in more than {} groups, all told",
                kMostClosure);
  }
  return {};
}

Status note_directory_change(WriteTx& tx, Id member) {
  TROTH_TRY_VOID(tx.run("UPDATE cell SET directory = directory + 1"));
  TROTH_TRY(const auto below, principals_below(tx, member));
  if (below) {
    for (const Id id : *below) {
      TROTH_TRY_VOID(tx.run("INSERT OR IGNORE INTO directory_change SELECT directory, ?1 FROM cell",
                            id.value));
    }
  } else {
    TROTH_TRY_VOID(tx.run("INSERT INTO directory_change SELECT directory, 0 FROM cell"));
  }
  TROTH_TRY_VOID(
      tx.run("DELETE FROM directory_change WHERE version <= "
             "(SELECT directory - ?1 FROM cell)",
             kMostRemembered));
  return tx.run("UPDATE cell SET forgotten = max(forgotten, directory - ?1)", kMostRemembered);
}

Result<bool> is_enabled(ReadTx& tx, Id principal) {
  TROTH_TRY(auto row,
            tx.query("SELECT 1 FROM principal WHERE id = ?1 AND disabled = 0", principal.value));
  return row.step();
}

Result<bool> is_administrator(ReadTx& tx, Id principal) {
  TROTH_TRY(const bool enabled, is_enabled(tx, principal));
  if (!enabled)
    return false;
  return is_within(tx, principal, kAdministrators);
}

Result<bool> manages_group(ReadTx& tx, Id principal, Id group) {
  TROTH_TRY(const bool enabled, is_enabled(tx, principal));
  if (!enabled)
    return false;
  Id owner;
  {
    TROTH_TRY(auto row, tx.query("SELECT owner FROM user_group WHERE id = ?1", group.value));
    TROTH_TRY(const bool found, row.step());
    if (found)
      owner = Id(static_cast<std::uint32_t>(row.column_uint64(0)));
  }
  if (owner == principal && owner != kNobody)
    return true;
  TROTH_TRY(const auto groups, closure_of(tx, principal));
  return std::binary_search(groups.begin(), groups.end(), kAdministrators) ||
         std::binary_search(groups.begin(), groups.end(), owner);
}

Result<std::uint64_t> count_administrators(ReadTx& tx) {
  TROTH_TRY(auto row,
            tx.query("WITH RECURSIVE down(id) AS (SELECT ?1 UNION SELECT member FROM down "
                     "JOIN membership ON in_group = id) SELECT count(*) FROM down JOIN principal "
                     "ON principal.id = down.id WHERE disabled = 0 AND kind = 1",
                     kAdministrators.value));
  TROTH_TRY(const bool found, row.step());
  return found ? row.column_uint64(0) : 0;
}

}  // namespace kdc
