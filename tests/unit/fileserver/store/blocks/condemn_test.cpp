// The collector against uploads (F16, I10): every order in which the two can meet.

#include <random>
#include <set>
#include <thread>

#include "fileserver/store/blocks/block_pins.hpp"
#include "tests/unit/fileserver/store/blocks/store_fixture.hpp"

using namespace block_test;

namespace {

const Bytes kBytes = noise(100, 1);

std::vector<BlockName> condemn(StoreFixture& f, const BlockName& name) {
  return f.store->condemn(std::span(&name, 1));
}

}  // namespace

TEST_CASE("an unused block is condemned and written again when it is put") {
  StoreFixture f;
  const BlockName name = f.add(kBytes);
  CHECK(condemn(f, name).empty());  // no round
  f.store->begin_round();
  CHECK(condemn(f, name) == std::vector{name});
  CHECK(f.store->is_condemned(name));
  Upload upload = f.store->begin_upload();
  CHECK_FAILS(f.store->reuse(upload, name), ErrorCode::NotFound);
  f.put(upload, kBytes);
  REQUIRE(upload.written().size() == 1);
  CHECK(upload.written().front().placement != *f.index.at(name));
  CHECK(upload.reused().empty());
  CHECK(f.store->is_condemned(name));  // its row is
  // A second one need not write it a third time.
  Upload other = f.store->begin_upload();
  CHECK_OK(f.store->reuse(other, name));
  CHECK(other.written().front().placement == upload.written().front().placement);
  f.store->end_round();
  CHECK_FALSE(f.store->is_condemned(name));
}

TEST_CASE("a pinned block is not condemned, nor one that was put since the round began") {
  StoreFixture f;
  const BlockName name = f.add(kBytes);
  SUBCASE("pinned before the round, and still") {
    Upload upload = f.store->begin_upload();
    f.put(upload, kBytes);
    f.store->begin_round();
    CHECK(condemn(f, name).empty());
  }
  SUBCASE("pinned before the round and committed since: the marking may have passed it") {
    {
      Upload upload = f.store->begin_upload();
      f.put(upload, kBytes);
      f.store->begin_round();
    }
    CHECK(condemn(f, name).empty());
  }
  SUBCASE("put, put with others, put by name or reused in the round, and committed") {
    f.store->begin_round();
    const ByteView view(kBytes);
    for (int way = 0; way < 4; ++way) {
      {
        Upload upload = f.store->begin_upload();
        if (way == 0)
          f.put(upload, kBytes);
        else if (way == 1)
          CHECK_OK(f.store->put_many(upload, BlockKind::Data, std::span(&view, 1)));
        else if (way == 2)
          CHECK_OK(f.store->put_named(upload, name, BlockKind::Data, kBytes));
        else
          CHECK_OK(f.store->reuse(upload, name));
        CHECK(upload.reused().size() == 1);
      }
      CHECK(condemn(f, name).empty());
      f.store->end_round();
      f.store->begin_round();
    }
    CHECK(condemn(f, name) == std::vector{name});
  }
}

TEST_CASE("F16: condemning between the pin and the look comes too late") {
  StoreFixture f;
  const BlockName name = f.add(kBytes);
  f.store->begin_round();
  f.index.before_find = [&] { CHECK(condemn(f, name).empty()); };
  Upload upload = f.store->begin_upload();
  f.put(upload, kBytes);
  CHECK(upload.reused().size() == 1);
}

TEST_CASE("F16: a round that ends between the pin and the look takes its row with it") {
  StoreFixture f;
  const BlockName name = f.add(kBytes);
  for (const bool by_name : {false, true}) {
    f.store->begin_round();
    REQUIRE(condemn(f, name) == std::vector{name});
    // The look has seen the row; then the transaction deletes it and the round ends.
    f.index.after_find = [&] {
      f.index.erase(name);
      f.store->end_round();
    };
    Upload upload = f.store->begin_upload();
    if (by_name)
      CHECK_FAILS(f.store->reuse(upload, name), ErrorCode::NotFound);
    else
      f.put(upload, kBytes);
    f.index.after_find = nullptr;
    CHECK(upload.reused().empty());
    CHECK(upload.written().size() == (by_name ? 0 : 1));
    f.index.commit(upload);
    if (!by_name)
      CHECK(*f.read(name) == kBytes);
    f.index.set(name, append_all(*f.segments, {kBytes}).front());
  }
}

TEST_CASE("what a commit found to be gone is written when it is put again") {
  StoreFixture f;
  const BlockName name = f.add(kBytes);
  Upload upload = f.store->begin_upload();
  f.put(upload, kBytes);
  REQUIRE(upload.reused().size() == 1);
  f.index.erase(name);
  f.store->forget_reused(upload);
  CHECK(upload.reused().empty());
  CHECK(f.store->pinned().empty());
  f.put(upload, kBytes);
  CHECK(upload.written().size() == 1);
  CHECK(f.store->pinned().size() == 1);
}

TEST_CASE("a filter that is full keeps everything") {
  NameFilter filter;
  CHECK_FALSE(filter.may_contain(name_of(kBytes)));
  std::mt19937_64 random(1);
  const auto next = [&] {
    BlockName name;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::uint64_t value = random();
      std::memcpy(name.bytes.data() + 8 * i, &value, sizeof value);
    }
    return name;
  };
  std::vector<BlockName> in;
  for (int i = 0; i < 100'000; ++i) {
    in.push_back(next());
    filter.add(in.back());
  }
  std::size_t wrong = 0;
  for (const BlockName& name : in)
    wrong += filter.may_contain(name) ? 0 : 1;
  CHECK(wrong == 0);
  std::size_t kept = 0;
  for (int i = 0; i < 100'000; ++i)
    kept += filter.may_contain(next()) ? 1 : 0;
  CHECK(kept < 100);
  filter.clear();
  CHECK_FALSE(filter.may_contain(in.front()));
}

// Threads put, commit and drop while another condemns and deletes, and a third moves: whatever was
// committed last must be readable at any time by whoever holds it.
TEST_CASE("F16: uploads and a collector in any order") {
  StoreFixture f;
  constexpr std::uint64_t kBlocks = 12;
  // What commits have kept: a block with a holder is referred to by a committed row.
  struct Held {
    std::set<std::uint64_t> referred;
  };
  common::Locked<Held> held;
  std::atomic<bool> stop = false;
  std::atomic<int> lost = 0;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      for (int round = 0; round < 1500; ++round) {
        const std::uint64_t which = random() % kBlocks;
        const Bytes bytes = noise(50, which);
        const BlockName name = *name_block(BlockKind::Data, bytes);
        Upload upload = f.store->begin_upload();
        for (bool done = false; !done;) {
          if (!f.store->put(upload, BlockKind::Data, bytes)) {
            ++lost;
            return;
          }
          auto state = held.lock();  // the commit's transaction
          done = true;
          for (const BlockName& reused : upload.reused())
            done &= f.index.at(reused).has_value();
          if (!done) {
            state.unlock();
            f.store->forget_reused(upload);
            continue;
          }
          for (const NewBlock& block : upload.written()) {
            if (!f.index.at(block.name) || f.store->is_condemned(block.name))
              f.index.set(block.name, block.placement);
          }
          state->referred.insert(which);
        }
        Bytes into(kBlockBytes);
        const auto read = f.store->read(name, BlockKind::Data, into);
        if (!read || !std::equal(bytes.begin(), bytes.end(), into.begin()))
          ++lost;
        if (random() % 4 == 0)
          held.lock()->referred.erase(which);  // another commit removes the last reference
      }
      if (t == 0)
        stop = true;
    });
  }
  std::size_t deleted = 0;
  while (!stop) {
    f.store->begin_round();
    std::set<std::uint64_t> marked = held.lock()->referred;
    for (const BlockName& pinned : f.store->pinned()) {
      for (std::uint64_t i = 0; i < kBlocks; ++i) {
        if (name_of(noise(50, i)) == pinned)
          marked.insert(i);
      }
    }
    std::vector<std::pair<BlockName, Placement>> rows;
    for (std::uint64_t i = 0; i < kBlocks; ++i) {
      const BlockName name = name_of(noise(50, i));
      const auto place = f.index.at(name);
      if (place && !marked.contains(i))
        rows.emplace_back(name, *place);
    }
    for (const auto& [name, place] : rows) {
      if (condemn(f, name).empty())
        continue;
      auto transaction = held.lock();
      if (f.index.at(name) == place) {
        f.index.erase(name);
        ++deleted;
      }
    }
    f.store->end_round();
  }
  for (std::thread& thread : threads)
    thread.join();
  CHECK(lost == 0);
  CHECK(deleted > 0);
  for (const std::uint64_t which : held.lock()->referred)
    CHECK(*f.read(name_of(noise(50, which))) == noise(50, which));
}
