#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "fileserver/promises/debt.hpp"
#include "fileserver/promises/holder_table.hpp"
#include "fileserver/promises/stamps.hpp"
#include "tests/support/test.hpp"

using namespace fileserver::promises;
using common::NodeId;
using common::VolumeId;

namespace {

// The same by the simplest means.
struct PlainTable {
  std::map<NodeKey, std::map<SessionRow, bool>> holders;  // active?
  std::map<SessionRow, std::vector<NodeKey>> queues;

  void add(NodeKey key, SessionRow row) {
    if (!holders[key].contains(row))
      queues[row].push_back(key);
    holders[key][row] = true;
  }
};

std::map<SessionRow, bool> holders_of(const HolderTable& table, NodeKey key) {
  std::map<SessionRow, bool> result;
  table.each(key, [&](SessionRow row, bool active) {
    CHECK_FALSE(result.contains(row));
    result[row] = active;
  });
  return result;
}

}  // namespace

TEST_CASE("a node fits into one word if its volume and id are as small as an inode number asks") {
  const common::Fid largest{VolumeId{(1U << 24) - 1}, NodeId{(std::uint64_t{1} << 40) - 1}};
  REQUIRE(pack(largest).has_value());
  CHECK(unpack(*pack(largest)) == largest);
  CHECK_FALSE(pack({VolumeId{1U << 24}, NodeId{1}}).has_value());
  CHECK_FALSE(pack({VolumeId{1}, NodeId{std::uint64_t{1} << 40}}).has_value());
}

TEST_CASE("the table of holders does what a plain one does") {
  for (const unsigned rows : {2U, 40U, 3000U}) {
    std::mt19937 random(rows);
    HolderTable table(random());
    PlainTable plain;
    std::map<SessionRow, HolderQueue> queues;
    std::size_t count = 0;
    const auto some_key = [&] { return NodeKey{random() % (60'000 / rows)}; };
    for (int step = 0; step < 60'000; ++step) {
      const auto row = static_cast<SessionRow>(1 + random() % rows);
      const auto what = random() % 10;
      if (what < 5) {
        const NodeKey key = some_key();
        const bool fresh = !plain.holders[key].contains(row);
        const bool active = !fresh && plain.holders[key][row];
        const auto added = table.add(key, row, queues[row]);
        CHECK(added == (fresh    ? HolderTable::Added::New
                        : active ? HolderTable::Added::AlreadyActive
                                 : HolderTable::Added::Again));
        plain.add(key, row);
        count += fresh ? 1 : 0;
      } else if (what < 8) {
        const NodeKey key = some_key();
        const auto found = plain.holders[key].find(row);
        const bool active = found != plain.holders[key].end() && found->second;
        CHECK(table.is_active(key, row) == active);
        CHECK(table.withdraw(key, row) == active);
        if (active)
          found->second = false;
      } else if (!plain.queues[row].empty()) {
        auto& queue = plain.queues[row];
        const NodeKey key = queue.front();
        const auto oldest = table.oldest(row, queues[row]);
        CHECK(oldest.key == key);
        CHECK(oldest.active == plain.holders[key][row]);
        queue.erase(queue.begin());
        if (what == 8) {
          table.rotate(queues[row]);
          queue.push_back(key);
        } else {
          table.pop(row, queues[row]);
          plain.holders[key].erase(row);
          --count;
        }
      }
      CHECK(table.holders() == count);
      CHECK(queues[row].size == plain.queues[row].size());
    }
    for (const auto& [key, holders] : plain.holders)
      CHECK(holders_of(table, key) == holders);
    for (auto& [row, queue] : queues) {
      while (queue.size > 0)
        table.pop(row, queue);
    }
    CHECK(table.holders() == 0);
    for (const auto& entry : plain.holders)
      CHECK(holders_of(table, entry.first).empty());
  }
}

TEST_CASE("what is given back to the table is used again") {
  HolderTable table(7);
  HolderQueue queue;
  const auto fill_and_empty = [&] {
    for (NodeKey key = 0; key < 20'000; ++key)
      table.add(key, 1, queue);
    while (queue.size > 0)
      table.pop(1, queue);
  };
  fill_and_empty();
  const std::size_t bytes = table.memory_bytes();
  for (int i = 0; i < 5; ++i)
    fill_and_empty();
  CHECK(table.memory_bytes() == bytes);
}

TEST_CASE("stamps never miss that something happened") {
  Stamps stamps(4);
  std::map<std::uint64_t, std::uint64_t> truth;
  std::mt19937_64 random(1);
  for (std::uint64_t clock = 1; clock < 1000; ++clock) {
    const std::uint64_t hash = random() % 64;
    stamps.set(hash, clock);
    truth[hash] = clock;
    const std::uint64_t asked = random() % 64;
    const std::uint64_t since = random() % clock;
    if (truth.contains(asked) && truth[asked] > since)
      CHECK(stamps.since(asked, since));
  }
  CHECK_FALSE(Stamps(1024).since(5, 0));
}

namespace {

Break break_of(std::uint64_t number, std::uint64_t node, common::Instant overdue = {}) {
  return {.number = number,
          .overdue = overdue,
          .flush_until = {},
          .flush_end = {},
          .nodes = {fileserver::Touched{{VolumeId{1}, NodeId{node}}, 1}}};
}

NodeKey key_of(std::uint64_t node) {
  return *pack({VolumeId{1}, NodeId{node}});
}

}  // namespace

TEST_CASE(
    "an acknowledgement counts for its break and those before it, but not for flushing ones") {
  Debt debt;
  for (std::uint64_t number = 1; number <= 5; ++number) {
    debt.add(break_of(number, 10 + number));
    debt.wait({number, number, 1});
  }
  debt.flush(2, common::Instant(std::chrono::seconds(5)), common::Instant(std::chrono::seconds(9)));
  Debt::Released free;
  debt.acknowledge(3, free);
  REQUIRE(free.waiters.size() == 2);
  CHECK(free.waiters[0].number == 1);
  CHECK(free.waiters[1].number == 3);
  CHECK(debt.newest(key_of(12)) == 2);
  CHECK(debt.newest(key_of(13)) == 0);
  CHECK(debt.newest(key_of(14)) == 4);
  CHECK(debt.nodes() == 3);
  debt.acknowledge(3, free);
  CHECK(free.waiters.size() == 2);
  debt.acknowledge(2, free);
  CHECK(free.waiters.back().number == 2);
  debt.acknowledge(5, free);
  CHECK(free.waiters.size() == 5);
  CHECK(debt.empty());
  CHECK(debt.nodes() == 0);
}

TEST_CASE("every node of a break is owed, however many there are") {
  for (std::uint64_t nodes = 1; nodes < 40; ++nodes) {
    Debt debt;
    Break fresh = break_of(1, 0);
    for (std::uint64_t node = 1; node < nodes; ++node)
      fresh.nodes.push_back({{VolumeId{1}, NodeId{node}}, 1});
    debt.add(std::move(fresh));
    for (std::uint64_t node = 0; node < nodes; ++node)
      CHECK(debt.newest(key_of(node)) == 1);
  }
}

TEST_CASE("R29: flushing is never overdue, ends when it said, and no later than it may") {
  using std::chrono::seconds;
  const common::Instant start(seconds(100));
  Debt debt;
  debt.add(break_of(1, 1, start + seconds(3)));
  CHECK_FALSE(debt.overdue(start + seconds(2)));
  CHECK(debt.overdue(start + seconds(3)));
  CHECK(debt.flush(1, start + seconds(8), start + seconds(10)) == start + seconds(8));
  CHECK(debt.flushes(1));
  CHECK_FALSE(debt.overdue(start + seconds(60)));
  CHECK(debt.flushed(start + seconds(7)).empty());
  CHECK(debt.flushed(start + seconds(8)) == std::vector<std::uint64_t>{1});
  CHECK(debt.flush(1, start + seconds(70), start + seconds(90)) == start + seconds(10));
  CHECK_FALSE(debt.flush(2, start, start).has_value());
  Debt::Released free;
  debt.settle(1, free);
  CHECK(debt.empty());
}

TEST_CASE("a debt of very many breaks is settled one by one in no time") {
  Debt debt;
  constexpr std::uint64_t kBreaks = 20'000;
  for (std::uint64_t number = 1; number <= kBreaks; ++number)
    debt.add(break_of(number, number % 500));
  CHECK(debt.newest(key_of(7)) > kBreaks - 500);
  Debt::Released free;
  for (std::uint64_t number = 1; number <= kBreaks; ++number)
    debt.acknowledge(number, free);
  CHECK(debt.empty());
  CHECK(debt.newest(key_of(7)) == 0);
}
