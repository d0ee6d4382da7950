#include "common/fileclient/transfer/content_name.hpp"

#include "common/crypto/hash.hpp"
#include "common/wire/binary.hpp"
#include "tests/support/test.hpp"

using namespace common::fileclient;
using common::Bytes;
using common::ByteView;
using common::fileproto::ContentName;

namespace {

// As STORE.md 1 says it, written out once more and in the plainest way.
ContentName hash(std::initializer_list<ByteView> pieces) {
  auto sha = common::crypto::Sha256::create();
  for (const ByteView piece : pieces)
    REQUIRE_OK(sha->update(piece));
  return *sha->finish();
}
ContentName block(std::uint8_t kind, ByteView bytes) {
  while (kind == 1 && !bytes.empty() && bytes.back() == std::byte{0})
    bytes = bytes.first(bytes.size() - 1);
  if (bytes.empty())
    return {};
  const Bytes head =
      common::wire::BinaryWriter().u8(kind).u32(static_cast<std::uint32_t>(bytes.size())).take();
  return hash({common::as_bytes("troth block 1"), head, bytes});
}
ContentName root_of(ByteView bytes) {
  std::vector<ContentName> level;
  for (std::size_t at = 0; at < bytes.size(); at += kContentBlock)
    level.push_back(
        block(1, bytes.subspan(at, std::min<std::size_t>(kContentBlock, bytes.size() - at))));
  while (level.size() > 1) {
    std::vector<ContentName> above;
    for (std::size_t i = 0; i < level.size(); i += 256) {
      std::size_t count = std::min<std::size_t>(256, level.size() - i);
      while (count > 0 && level[i + count - 1] == ContentName{})
        --count;
      Bytes list;
      for (std::size_t k = 0; k < count; ++k)
        list.insert(list.end(), level[i + k].begin(), level[i + k].end());
      above.push_back(block(2, list));
    }
    level = above;
  }
  return level.empty() ? ContentName{} : level[0];
}
ContentName with_tail(ByteView bytes, std::size_t tail) {
  const ContentName root = root_of(bytes.first(bytes.size() - tail));
  const Bytes head = common::wire::BinaryWriter().u64(bytes.size()).fixed(root).take();
  return hash({common::as_bytes("troth content 1"), head, bytes.last(tail)});
}

Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<std::byte>(i * 31 + i / 251);
  return bytes;
}

bool is(const Bytes& bytes, const ContentName& name) {
  ContentBlocks blocks(bytes.size());
  REQUIRE_OK(blocks.add(0, bytes));
  auto right = blocks.is(name, ByteView(bytes).subspan(blocks.end_begins()));
  REQUIRE_OK(right);
  return *right;
}

}  // namespace

TEST_CASE("content has the name that the store gives it") {
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{4096}, std::size_t{4097}, std::size_t{kContentBlock},
        std::size_t{kContentBlock + 1}, std::size_t{256 * kContentBlock},
        std::size_t{257 * kContentBlock + 5}}) {
    CAPTURE(size);
    Bytes bytes = pattern(size);
    const ContentName name = size <= 4096 ? with_tail(bytes, size) : root_of(bytes);
    CHECK(is(bytes, name));
    bytes[size / 2] ^= std::byte{1};
    CHECK_FALSE(is(bytes, name));
  }
}

TEST_CASE("holes, and names of files that small appends are kept apart of") {
  Bytes holes(300 * kContentBlock);
  holes[5 * kContentBlock] = std::byte{1};
  CHECK(is(holes, root_of(holes)));
  CHECK(is(Bytes(10 * kContentBlock), ContentName{}));
  // The tail ends in the last block, begins with it, or reaches into the block before.
  for (const std::size_t size :
       {std::size_t{kContentBlock + 5000}, std::size_t{kContentBlock + 100},
        std::size_t{256 * kContentBlock + 10}}) {
    for (const std::size_t tail :
         {std::size_t{1}, std::size_t{10}, std::size_t{100}, std::size_t{2048}}) {
      CAPTURE(size);
      CAPTURE(tail);
      const Bytes bytes = pattern(size);
      CHECK(is(bytes, with_tail(bytes, tail)));
    }
  }
  Bytes wrong = pattern(kContentBlock + 5000);
  const ContentName name = with_tail(wrong, 100);
  wrong.back() ^= std::byte{1};
  CHECK_FALSE(is(wrong, name));
}
