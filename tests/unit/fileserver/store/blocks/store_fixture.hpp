#pragma once

#include "tests/unit/fileserver/store/blocks/segments_fixture.hpp"

namespace block_test {

// A block store on files in memory.
struct StoreFixture {
  explicit StoreFixture(BlockStoreOptions options = {}, std::size_t helpers = 1)
      : faulty(memory), pool(helpers), store_options(std::move(options)) {
    open();
  }

  // As after a restart: pins and what was condemned are forgotten.
  void open() {
    store.reset();
    segments.reset();
    segments = open_segments(faulty, {.segment_bytes = 1 << 20});
    store = std::make_unique<BlockStore>(*segments, index, pool, store_options);
  }

  BlockName put(Upload& upload, const Bytes& bytes, BlockKind kind = BlockKind::Data) {
    const auto name = store->put(upload, kind, bytes);
    REQUIRE_OK(name);
    return *name;
  }
  // Put and committed.
  BlockName add(const Bytes& bytes, BlockKind kind = BlockKind::Data) {
    Upload upload = store->begin_upload();
    const BlockName name = put(upload, bytes, kind);
    index.commit(upload);
    return name;
  }
  common::Result<Bytes> read(const BlockName& name, BlockKind kind = BlockKind::Data) {
    Bytes into(kBlockBytes);
    TROTH_TRY(const std::size_t length, store->read(name, kind, into));
    into.resize(length);
    return into;
  }
  // Moves a block as compaction does, and deletes the segment that had it.
  void move(const BlockName& name, const Bytes& bytes) {
    const Placement old = *index.at(name);
    REQUIRE_OK(segments->close_active());
    const Placement now = append_all(*segments, {bytes}).front();
    index.set(name, now);
    REQUIRE_OK(segments->remove(old.segment));
  }
  // Flips a byte of the payload on the disk.
  void damage(const Placement& place) {
    const auto file = memory.open(path_of(place.segment), common::io::OpenMode::ReadWrite);
    REQUIRE_OK(file);
    std::array<std::byte, 1> byte{};
    REQUIRE_OK((*file)->read_exactly(place.offset + 64, byte));
    byte[0] ^= std::byte{1};
    REQUIRE_OK((*file)->write_at(place.offset + 64, byte));
  }

  MemoryFileIo memory;
  FaultyFileIo faulty;
  MemoryIndex index;
  WorkPool pool;
  BlockStoreOptions store_options;
  std::unique_ptr<Segments> segments;
  std::unique_ptr<BlockStore> store;
};

}  // namespace block_test
