#include "kdc/group_graph.hpp"

#include <algorithm>
#include <unordered_map>

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

// Names of all users who are in system:administrators.
constexpr std::string_view kAdministratorNames =
    "power(id) AS (SELECT 3 UNION SELECT member FROM membership JOIN power ON in_group = "
    "power.id), "
    "administrator(name) AS (SELECT name FROM principal JOIN power ON power.id = principal.id) ";
static_assert(kAdministrators.value == 3);
// By its name, which nobody can forge, not by its owner, which may be made anybody.
constexpr std::string_view kIsOfUsers =
    "(NOT (name >= 'system:' AND name < 'system;') AND "
    "substr(name, 1, instr(name, ':') - 1) NOT IN (SELECT name FROM administrator))";

struct GroupCount {
  std::uint64_t of_cell = 0;
  std::uint64_t of_users = 0;
};

// What `member` is in, and what it would be in through `group` (kNobody: nothing more).
Result<GroupCount> count_groups(ReadTx& tx, Id member, Id group) {
  static const std::string sql =
      "WITH RECURSIVE up(id) AS (SELECT ?2 UNION SELECT in_group FROM membership WHERE member = ?1 "
      "UNION SELECT in_group FROM up JOIN membership ON member = up.id), " +
      std::string(kAdministratorNames) +
      "SELECT count(*), coalesce(sum(of_users), 0) FROM (SELECT " + std::string(kIsOfUsers) +
      " AS of_users FROM up JOIN user_group ON user_group.id = up.id)";
  TROTH_TRY(auto row, tx.query(sql, member.value, group.value));
  TROTH_TRY(const bool counted, row.step());
  GroupCount count;
  if (counted) {
    count.of_users = row.column_uint64(1);
    count.of_cell = row.column_uint64(0) - count.of_users;
  }
  return count;
}

// Everybody below ?1, everything above them, and what they would all be in through ?2.
const std::string& around() {
  static const std::string sql =
      "WITH RECURSIVE down(id) AS (SELECT ?1 UNION SELECT member FROM down "
      "JOIN membership ON in_group = down.id), "
      "around(id) AS (SELECT id FROM down UNION SELECT ?2 UNION SELECT in_group FROM around "
      "JOIN membership ON member = around.id), " +
      std::string(kAdministratorNames);
  return sql;
}

// Memberships as a graph of small numbers.
class Graph {
 public:
  std::size_t place_of(Id id) {
    const auto [found, added] = places_.try_emplace(id.value, nodes_.size());
    if (added)
      nodes_.emplace_back();
    return found->second;
  }
  void add_edge(Id member, Id group) {
    const std::size_t from = place_of(member);
    nodes_[from].above.push_back(place_of(group));
  }
  void mark_of_users(Id group) { nodes_[place_of(group)].of_users = true; }

  // Groups that users made among all that are reached from these and were not reached in this round
  // before.
  std::size_t count_above(Id start, std::size_t round) {
    std::size_t count = 0;
    std::vector<std::size_t> left{place_of(start)};
    while (!left.empty()) {
      Node& node = nodes_[left.back()];
      left.pop_back();
      if (std::exchange(node.seen_in, round) == round)
        continue;
      count += node.of_users ? 1 : 0;
      left.insert(left.end(), node.above.begin(), node.above.end());
    }
    return count;
  }

 private:
  struct Node {
    std::vector<std::size_t> above;
    bool of_users = false;
    std::size_t seen_in = 0;
  };
  std::unordered_map<std::uint32_t, std::size_t> places_;
  std::vector<Node> nodes_;
};

Result<Graph> read_graph(ReadTx& tx, Id member, Id group, const std::vector<Id>& of_users) {
  Graph graph;
  for (const Id id : of_users)
    graph.mark_of_users(id);
  static const std::string sql =
      around() +
      "SELECT member, in_group FROM membership JOIN around ON member = around.id LIMIT ?3";
  TROTH_TRY(auto rows, tx.query(sql, member.value, group.value, kMostEdges + 1));
  for (std::size_t edges = 0;; ++edges) {
    TROTH_TRY(const bool more, rows.step());
    if (!more)
      return graph;
    if (edges == kMostEdges) {
      return fail(ErrorCode::ResourceExhausted,
                  "there is too much in that group to count everybody's groups: put it into one of "
                  "the cell's");
    }
    graph.add_edge(Id(static_cast<std::uint32_t>(rows.column_uint64(0))),
                   Id(static_cast<std::uint32_t>(rows.column_uint64(1))));
  }
}

// Whether everybody in `member`, a group, may come into all that `group` leads to. Whoever makes
// groups decides what this costs, so it is bounded, and in all but odd cases one count.
Status check_those_below(ReadTx& tx, Id member, Id group) {
  static const std::string sql =
      around() +
      "SELECT user_group.id FROM around JOIN user_group ON user_group.id = around.id WHERE " +
      std::string(kIsOfUsers);
  TROTH_TRY(const auto below, principals_below(tx, member));
  if (!below || below->size() > kMostCounted) {
    return fail(ErrorCode::ResourceExhausted,
                "a group of more than {} cannot be in one that a user made", kMostCounted);
  }
  TROTH_TRY(auto rows, tx.query(sql, member.value, group.value));
  TROTH_TRY(const auto of_users, ids_of(rows, kMostEdges));
  if (of_users.size() <= kMostOfUsers)
    return {};
  TROTH_TRY(Graph graph, read_graph(tx, member, group, of_users));
  std::size_t round = 0;
  for (const Id person : *below) {
    ++round;
    const std::size_t has = graph.count_above(person, round);
    const std::size_t gains = graph.count_above(group, round);
    if (gains > 0 && has + gains > kMostOfUsers) {
      return fail(ErrorCode::ResourceExhausted,
                  "somebody in it would be in more than {} groups that users made, all told",
                  kMostOfUsers);
    }
  }
  return {};
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

Result<std::vector<Id>> closure_of(ReadTx& tx, Id member, std::size_t most) {
  TROTH_TRY(auto rows,
            tx.query("WITH RECURSIVE up(id) AS (SELECT in_group FROM membership WHERE member = ?1 "
                     "UNION SELECT in_group FROM up JOIN membership ON member = id) "
                     "SELECT id FROM up ORDER BY id LIMIT ?2",
                     member.value, most + 1));
  TROTH_TRY(auto found, ids_of(rows, most + 1));
  if (found.size() <= most)
    return found;
  static const std::string sql =
      "WITH RECURSIVE up(id) AS (SELECT in_group FROM membership WHERE member = ?1 "
      "UNION SELECT in_group FROM up JOIN membership ON member = id), " +
      std::string(kAdministratorNames) +
      "SELECT up.id FROM up JOIN user_group ON user_group.id = " + "up.id ORDER BY " +
      std::string(kIsOfUsers) + ", up.id LIMIT ?2";
  TROTH_TRY(auto chosen, tx.query(sql, member.value, most));
  TROTH_TRY(found, ids_of(chosen, most));
  std::sort(found.begin(), found.end());
  return found;
}

Result<bool> is_within(ReadTx& tx, Id member, Id group) {
  TROTH_TRY(auto row,
            tx.query("WITH RECURSIVE up(id) AS (SELECT in_group FROM membership WHERE member = ?1 "
                     "UNION SELECT in_group FROM up JOIN membership ON member = id) "
                     "SELECT 1 FROM up WHERE id = ?2",
                     member.value, group.value));
  return row.step();
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
  TROTH_TRY(const bool cycle, is_within(tx, group, member));
  if (member == group || cycle)
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
  TROTH_TRY(const GroupCount before, count_groups(tx, member, kNobody));
  TROTH_TRY(const GroupCount after, count_groups(tx, member, group));
  if (after.of_cell > kMostClosure - kMostOfUsers && after.of_cell > before.of_cell) {
    return fail(ErrorCode::ResourceExhausted, "nobody is in more than {} of the cell's groups",
                kMostClosure - kMostOfUsers);
  }
  if (after.of_users > kMostOfUsers && after.of_users > before.of_users) {
    return fail(ErrorCode::ResourceExhausted,
                "nobody is in more than {} groups that users made, all told", kMostOfUsers);
  }
  return nests && after.of_users > before.of_users ? check_those_below(tx, member, group)
                                                   : Status{};
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
  TROTH_TRY(const bool administers, is_within(tx, principal, kAdministrators));
  return administers ? Result<bool>(true) : is_within(tx, principal, owner);
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
