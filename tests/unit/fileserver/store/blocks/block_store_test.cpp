#include "fileserver/store/blocks/block_store.hpp"

#include <algorithm>
#include <cerrno>
#include <thread>

#include "fileserver/store/blocks/list_cache.hpp"
#include "tests/unit/fileserver/store/blocks/store_fixture.hpp"

using namespace block_test;

namespace {

// A list of `count` names that begin with `seed`.
Bytes list_bytes(std::size_t count, std::uint64_t seed) {
  return noise(count * sizeof(BlockName), seed);
}

}  // namespace

TEST_CASE("a block is written once and read by its name") {
  StoreFixture f;
  const Bytes bytes = noise(3000, 1);
  {
    Upload upload = f.store->begin_upload();
    CHECK(f.put(upload, bytes) == name_of(bytes));
    f.put(upload, bytes);
    REQUIRE(upload.written().size() == 1);
    CHECK(upload.written().front().raw_length == 3000);
    CHECK(upload.written().front().kind == BlockKind::Data);
    CHECK(upload.reused().empty());
    CHECK(*f.read(name_of(bytes)) == bytes);  // before any commit
    f.index.commit(upload);
  }
  Upload upload = f.store->begin_upload();
  f.put(upload, bytes);
  f.put(upload, bytes);
  CHECK(upload.written().empty());
  CHECK(upload.reused().size() == 1);
  CHECK(*f.read(name_of(bytes)) == bytes);
  // As a list the same bytes are another block.
  CHECK(f.put(upload, noise(64, 1), BlockKind::List) != name_of(noise(64, 1)));
  CHECK(upload.written().size() == 1);
}

TEST_CASE("what no upload holds and no commit kept is not there") {
  StoreFixture f;
  {
    Upload upload = f.store->begin_upload();
    f.put(upload, noise(100, 1));
  }
  CHECK_FAILS(f.read(name_of(noise(100, 1))), ErrorCode::NotFound);
  CHECK(f.store->pinned().empty());
  CHECK(f.store->segments_in_use().empty());
}

TEST_CASE("many blocks at once are named, written and read in parallel") {
  StoreFixture f({}, 2);
  std::vector<Bytes> blocks;
  for (std::uint64_t i = 0; i < 60; ++i)
    blocks.push_back(noise(i % 3 == 0 ? kBlockBytes : 1000 + i, i / 2 * 2));
  const std::vector<ByteView> views(blocks.begin(), blocks.end());
  Upload upload = f.store->begin_upload();
  const auto names = f.store->put_many(upload, BlockKind::Data, views);
  REQUIRE_OK(names);
  REQUIRE(names->size() == blocks.size());
  f.index.commit(upload);
  const std::unordered_set<BlockName> distinct(names->begin(), names->end());
  CHECK(upload.written().size() == distinct.size());
  std::vector<Bytes> read(blocks.size(), Bytes(kBlockBytes, std::byte{1}));
  std::vector<BlockStore::Wanted> wanted;
  for (std::size_t i = 0; i < blocks.size(); ++i)
    wanted.push_back({(*names)[i], read[i]});
  REQUIRE_OK(f.store->read_many(wanted));
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    CHECK((*names)[i] == name_of(blocks[i]));
    Bytes expected = blocks[i];
    expected.resize(kBlockBytes);
    CHECK(read[i] == expected);
  }
}

TEST_CASE("small blocks of one call are written by one call") {
  StoreFixture f;
  f.add(noise(10, 0));  // the segment is made
  std::vector<Bytes> blocks;
  for (std::uint64_t i = 1; i <= 16; ++i)
    blocks.push_back(noise(4096, i));
  const std::vector<ByteView> views(blocks.begin(), blocks.end());
  Upload upload = f.store->begin_upload();
  const std::uint64_t writes = f.faulty.calls(Operation::Write);
  REQUIRE_OK(f.store->put_many(upload, BlockKind::Data, views));
  CHECK(f.faulty.calls(Operation::Write) == writes + 1);
}

TEST_CASE("parts of blocks, holes and what is behind a block's end") {
  StoreFixture f;
  const Bytes bytes = noise(1000, 1);
  const BlockName name = f.add(bytes);
  const auto part = [&](std::size_t skip, std::size_t length, BlockName which) {
    Bytes into(length, std::byte{0xdd});
    const std::array wanted{BlockStore::Wanted{which, into, skip}};
    REQUIRE_OK(f.store->read_many(wanted));
    Bytes expected(skip + length);
    if (!which.is_hole())
      std::copy_n(bytes.begin(), std::min(bytes.size(), expected.size()), expected.begin());
    CHECK(into == Bytes(expected.begin() + static_cast<std::ptrdiff_t>(skip), expected.end()));
  };
  part(0, 1000, name);
  part(0, 10, name);
  part(500, 100, name);
  part(500, 1000, name);
  part(999, 1, name);
  part(1000, 10, name);
  part(5000, 10, name);
  part(0, kBlockBytes, name);
  part(0, 500, {});
  part(0, kBlockBytes, {});
  REQUIRE_OK(f.store->read_many({}));
}

TEST_CASE("bytes that are no block are refused, and leave nothing pinned") {
  StoreFixture f;
  Upload upload = f.store->begin_upload();
  Bytes zero_at_end = noise(100, 1);
  zero_at_end.push_back(std::byte{0});
  const auto put = [&](const Bytes& bytes, BlockKind kind = BlockKind::Data) {
    return f.store->put(upload, kind, bytes);
  };
  CHECK_FAILS(put({}), ErrorCode::InvalidArgument);
  CHECK_FAILS(put(zero_at_end), ErrorCode::InvalidArgument);
  CHECK_FAILS(put(noise(kBlockBytes + 1, 1)), ErrorCode::InvalidArgument);
  CHECK_FAILS(put(noise(33, 1), BlockKind::List), ErrorCode::InvalidArgument);
  CHECK_FAILS(f.store->put_named(upload, name_of(noise(5, 1)), BlockKind::Data, noise(5, 2)),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(f.store->put_named(upload, name_of(zero_at_end), BlockKind::Data, zero_at_end),
              ErrorCode::InvalidArgument);
  CHECK(f.store->pinned().empty());
  CHECK(upload.written().empty());
  CHECK_OK(f.store->put_named(upload, name_of(noise(5, 1)), BlockKind::Data, noise(5, 1)));
  CHECK(upload.written().size() == 1);
}

TEST_CASE("reusing needs a block that is there") {
  StoreFixture f;
  const BlockName name = f.add(noise(100, 1));
  Upload upload = f.store->begin_upload();
  CHECK_FAILS(f.store->reuse(upload, name_of(noise(100, 2))), ErrorCode::NotFound);
  CHECK(f.store->pinned().empty());
  CHECK_OK(f.store->reuse(upload, name));
  CHECK_OK(f.store->reuse(upload, name));
  CHECK(upload.reused().size() == 1);
  // Of another upload, not yet committed: this one's commit enters the row, too.
  Upload other = f.store->begin_upload();
  f.put(other, noise(100, 2));
  CHECK_OK(f.store->reuse(upload, name_of(noise(100, 2))));
  CHECK(upload.written().size() == 1);
  CHECK(upload.written().front().placement == other.written().front().placement);
}

TEST_CASE("an upload that moves keeps its pins, and drops them once") {
  StoreFixture f;
  Upload first = f.store->begin_upload();
  f.put(first, noise(100, 1));
  Upload second = std::move(first);
  CHECK(f.store->pinned().size() == 1);
  Upload third = f.store->begin_upload();
  f.put(third, noise(100, 2));
  CHECK(f.store->pinned().size() == 2);
  third = std::move(second);
  CHECK(f.store->pinned() == std::vector{name_of(noise(100, 1))});
  CHECK(third.written().size() == 1);
}

// Whoever gives a block up, the other still has it.
TEST_CASE("I10: uploads that share a block share its record") {
  StoreFixture f;
  const Bytes bytes = noise(100, 1);
  Upload second = f.store->begin_upload();
  {
    Upload first = f.store->begin_upload();
    f.put(first, bytes);
    f.put(second, bytes);
    CHECK(second.written().front().placement == first.written().front().placement);
  }
  CHECK(f.store->segments_in_use() == std::vector<std::uint32_t>{1});
  CHECK(*f.read(name_of(bytes)) == bytes);
  f.index.commit(second);
  CHECK(*f.read(name_of(bytes)) == bytes);
}

TEST_CASE("two uploads that write one block at once refer to one record") {
  StoreFixture f;
  f.add(noise(10, 0));  // the segment is made
  const Bytes bytes = noise(100, 1);
  Upload first = f.store->begin_upload();
  Upload second = f.store->begin_upload();
  f.faulty.add({.operation = Operation::Write, .before = [&] { f.put(second, bytes); }});
  f.put(first, bytes);
  REQUIRE(first.written().size() == 1);
  REQUIRE(second.written().size() == 1);
  CHECK(first.written().front().placement == second.written().front().placement);
}

// The record lies in a segment before anybody has heard of it.
TEST_CASE("F15: a segment counts as in use while a record is on its way into it") {
  StoreFixture f;
  f.add(noise(10, 0));
  CHECK(f.store->segments_in_use().empty());
  std::vector<std::uint32_t> during;
  f.faulty.add(
      {.operation = Operation::Write, .before = [&] { during = f.store->segments_in_use(); }});
  Upload upload = f.store->begin_upload();
  f.put(upload, noise(100, 1));
  CHECK(during == std::vector<std::uint32_t>{1});
  CHECK(f.store->segments_in_use() == std::vector<std::uint32_t>{1});
}

TEST_CASE("a full disk fails the put, keeps nothing pinned that is not there, and passes") {
  StoreFixture f;
  std::vector<Bytes> blocks;
  for (std::uint64_t i = 0; i < 8; ++i)
    blocks.push_back(noise(kBlockBytes, i));
  const std::vector<ByteView> views(blocks.begin(), blocks.end());
  for (std::uint64_t space : {0, 100'000, 500'000}) {
    Upload upload = f.store->begin_upload();
    f.faulty.set_space(space);
    CHECK_FAILS(f.store->put_many(upload, BlockKind::Data, views), ErrorCode::NoSpace);
    CHECK(f.store->pinned().size() == upload.written().size());
    f.faulty.clear();
    REQUIRE_OK(f.store->put_many(upload, BlockKind::Data, views));
    CHECK(upload.written().size() == blocks.size());
    for (const Bytes& bytes : blocks)
      CHECK(*f.read(name_of(bytes)) == bytes);
  }
}

TEST_CASE("an index that fails fails the call, and nothing else") {
  StoreFixture f;
  const BlockName name = f.add(noise(100, 1));
  f.index.failing = true;
  Upload upload = f.store->begin_upload();
  CHECK_FAILS(f.store->put(upload, BlockKind::Data, noise(100, 1)), ErrorCode::Unavailable);
  CHECK_FAILS(f.store->reuse(upload, name), ErrorCode::Unavailable);
  CHECK_FAILS(f.read(name), ErrorCode::Unavailable);
  Bytes into(100);
  const std::array wanted{BlockStore::Wanted{name, into}};
  CHECK_FAILS(f.store->read_many(wanted), ErrorCode::Unavailable);
  CHECK(f.store->pinned().empty());
  f.index.failing = false;
  CHECK_OK(f.read(name));
}

TEST_CASE("a block that moves while it is read is looked up again") {
  StoreFixture f;
  const Bytes bytes = noise(100, 1);
  const BlockName name = f.add(bytes);
  bool moved = false;
  f.index.after_find = [&] {
    if (!std::exchange(moved, true))
      f.move(name, bytes);
  };
  CHECK(*f.read(name) == bytes);
  CHECK(moved);
  CHECK(f.index.bad().empty());
  moved = false;
  Bytes into(100);
  const std::array wanted{BlockStore::Wanted{name, into}};
  CHECK_OK(f.store->read_many(wanted));
  CHECK(into == bytes);
  CHECK(f.index.bad().empty());
}

TEST_CASE("a block that moves for ever is given up") {
  StoreFixture f;
  const Bytes bytes = noise(100, 1);
  const BlockName name = f.add(bytes);
  f.index.after_find = [&] { f.move(name, bytes); };
  CHECK_FAILS(f.read(name), ErrorCode::Unavailable);
  CHECK(f.index.bad().empty());
}

TEST_CASE("F13, I9: a damaged block is reported once, not served, and written again when put") {
  StoreFixture f;
  const Bytes bytes = noise(100, 1);
  const BlockName name = f.add(bytes);
  const Placement place = *f.index.at(name);
  f.damage(place);
  CHECK_FAILS(f.read(name), ErrorCode::Corrupt);
  CHECK_FAILS(f.read(name), ErrorCode::Corrupt);
  REQUIRE(f.index.bad().size() == 1);
  CHECK(f.index.bad().front().name == name);
  CHECK(f.index.bad().front().placement == place);
  CHECK(f.index.bad().front().code == ErrorCode::Corrupt);
  Upload upload = f.store->begin_upload();
  CHECK_FAILS(f.store->reuse(upload, name), ErrorCode::NotFound);
  f.put(upload, bytes);
  CHECK(upload.written().size() == 1);
  CHECK(*f.read(name) == bytes);
  f.index.commit(upload);
  upload = f.store->begin_upload();
  CHECK(*f.read(name) == bytes);
}

TEST_CASE(
    "F13, I9: of two blocks that are verified together a damaged one is found, and not served") {
  for (const std::size_t damaged : {0UL, 1UL, 2UL}) {
    CAPTURE(damaged);
    StoreFixture f;
    // Both lie in their segment as they are; one is shorter than its place.
    const std::array blocks{noise(kBlockBytes, 1), noise(kBlockBytes / 2, 2)};
    const std::array names{f.add(blocks[0]), f.add(blocks[1])};
    if (damaged < 2)
      f.damage(*f.index.at(names[damaged]));
    std::array<Bytes, 2> into{Bytes(kBlockBytes, std::byte{1}), Bytes(kBlockBytes, std::byte{1})};
    const std::array wanted{BlockStore::Wanted{names[0], into[0]},
                            BlockStore::Wanted{names[1], into[1]}};
    const auto read = f.store->read_many(wanted);
    if (damaged == 2) {
      CHECK_OK(read);
      CHECK(into[0] == blocks[0]);
      Bytes expected = blocks[1];
      expected.resize(kBlockBytes);
      CHECK(into[1] == expected);
      CHECK(f.index.bad().empty());
      continue;
    }
    CHECK_FAILS(read, ErrorCode::Corrupt);
    REQUIRE(f.index.bad().size() == 1);
    CHECK(f.index.bad().front().name == names[damaged]);
    CHECK(std::all_of(into[damaged].begin(), into[damaged].begin() + kBlockBytes / 2,
                      [](std::byte b) { return b == std::byte{0}; }));
    CHECK(*f.read(names[1 - damaged]) == blocks[1 - damaged]);
  }
}

namespace {

// Enough blocks to be verified side by side, most as they lie, with all that is read otherwise
// between them: a hole, one that is compressed, a short one, and parts.
struct ManyBlocks {
  ManyBlocks() {
    for (std::uint64_t i = 0; i < 20; ++i) {
      Bytes bytes = noise(i == 11 ? kBlockBytes / 2 : kBlockBytes, i);
      if (i == 5)
        bytes = text(kBlockBytes);
      blocks.push_back(i == 9 ? Bytes() : bytes);
      names.push_back(i == 9 ? BlockName{} : f.add(bytes));
    }
  }

  Status read() {
    into.assign(blocks.size(), Bytes(kBlockBytes, std::byte{0xdd}));
    std::vector<BlockStore::Wanted> wanted;
    for (std::size_t i = 0; i < blocks.size(); ++i)
      wanted.push_back({names[i], into[i]});
    wanted[7].skip = 1000;
    wanted[13].into = wanted[13].into.first(5000);
    return f.store->read_many(wanted);
  }

  [[nodiscard]] bool is_right(std::size_t i) const {
    Bytes expected = blocks[i];
    if (i == 7)
      expected.erase(expected.begin(), expected.begin() + 1000);
    expected.resize(i == 13 ? 5000 : kBlockBytes);
    return std::equal(expected.begin(), expected.end(), into[i].begin());
  }

  StoreFixture f;
  std::vector<Bytes> blocks;
  std::vector<BlockName> names;
  std::vector<Bytes> into;
};

}  // namespace

TEST_CASE("blocks of all kinds are read side by side") {
  ManyBlocks many;
  REQUIRE_OK(many.read());
  for (std::size_t i = 0; i < many.blocks.size(); ++i) {
    CAPTURE(i);
    CHECK(many.is_right(i));
  }
  CHECK(many.f.index.bad().empty());
}

TEST_CASE("F13, I9: of blocks that are verified side by side each damaged one is found") {
  for (const std::size_t damaged : {0UL, 3UL, 5UL, 7UL, 11UL, 15UL, 16UL, 19UL}) {
    CAPTURE(damaged);
    ManyBlocks many;
    many.f.damage(*many.f.index.at(many.names[damaged]));
    CHECK_FAILS(many.read(), ErrorCode::Corrupt);
    REQUIRE(many.f.index.bad().size() == 1);
    CHECK(many.f.index.bad().front().name == many.names[damaged]);
    CHECK(std::all_of(many.into[damaged].begin(), many.into[damaged].end(),
                      [](std::byte b) { return b == std::byte{0} || b == std::byte{0xdd}; }));
  }
}

TEST_CASE("I9: of blocks that are verified side by side one under another's name is not served") {
  for (const std::size_t wrong : {0UL, 6UL, 15UL}) {
    CAPTURE(wrong);
    ManyBlocks many;
    // A whole record, checksum and all, but its bytes are not what its name says.
    const Bytes other = noise(kBlockBytes, 1000);
    PreparedBlock block = prepared(other);
    block.name = many.names[wrong];
    const auto placements = many.f.segments->append(std::span(&block, 1));
    REQUIRE_OK(placements);
    many.f.index.set(many.names[wrong], placements->front());
    CHECK_FAILS(many.read(), ErrorCode::Corrupt);
    REQUIRE(many.f.index.bad().size() == 1);
    CHECK(many.f.index.bad().front().name == many.names[wrong]);
    CHECK(many.into[wrong] == Bytes(kBlockBytes));
  }
}

TEST_CASE("many large blocks, some of which compress, are named and written side by side") {
  StoreFixture f({}, 2);
  std::vector<Bytes> blocks;
  for (std::uint64_t i = 0; i < 37; ++i) {
    blocks.push_back(i % 16 < 8 ? noise(kBlockBytes, i) : text(kBlockBytes));
    blocks.back()[i] = std::byte{7};
  }
  const std::vector<ByteView> views(blocks.begin(), blocks.end());
  Upload upload = f.store->begin_upload();
  const auto names = f.store->put_many(upload, BlockKind::Data, views);
  REQUIRE_OK(names);
  CHECK(upload.written().size() == blocks.size());
  f.index.commit(upload);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    CAPTURE(i);
    CHECK((*names)[i] == name_of(blocks[i]));
    CHECK(*f.read((*names)[i]) == blocks[i]);
    CHECK((f.index.at((*names)[i])->length < kBlockBytes) == (i % 16 >= 8));
  }
}

TEST_CASE("in quarantine a block is still damage, not absence") {
  StoreFixture f;
  const BlockName name = f.add(noise(100, 1));
  f.damage(*f.index.at(name));
  CHECK_FAILS(f.read(name), ErrorCode::Corrupt);
  f.index.erase(name);
  CHECK_FAILS(f.read(name), ErrorCode::Corrupt);
}

TEST_CASE("a missing segment is damage of its blocks, and of no others") {
  StoreFixture f;
  const BlockName name = f.add(noise(100, 1));
  REQUIRE_OK(f.segments->close_active());
  const BlockName other = f.add(noise(100, 2));
  REQUIRE_OK(f.memory.unlink(path_of(1)));
  f.open();
  CHECK_FAILS(f.read(name), ErrorCode::Corrupt);
  CHECK(f.index.bad().size() == 1);
  CHECK_OK(f.read(other));
}

TEST_CASE("F7: a bad block comes from elsewhere if it can, verified") {
  Bytes answer;
  StoreFixture f({.fetch_elsewhere = [&](const BlockName&, BlockKind) -> common::Result<Bytes> {
    if (answer.empty())
      return common::fail(ErrorCode::Unavailable, "nobody has it");
    return answer;
  }});
  const Bytes bytes = noise(100, 1);
  const BlockName name = f.add(bytes);
  for (const bool damaged : {true, false}) {
    if (damaged)
      f.damage(*f.index.at(name));
    else
      f.index.erase(name);
    answer = {};
    CHECK_FAILS(f.read(name), ErrorCode::Corrupt);
    answer = noise(100, 2);
    CHECK_FAILS(f.read(name), ErrorCode::Corrupt);
    answer = noise(kBlockBytes + 1, 1);
    CHECK_FAILS(f.read(name), ErrorCode::Corrupt);
    answer = bytes;
    CHECK(*f.read(name) == bytes);
    Bytes small(99);
    CHECK_FAILS(f.store->read(name, BlockKind::Data, small), ErrorCode::InvalidArgument);
  }
  answer = {};
  CHECK_FAILS(f.read(name_of(noise(100, 3))), ErrorCode::NotFound);
}

TEST_CASE("a device that fails is reported as such; one that is short of memory is not") {
  StoreFixture f;
  const BlockName name = f.add(noise(100, 1));
  f.faulty.add({.operation = Operation::Read, .error_number = ENOMEM});
  CHECK_FAILS(f.read(name), ErrorCode::ResourceExhausted);
  CHECK(f.index.bad().empty());
  f.faulty.clear();
  f.faulty.add({.operation = Operation::Read, .error_number = EIO});
  CHECK_FAILS(f.read(name), ErrorCode::IoError);
  REQUIRE(f.index.bad().size() == 1);
  CHECK(f.index.bad().front().code == ErrorCode::IoError);
}

TEST_CASE("list blocks are kept, so that each is read and verified once") {
  StoreFixture f;
  const Bytes bytes = list_bytes(256, 1);
  const BlockName name = f.add(bytes, BlockKind::List);
  f.open();
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t reads = f.faulty.calls(Operation::Read);
    const auto names = f.store->read_list(name);
    REQUIRE_OK(names);
    REQUIRE((*names)->size() == 256);
    CHECK(std::memcmp((*names)->data(), bytes.data(), bytes.size()) == 0);
    CHECK(f.faulty.calls(Operation::Read) == reads + (i == 0 ? 1 : 0));
  }
  CHECK_FAILS(f.store->read_list(name_of(bytes, BlockKind::Data)), ErrorCode::NotFound);
  const BlockName data = f.add(noise(320, 5));
  CHECK_FAILS(f.store->read_list(data), ErrorCode::InvalidArgument);
}

TEST_CASE("the cache of lists stays within its limit and drops what was not used") {
  ListCache cache(100'000);
  const auto name = [](std::uint64_t i) {
    BlockName made;
    std::memcpy(made.bytes.data(), &i, sizeof i);
    return made;
  };
  const auto list = std::make_shared<const std::vector<BlockName>>(100);
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    cache.insert(name(i), list);
    CHECK(cache.find(name(1)) != nullptr);
    CHECK(cache.bytes() <= 100'000);
  }
  CHECK(cache.find(name(2)) == nullptr);
  CHECK(cache.find(name(1000)) != nullptr);
  cache.insert(name(1), list);
  const std::size_t bytes = cache.bytes();
  cache.insert(name(1), list);
  CHECK(cache.bytes() == bytes);
  ListCache none(0);
  none.insert(name(1), list);
  CHECK(none.find(name(1)) == nullptr);
  CHECK(none.bytes() == 0);
}
