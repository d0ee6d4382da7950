#include "fileserver/store/blocks/mark_filter.hpp"
#include "tests/unit/fileserver/store/blocks/collector_world.hpp"

using namespace block_test;

namespace {

void store_file(World& world, std::uint64_t id, std::uint64_t offset, const Bytes& bytes) {
  const auto change = world.write(id, offset, bytes);
  REQUIRE(change);
  REQUIRE(world.commit(*change));
}

// Files of every shape, one of them with a history that is forgotten, over several segments.
void furnish(World& world) {
  store_file(world, 1, 0, noise(100'000, 1));
  store_file(world, 1, 50'000, noise(3000, 2));
  store_file(world, 2, kBlockBytes * kFanOut, noise(5000, 3));  // two levels of lists
  for (std::uint64_t i = 0; i < 12; ++i)
    store_file(world, 3, 0, noise(60'000, 10 + i));
  store_file(world, 4, 0, noise(4000, 4));
  store_file(world, 5, 0, text(300'000));
  REQUIRE_OK(world.ledger.sync());
  world.forget_history(100);
}

// One of all the things that go on while a round does.
void disturb(World& world, Random& random) {
  auto& pending = world.pending;
  const std::uint64_t id = random.below(5);
  const std::uint64_t places[] = {0, 5000, kBlockBytes, kBlockBytes * kFanOut};
  switch (random.below(6)) {
    case 0:
    case 1: {
      const Bytes bytes = noise(4097 + random.below(3000), random.below(6));
      if (auto change = world.write(id, random.pick(std::span<const std::uint64_t>(places)), bytes))
        pending.push_back(*std::move(change));
      break;
    }
    case 2:
      if (auto change = world.resize(id, random.pick(std::span<const std::uint64_t>(places))))
        pending.push_back(*std::move(change));
      break;
    case 3: {
      const auto retained = world.ledger.now.retained();
      if (retained.empty())
        break;
      const Content from = retained[random.below(retained.size())];
      if (auto change = world.copy(from, id, random.pick(std::span<const std::uint64_t>(places))))
        pending.push_back(*std::move(change));
      break;
    }
    default:
      if (pending.empty())
        break;
      std::swap(pending[random.below(pending.size())], pending.back());
      if (random.chance(800'000))
        (void)world.commit(pending.back());
      pending.pop_back();
      break;
  }
}

// Lets things happen between any two steps of the collector, in the midst of its steps, and lets
// the collector go on in the midst of them.
void intertwine(World& world, Random& random) {
  world.ledger.disturb = [&] {
    if (!world.disturbing && random.chance(400'000)) {
      world.disturbing = true;
      disturb(world, random);
      world.disturbing = false;
    }
  };
  world.ledger.disturb_find = [&] {
    if (world.stepping || !random.chance(300'000))
      return;
    for (std::uint64_t steps = random.below(6); steps > 0; --steps)
      if (const auto more = world.step(); !more)
        REQUIRE(world.disk_may_fail);
  };
}

}  // namespace

TEST_CASE("what nobody refers to goes, and its room comes back") {
  World world;
  furnish(world);
  const auto before = world.reachable(world.ledger.now);
  REQUIRE(before);
  REQUIRE(world.ledger.now.index.size() > before->size());
  std::uint64_t bytes_before = 0;
  for (const SegmentInfo& info : world.segments->list())
    bytes_before += info.bytes;
  REQUIRE(world.run_round());
  world.check();
  std::uint64_t bytes_after = 0;
  for (const SegmentInfo& info : world.segments->list())
    bytes_after += info.bytes;
  const CollectorCounters counters = world.collector->counters();
  CHECK(counters.rounds == 1);
  CHECK(counters.marked == before->size());
  CHECK(counters.deleted_rows > 0);
  CHECK(counters.removed_segments > 0);
  CHECK(counters.unreadable == 0);
  CHECK(bytes_after < bytes_before);
  CHECK(counters.freed_bytes == bytes_before - bytes_after);
  CHECK_FALSE(world.collector->in_round());
  world.check_tidy();
  const CollectorCounters later = world.collector->counters();
  CHECK(later.moved == counters.moved);  // nothing is copied again and again
}

TEST_CASE("history is kept as long as it is retained") {
  World world;
  for (std::uint64_t i = 0; i < 6; ++i)
    store_file(world, 1, 0, noise(60'000, i));
  REQUIRE(world.run_round());
  CHECK(world.collector->counters().deleted_rows == 0);
  world.forget_history(3);
  REQUIRE(world.run_round());
  CHECK(world.collector->counters().deleted_rows == 3);
  world.check_tidy();
}

TEST_CASE("an upload that ends while the marking goes on keeps its blocks") {
  World world;
  furnish(world);
  auto change = world.write(9, 0, noise(70'000, 99));
  REQUIRE(change);
  // It is committed to a row that the marking has passed, and unpinned.
  bool done = false;
  world.ledger.disturb = [&] {
    if (done || world.ledger.calls < 8)
      return;
    done = true;
    REQUIRE(world.commit(*change));
    change.reset();
  };
  REQUIRE(world.run_round());
  REQUIRE(done);
  world.check();
}

TEST_CASE("F16: a block that is found while it is condemned is written again, and its row stays") {
  World world;
  const Bytes bytes = noise(50'000, 7);
  store_file(world, 1, 0, bytes);
  store_file(world, 1, 0, noise(50'000, 8));
  world.forget_history(10);
  const BlockName name = name_of(bytes);
  // Before the row is deleted and after it; committed before and after.
  for (const bool commit_first : {true, false}) {
    CAPTURE(commit_first);
    std::optional<World::Change> change;
    world.ledger.disturb = [&] {
      if (!world.store->is_condemned(name))
        return;
      if (!change) {
        change = world.write(2, 0, bytes);
        REQUIRE(change);
        CHECK(change->upload.written().size() == 1);
        if (commit_first)
          REQUIRE(world.commit(*change));
      } else if (!commit_first && world.file(2) == Content{}) {
        REQUIRE(world.commit(*change));
      }
    };
    REQUIRE(world.run_round());
    REQUIRE(change);
    world.ledger.disturb = nullptr;
    world.check();
    CHECK(world.ledger.now.index.at(name) == change->upload.written()[0].placement);
    change.reset();
    world.ledger.now.present.erase(2);
  }
}

TEST_CASE("whatever goes on meanwhile, nothing that is needed goes") {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    World world;
    Random random(seed);
    furnish(world);
    intertwine(world, random);
    for (int turn = 0; turn < 60; ++turn) {
      CAPTURE(turn);
      disturb(world, random);
      if (random.chance(300'000) && !world.collector->in_round())
        world.forget_history(random.below(6));
      for (std::uint64_t steps = random.below(12); steps > 0; --steps)
        REQUIRE_OK(world.step());
      world.check();
    }
    world.ledger.disturb = nullptr;
    world.ledger.disturb_find = nullptr;
    while (world.collector->in_round())
      REQUIRE_OK(world.step());
    world.forget_history(random.below(100));
    world.check_tidy();
  }
}

TEST_CASE("F15: a round that is interrupted at any of its calls loses nothing") {
  enum class End { FailBefore, FailAfter, Kill, PowerCut };
  for (const End end : {End::FailBefore, End::FailAfter, End::Kill, End::PowerCut}) {
    CAPTURE(static_cast<int>(end));
    for (std::uint64_t at = 1;; ++at) {
      CAPTURE(at);
      World world;
      furnish(world);
      const std::uint64_t call = world.ledger.calls + at;
      const bool before = end == End::FailBefore || (end != End::FailAfter && at % 2 == 0);
      (before ? world.ledger.fail_before : world.ledger.fail_after) = call;
      if (world.run_round())
        break;  // it has fewer calls
      CHECK_FALSE(world.collector->in_round());
      if (end == End::Kill)
        world.kill_and_restart();
      if (end == End::PowerCut)
        world.lose_power_and_restart(at % 5);
      world.check();
      world.check_tidy();
    }
  }
}

TEST_CASE("F6, F8, F15: a disk that fails at any write, sync or removal loses nothing") {
  for (const Operation operation : {Operation::Write, Operation::Sync, Operation::Unlink,
                                    Operation::Open, Operation::Read, Operation::SyncDirectory}) {
    CAPTURE(static_cast<int>(operation));
    for (std::uint64_t at = 1; at < 40; ++at) {
      CAPTURE(at);
      World world;
      furnish(world);
      world.faulty.add({.operation = operation, .first = at, .error_number = 5});
      const std::uint64_t unreadable = world.collector->counters().unreadable;
      const bool ended = world.run_round();
      const bool was_met = !ended || world.collector->counters().unreadable > unreadable;
      world.faulty.clear();
      if (at % 2 == 0)
        world.kill_and_restart();
      else
        world.lose_power_and_restart(at % 5);
      world.check();
      world.check_tidy();
      if (!was_met && at > 1)
        break;
    }
  }
}

TEST_CASE("F15: random lives with kills, power cuts and failures") {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    World world;
    Random random(seed * 77);
    furnish(world);
    intertwine(world, random);
    world.disk_may_fail = true;
    for (int turn = 0; turn < 40; ++turn) {
      CAPTURE(turn);
      if (random.chance(150'000))
        world.ledger.fail_before = world.ledger.calls + 1 + random.below(20);
      if (random.chance(150'000))
        world.ledger.fail_after = world.ledger.calls + 1 + random.below(20);
      disturb(world, random);
      if (random.chance(300'000) && !world.collector->in_round())
        world.forget_history(random.below(6));
      for (std::uint64_t steps = random.below(12); steps > 0; --steps)
        (void)world.step();
      if (random.chance(100'000))
        REQUIRE_OK(world.ledger.sync());
      if (random.chance(60'000))
        world.kill_and_restart();
      if (random.chance(60'000))
        world.lose_power_and_restart(random.below(8));
      world.check();
    }
    world.ledger.fail_before = world.ledger.fail_after = 0;
    world.check_tidy();
  }
}

TEST_CASE("a list that cannot be read stops the round before anything is condemned") {
  World world;
  furnish(world);
  const BlockName root = world.file(2).root;  // a list
  const Placement place = world.ledger.now.index.at(root);
  {
    auto file = world.memory.open("segments/" + segment_file_name(place.segment),
                                  common::io::OpenMode::ReadWrite);
    REQUIRE_OK(file);
    const Bytes wrong = noise(8, 1);
    REQUIRE_OK((*file)->write_at(place.offset + kRecordHeaderBytes, wrong));
  }
  world.kill_and_restart();  // the list may be in memory
  const auto rows = world.ledger.now.index;
  for (int i = 0; i < 3; ++i) {
    CHECK_FALSE(world.run_round());
    CHECK_FALSE(world.collector->in_round());
  }
  CHECK(world.ledger.now.index == rows);
}

TEST_CASE("a segment with a record that cannot be read stays, all else is moved out of it") {
  World world;
  furnish(world);
  // In the first segment, of which little is live.
  const auto name = world.ledger.now.index.find(name_of([] {
    Bytes bytes = noise(100'000, 1);
    std::ranges::copy(noise(3000, 2), bytes.begin() + 50'000);
    return bytes;
  }()));
  REQUIRE(name != world.ledger.now.index.end());
  const Placement place = name->second;
  {
    auto file = world.memory.open("segments/" + segment_file_name(place.segment),
                                  common::io::OpenMode::ReadWrite);
    REQUIRE_OK(file);
    REQUIRE_OK((*file)->write_at(place.offset + 1000, noise(8, 1)));
  }
  world.options.compact_below = 2;  // all of them
  world.kill_and_restart();
  REQUIRE(world.run_round());
  REQUIRE(world.run_round());
  CHECK(world.collector->counters().unreadable == 2);
  CHECK(world.ledger.now.index.at(name->first) == place);
  const auto list = world.segments->list();
  CHECK(std::ranges::count(list, place.segment, &SegmentInfo::number) == 1);
  for (const auto& [other, where] : world.ledger.now.index)
    CHECK((other == name->first || where.segment != place.segment));
}

TEST_CASE("F8: on a full disk, segments of garbage still go") {
  World world;
  for (std::uint64_t i = 0; i < 12; ++i)
    store_file(world, 3, 0, noise(60'000, 10 + i));
  REQUIRE_OK(world.ledger.sync());
  world.forget_history(100);
  const std::size_t before = world.segments->list().size();
  world.faulty.set_space(0);
  (void)world.run_round();
  CHECK(world.collector->counters().removed_segments >= 2);
  CHECK(world.segments->list().size() < before);
  world.faulty.clear();
  world.check_tidy();
}

TEST_CASE("small segments are merged, several at a time") {
  World world;
  for (std::uint64_t i = 0; i < 3; ++i) {
    store_file(world, i, 0, noise(8000, i));
    world.kill_and_restart();
  }
  REQUIRE(world.run_round());
  CHECK(world.collector->counters().moved == 0);
  for (std::uint64_t i = 3; i < 7; ++i) {
    store_file(world, i, 0, noise(8000, i));
    world.kill_and_restart();
  }
  REQUIRE(world.segments->list().size() >= 7);
  REQUIRE(world.run_round());
  CHECK(world.segments->list().size() <= 2);
  world.check_tidy();
}

TEST_CASE("a round that is given up begins anew") {
  World world;
  furnish(world);
  for (std::uint64_t steps = 1; steps < 30; ++steps) {
    for (std::uint64_t i = 0; i < steps; ++i)
      REQUIRE_OK(world.step());
    world.collector->abandon();
    CHECK_FALSE(world.collector->in_round());
    world.check();
  }
  world.check_tidy();
}

TEST_CASE("the filter of marked names denies none and claims few") {
  const auto name = [](std::uint64_t i) { return name_of(noise(40, i + 1)); };
  constexpr std::uint64_t kNames = 150'000;  // above what the first stage holds
  MarkFilter filter(7);
  MarkFilter salted(8);
  std::vector<BlockName> names;
  BlockName counted = name(1);
  for (std::uint64_t i = 0; i < 2 * kNames; ++i) {
    for (std::size_t at = 0; at < 32; at += 8) {
      const std::uint64_t word = common::sim::mix(i, at);
      std::memcpy(counted.bytes.data() + at, &word, sizeof word);
    }
    names.push_back(counted);
  }
  for (std::uint64_t i = 0; i < kNames; ++i) {
    filter.add(names[i]);
    salted.add(names[i]);
  }
  std::uint64_t wrong = 0;
  std::uint64_t wrong_twice = 0;
  for (std::uint64_t i = 0; i < 2 * kNames; ++i) {
    const bool claimed = filter.may_contain(names[i]);
    if (i < kNames)
      REQUIRE(claimed);
    else if (claimed) {
      ++wrong;
      wrong_twice += salted.may_contain(names[i]) ? 1 : 0;
    }
  }
  CHECK(wrong < kNames / 40);
  CHECK(wrong_twice < wrong / 10 + 5);  // another round errs elsewhere
  CHECK(filter.added() > kNames - kNames / 40);
}
