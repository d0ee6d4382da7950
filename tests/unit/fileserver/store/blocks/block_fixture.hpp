#pragma once

// What the tests of blocks share: bytes to store, and an index in memory.

#include <map>
#include <memory>

#include "common/io/faulty_file_io.hpp"
#include "common/io/memory_file_io.hpp"
#include "common/sync/locked.hpp"
#include "fileserver/store/blocks/block_name.hpp"
#include "fileserver/store/blocks/block_store.hpp"
#include "fileserver/store/blocks/crc32c.hpp"
#include "tests/support/test.hpp"

namespace block_test {

using namespace fileserver::store;
using common::ErrorCode;
using common::io::Fault;
using common::io::FaultyFileIo;
using common::io::MemoryFileIo;
using common::io::Operation;

// Bytes that nothing compresses and no two seeds share; never ends in zero.
inline Bytes noise(std::size_t length, std::uint64_t seed) {
  Bytes bytes(length);
  std::uint64_t state = seed * 0x9e3779b97f4a7c15 + 1;
  for (std::size_t i = 0; i < length; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    bytes[i] = static_cast<std::byte>(state >> 32);
  }
  if (!bytes.empty() && bytes.back() == std::byte{0})
    bytes.back() = std::byte{1};
  return bytes;
}

// Bytes that compress well.
inline Bytes text(std::size_t length, char with = 'a') {
  Bytes bytes(length, static_cast<std::byte>(with));
  for (std::size_t i = 0; i < length; i += 7)
    bytes[i] = static_cast<std::byte>('a' + i % 11);
  return bytes;
}

inline BlockName name_of(const Bytes& bytes, BlockKind kind = BlockKind::Data) {
  const auto name = name_block(kind, bytes);
  REQUIRE_OK(name);
  return *name;
}

inline PreparedBlock prepared(const Bytes& bytes, bool compress = false) {
  auto block = prepare_block(BlockKind::Data, bytes, compress);
  REQUIRE_OK(block);
  return *std::move(block);
}

// Appends each by itself or all together; their places.
inline std::vector<Placement> append_all(Segments& segments, const std::vector<Bytes>& blocks,
                                         bool compress = false) {
  std::vector<PreparedBlock> prepared_blocks;
  for (const Bytes& bytes : blocks)
    prepared_blocks.push_back(prepared(bytes, compress));
  const auto placements = segments.append(prepared_blocks);
  REQUIRE_OK(placements);
  REQUIRE(placements->size() == blocks.size());
  return *placements;
}

inline common::Result<Bytes> read_block(Segments& segments, const BlockName& name,
                                        const Placement& placement,
                                        BlockKind kind = BlockKind::Data) {
  Bytes into(kBlockBytes);
  TROTH_TRY(const std::size_t length, segments.read(name, kind, placement, into));
  into.resize(length);
  return into;
}

// An index that remembers what it was told.
class MemoryIndex final : public BlockIndex {
 public:
  struct Bad {
    BlockName name;
    Placement placement;
    ErrorCode code;
  };

  Result<std::vector<std::optional<Placement>>> find(std::span<const BlockName> names) override {
    if (failing)
      return common::fail(ErrorCode::Unavailable, "the index");
    if (before_find)
      before_find();
    auto rows = rows_.lock();
    std::vector<std::optional<Placement>> found;
    for (const BlockName& name : names) {
      const auto row = rows->find(name);
      found.push_back(row == rows->end() ? std::nullopt : std::optional(row->second));
    }
    rows.unlock();
    if (after_find)
      after_find();
    return found;
  }
  void found_bad(const BlockName& name, const Placement& placement,
                 const common::Error& why) override {
    bad_.lock()->push_back({name, placement, why.code});
  }

  // As a commit would: rows for what is new.
  void commit(const Upload& upload) {
    for (const NewBlock& block : upload.written())
      set(block.name, block.placement);
  }
  void set(const BlockName& name, const Placement& placement) {
    rows_.lock()->insert_or_assign(name, placement);
  }
  void erase(const BlockName& name) { rows_.lock()->erase(name); }
  std::optional<Placement> at(const BlockName& name) {
    auto rows = rows_.lock();
    const auto row = rows->find(name);
    return row == rows->end() ? std::nullopt : std::optional(row->second);
  }
  std::vector<Bad> bad() { return *bad_.lock(); }

  // Set while no other thread uses the index.
  std::function<void()> before_find;
  std::function<void()> after_find;  // what it found is told only afterwards
  bool failing = false;

 private:
  common::Locked<std::map<BlockName, Placement>> rows_;
  common::Locked<std::vector<Bad>> bad_;
};

}  // namespace block_test
