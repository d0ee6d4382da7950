#include "fileserver/store/blocks/block_store.hpp"

#include "tests/unit/fileserver/store/blocks/block_fixture.hpp"

using namespace block_test;

namespace {

struct Fixture {
  explicit Fixture(BlockStoreOptions options = {}, std::size_t helpers = 1)
      : faulty(memory),
        segments(*Segments::open(faulty, "segments", {.segment_bytes = 1 << 20}, clock)),
        pool(helpers),
        store(*segments, index, pool, std::move(options)) {}

  MemoryFileIo memory;
  FaultyFileIo faulty;
  common::ManualClock clock;
  std::unique_ptr<Segments> segments;
  MemoryIndex index;
  WorkPool pool;
  BlockStore store;

  Bytes read(const BlockName& name) {
    Bytes into(kBlockBytes);
    const auto length = store.read(name, BlockKind::Data, into);
    REQUIRE_OK(length);
    into.resize(*length);
    return into;
  }
};

}  // namespace

TEST_CASE("a block is written once and read by its name") {
  Fixture f;
  const Bytes bytes = noise(3000, 1);
  {
    Upload upload = f.store.begin_upload();
    const auto name = f.store.put(upload, BlockKind::Data, bytes);
    REQUIRE_OK(name);
    CHECK(*name == name_of(bytes));
    CHECK_OK(f.store.put(upload, BlockKind::Data, bytes));
    CHECK(upload.written().size() == 1);
    CHECK(upload.reused().empty());
    CHECK(f.read(*name) == bytes);  // before any commit
    f.index.commit(upload);
  }
  Upload upload = f.store.begin_upload();
  CHECK_OK(f.store.put(upload, BlockKind::Data, bytes));
  CHECK(upload.written().empty());
  CHECK(upload.reused().size() == 1);
  CHECK(f.read(name_of(bytes)) == bytes);
}

TEST_CASE("many blocks at once are named, written and read in parallel") {
  Fixture f({}, 2);
  std::vector<Bytes> blocks;
  for (std::uint64_t i = 0; i < 60; ++i)
    blocks.push_back(noise(i % 3 == 0 ? kBlockBytes : 1000 + i, i / 2));
  const std::vector<ByteView> views(blocks.begin(), blocks.end());
  Upload upload = f.store.begin_upload();
  const auto names = f.store.put_many(upload, BlockKind::Data, views);
  REQUIRE_OK(names);
  f.index.commit(upload);
  std::vector<Bytes> read(blocks.size(), Bytes(kBlockBytes, std::byte{1}));
  std::vector<BlockStore::Wanted> wanted;
  for (std::size_t i = 0; i < blocks.size(); ++i)
    wanted.push_back({(*names)[i], read[i]});
  REQUIRE_OK(f.store.read_many(wanted));
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    CHECK((*names)[i] == name_of(blocks[i]));
    Bytes expected = blocks[i];
    expected.resize(kBlockBytes);
    CHECK(read[i] == expected);
  }
}
