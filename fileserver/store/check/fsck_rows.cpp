// Rows against rows: each rule is a query for what breaks it, a sentence a row.

#include "fileserver/store/check/fsck_state.hpp"

namespace fileserver::store {

namespace {

struct Rule {
  std::string_view invariant;
  std::string_view sql;  // ?1, if it is there: the floor
  bool floor = false;
};

// The link count of a directory is that of the newer of its row and its newest `touched`.
#define TROTH_LINKS_NOW                                                                      \
  "coalesce((SELECT t.links FROM touched t WHERE t.directory = n.id AND t.seq > n.from_seq " \
  "ORDER BY t.seq DESC LIMIT 1), n.links)"

// History of one table: no empty interval, none that overlaps the one before, none that reaches
// into the present.
#define TROTH_HISTORY_RULES(table, key, say)                                                 \
  {"I4", "SELECT '" table                                                                    \
         "_history has the empty interval ' || from_seq || '-' || to_seq || "                \
         "' of ' || " say " FROM " table "_history WHERE from_seq >= to_seq"},               \
      {"I4", "SELECT '" table "_history has two rows for ' || " say                          \
             " || ' at ' || from_seq FROM "                                                  \
             "(SELECT *, lag(to_seq) OVER (PARTITION BY " key                                \
             " ORDER BY to_seq) AS before FROM " table "_history) WHERE before > from_seq"}, \
  {                                                                                          \
    "I4", "SELECT '" table " and its history overlap for ' || " say " FROM " table           \
          " JOIN (SELECT " key ", max(to_seq) AS last FROM " table "_history GROUP BY " key  \
          ") USING (" key ") WHERE from_seq < last"                                          \
  }

constexpr Rule kRules[] = {
    TROTH_HISTORY_RULES("node", "id", "'node ' || id"),
    TROTH_HISTORY_RULES("dirent", "parent, name", "hex(name) || ' in ' || parent"),
    TROTH_HISTORY_RULES("xattr", "node, name", "hex(name) || ' of ' || node"),
    TROTH_HISTORY_RULES("setting", "key", "key"),
    TROTH_HISTORY_RULES("hard_link", "node, directory", "node || ' in ' || directory"),
    {"I4",
     "SELECT 'node ' || id || ' is missing between ' || before || ' and ' || from_seq FROM "
     "(SELECT id, from_seq, lag(to_seq) OVER (PARTITION BY id ORDER BY to_seq) AS before "
     "FROM (SELECT id, from_seq, to_seq FROM node_history UNION ALL "
     "SELECT id, from_seq, 9223372036854775807 FROM node)) "
     "WHERE before < from_seq AND before >= ?1",
     true},
    {"I4",
     "SELECT 'directory ' || t.directory || ' was written and touched by commit ' || t.seq "
     "FROM touched t WHERE EXISTS (SELECT 1 FROM node n WHERE n.id = t.directory AND "
     "n.from_seq = t.seq)"},
    {"I4",
     "SELECT 'node ' || id || ' is of commit ' || from_seq || ', which never was' FROM node "
     "WHERE from_seq > (SELECT max(seq) FROM commits)"},

    {"I5",
     "SELECT 'there is no root directory' WHERE NOT EXISTS "
     "(SELECT 1 FROM node WHERE id = 1 AND kind = 2 AND home = 1) "
     "AND EXISTS (SELECT 1 FROM commits)"},
    {"I5",
     "SELECT hex(d.name) || ' in ' || d.parent || ' names node ' || d.child || ', which is not "
     "there' FROM dirent d LEFT JOIN node n ON n.id = d.child WHERE n.id IS NULL"},
    {"I5",
     "SELECT hex(d.name) || ' in ' || d.parent || ' is of another kind than node ' || d.child "
     "FROM dirent d JOIN node n ON n.id = d.child WHERE n.kind <> d.kind"},
    {"I5",
     "SELECT hex(d.name) || ' is in ' || d.parent || ', which is no directory' FROM dirent d "
     "LEFT JOIN node n ON n.id = d.parent AND n.kind = 2 WHERE n.id IS NULL"},
    {"I5",
     "SELECT hex(name) || ' in ' || parent || ' is no name' FROM dirent WHERE "
     "length(name) NOT BETWEEN 1 AND 255 OR instr(name, x'2f') OR instr(name, x'00') OR "
     "name IN (x'2e', x'2e2e')"},
    {"I5",
     "SELECT 'directory ' || n.id || ' has ' || count(d.child) || ' names' FROM node n "
     "LEFT JOIN dirent d ON d.child = n.id WHERE n.kind = 2 AND n.id <> 1 GROUP BY n.id "
     "HAVING count(d.child) <> 1"},
    {"I5",
     "SELECT 'directory ' || n.id || ' is in ' || d.parent || ' and says ' || n.home FROM node n "
     "JOIN dirent d ON d.child = n.id WHERE n.kind = 2 AND n.home <> d.parent"},
    {"I5",
     "WITH RECURSIVE reached(id) AS (SELECT 1 UNION SELECT d.child FROM reached r JOIN dirent d "
     "ON d.parent = r.id AND d.kind = 2) SELECT 'directory ' || n.id || ' does not lead to the "
     "root' FROM node n WHERE n.kind = 2 AND n.id NOT IN (SELECT id FROM reached)"},
    {"I5",
     "SELECT 'node ' || n.id || ' has its home in ' || n.home || ', where it has no name' "
     "FROM node n WHERE n.kind <> 2 AND n.links > 0 AND NOT EXISTS "
     "(SELECT 1 FROM dirent d WHERE d.parent = n.home AND d.child = n.id)"},
};

// Those that repairing makes right: counts and what is derived from names.
constexpr Rule kDerived[] = {
    {"I5", "SELECT 'directory ' || n.id || ' says ' || " TROTH_LINKS_NOW
           " || ' links and has ' || (2 + count(d.child)) FROM node n "
           "LEFT JOIN dirent d ON d.parent = n.id AND d.kind = 2 WHERE n.kind = 2 GROUP BY n.id "
           "HAVING " TROTH_LINKS_NOW " <> 2 + count(d.child)"},
    {"I5",
     "SELECT 'node ' || n.id || ' says ' || n.links || ' links and has ' || count(d.child) "
     "FROM node n LEFT JOIN dirent d ON d.child = n.id WHERE n.kind <> 2 GROUP BY n.id "
     "HAVING n.links <> count(d.child)"},
    {"I5",
     "SELECT 'the links of node ' || node || ' in ' || directory || ' are miscounted' FROM "
     "(SELECT node, directory, links FROM hard_link EXCEPT SELECT d.child, d.parent, count(*) "
     "FROM dirent d JOIN node n ON n.id = d.child WHERE n.kind <> 2 AND n.links > 1 "
     "GROUP BY d.child, d.parent)"},
    {"I5",
     "SELECT 'the links of node ' || child || ' in ' || parent || ' are not counted' FROM "
     "(SELECT d.child AS child, d.parent AS parent, count(*) FROM dirent d JOIN node n ON "
     "n.id = d.child WHERE n.kind <> 2 AND n.links > 1 GROUP BY d.child, d.parent "
     "EXCEPT SELECT node, directory, links FROM hard_link)"},
    {"I5",
     "SELECT 'node ' || id || ' has no name and is not noted as orphan' FROM node "
     "WHERE links = 0 AND id NOT IN (SELECT node FROM orphan)"},
    {"I5",
     "SELECT 'orphan ' || node || ' has a name, or is gone' FROM orphan "
     "WHERE node NOT IN (SELECT id FROM node WHERE links = 0)"},
    {"I6",
     "SELECT 'commit ' || c.seq || ' says ' || c.nodes || ' nodes and ' || c.bytes || ' bytes; "
     "there are ' || s.nodes || ' and ' || s.bytes FROM (SELECT seq, nodes, bytes FROM commits "
     "ORDER BY seq DESC LIMIT 1) c, (SELECT count(*) AS nodes, coalesce(sum(coalesce(allocated, "
     "size)), 0) AS bytes FROM node) s WHERE c.nodes <> s.nodes OR c.bytes <> s.bytes"},
    {"I3",
     "SELECT 'ids are reserved up to ' || reserved_node || ' and node ' || (SELECT max(id) FROM "
     "node) || ' is there' FROM volume WHERE follows = 0 AND reserved_node < (SELECT max(id) "
     "FROM node)"},
    {"I3",
     "SELECT 'seqs are reserved up to ' || reserved_seq || ' and commit ' || (SELECT max(seq) "
     "FROM commits) || ' is there' FROM volume WHERE follows = 0 AND reserved_seq < "
     "(SELECT max(seq) FROM commits)"},
};

constexpr Rule kLog[] = {
    {"I8",
     "SELECT 'commit ' || seq || ' is of a mount that is not known' FROM commits "
     "WHERE client IS NOT NULL AND client NOT IN (SELECT id FROM client)"},
    {"I8",
     "SELECT 'operation ' || c.number || ' of commit ' || c.seq || ' is forgotten and there' "
     "FROM commits c JOIN client k ON k.id = c.client WHERE c.number <= k.forgotten AND "
     "c.seq >= ?1",
     true},
    {"I4",
     "SELECT 'commit ' || seq || ' is earlier than the one before' FROM (SELECT seq, time, "
     "lag(time) OVER (ORDER BY seq) AS before FROM commits) WHERE before > time"},
};

Result<std::vector<std::string>> sentences(Check& check, const Rule& rule) {
  return check.db->read([&](ReadTx& tx) -> Result<std::vector<std::string>> {
    TROTH_TRY(auto rows, tx.query(rule.sql));
    if (rule.floor)
      rows.bind(1, check.volume.floor.value);
    std::vector<std::string> found;
    for (;;) {
      TROTH_TRY(const bool more, rows.step());
      if (!more || found.size() >= kMaxFindings)
        return found;
      found.emplace_back(rows.column_text(0));
    }
  });
}

Status apply(Check& check, std::span<const Rule> rules, bool repaired = false) {
  for (const Rule& rule : rules) {
    TROTH_TRY(const auto found, sentences(check, rule));
    for (const std::string& sentence : found)
      check.found(rule.invariant, sentence, repaired);
  }
  return {};
}

// All of it is derived from entries and rows, and written anew; history keeps what it said.
constexpr std::string_view kRepairs[] = {
    // A file that has lost its last name is not made an orphan, which upkeep would end: it is left
    // for somebody to give it one.
    "UPDATE node SET links = (SELECT count(*) FROM dirent d WHERE d.child = node.id) "
    "WHERE kind <> 2 AND links <> (SELECT count(*) FROM dirent d WHERE d.child = node.id) "
    "AND EXISTS (SELECT 1 FROM dirent d WHERE d.child = node.id)",
    "UPDATE touched SET links = 2 + (SELECT count(*) FROM dirent d WHERE d.parent = "
    "touched.directory AND d.kind = 2) WHERE seq = (SELECT max(t.seq) FROM touched t WHERE "
    "t.directory = touched.directory) AND directory IN (SELECT id FROM node) "
    "AND links <> 2 + (SELECT count(*) FROM dirent d WHERE d.parent = touched.directory AND "
    "d.kind = 2)",
    "UPDATE node SET links = 2 + (SELECT count(*) FROM dirent d WHERE d.parent = node.id AND "
    "d.kind = 2) WHERE kind = 2 AND links <> 2 + (SELECT count(*) FROM dirent d WHERE d.parent = "
    "node.id AND d.kind = 2) AND NOT EXISTS (SELECT 1 FROM touched t WHERE t.directory = node.id "
    "AND t.seq > node.from_seq)",
    "DELETE FROM hard_link",
    "INSERT INTO hard_link(node, directory, links, from_seq) SELECT d.child, d.parent, count(*), "
    "max(d.from_seq) FROM dirent d JOIN node n ON n.id = d.child WHERE n.kind <> 2 AND n.links > 1 "
    "GROUP BY d.child, d.parent",
    "DELETE FROM orphan",
    "INSERT INTO orphan(node) SELECT id FROM node WHERE links = 0",
    "UPDATE commits SET nodes = (SELECT count(*) FROM node), bytes = (SELECT "
    "coalesce(sum(coalesce(allocated, size)), 0) FROM node) WHERE seq = (SELECT max(seq) FROM "
    "commits)",
    "UPDATE volume SET reserved_node = max(reserved_node, (SELECT coalesce(max(id), 1) FROM "
    "node)), "
    "reserved_seq = max(reserved_seq, (SELECT coalesce(max(seq), 0) FROM commits))",
};

}  // namespace

Status check_rows(Check& check) {
  TROTH_TRY_VOID(apply(check, kRules));
  TROTH_TRY_VOID(apply(check, kLog));
  return apply(check, kDerived, check.options.repair);
}

Status repair_rows(Check& check) {
  const auto repair = [](WriteTx& tx) -> Status {
    for (const std::string_view sql : kRepairs)
      TROTH_TRY_VOID(tx.run(sql));
    return {};
  };
  TROTH_TRY_VOID(check.db->commit(repair));
  for (const Rule& rule : kDerived) {
    TROTH_TRY(const auto left, sentences(check, rule));
    for (const std::string& sentence : left)
      check.found(rule.invariant, "cannot be repaired: " + sentence);
  }
  return {};
}

}  // namespace fileserver::store
