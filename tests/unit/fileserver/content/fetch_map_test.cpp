#include "fileserver/content/fetch_map.hpp"

#include "common/sim/random.hpp"
#include "tests/support/store_model.hpp"
#include "tests/unit/fileserver/store/volume/volume_fixture.hpp"

namespace {

namespace fileproto = common::fileproto;
using namespace test_support;  // every name of it is a word of this test
using common::sim::Random;
using fileproto::ByteRange;
using store::kBlockBytes;

std::shared_ptr<fileserver::OpenVolume> opened(VolumeFixture& fixture) {
  auto open = std::make_shared<fileserver::OpenVolume>(1);
  open->volume = std::move(fixture.volume);
  return open;
}

Bytes draw(common::rpc::BytesSource& source, std::uint64_t size) {
  Bytes all;
  Bytes scratch(256 * 1024);
  while (all.size() < size) {
    const auto part = source(scratch);
    REQUIRE_OK(part);
    REQUIRE(!part->empty());
    all.insert(all.end(), part->begin(), part->end());
  }
  return all;
}

std::uint64_t total(const std::vector<ByteRange>& ranges) {
  std::uint64_t sum = 0;
  for (const ByteRange& range : ranges)
    sum += range.length;
  return sum;
}

// A file of data, holes and ends, as a content and as bytes.
struct File {
  store::Content content;
  Bytes bytes;
};
File random_file(store::BlockStore& blocks, store::Upload& upload, Random& random,
                 const File* from) {
  File file = from != nullptr ? *from : File{};
  ModelBytes model(file.bytes);
  std::vector<store::Edit> edits;
  std::vector<Bytes> kept;
  for (std::uint64_t i = random.below(4); i > 0; --i) {
    Bytes& bytes = kept.emplace_back(1 + random.below(random.below(3) == 0 ? 300'000 : 3'000));
    for (std::byte& byte : bytes)
      byte = static_cast<std::byte>(random.next() | 1);
    store::Edit edit;
    edit.offset = random.below(1'500'000);
    edits.push_back(edit);
  }
  for (std::size_t i = 0; i < edits.size(); ++i) {
    edits[i].bytes = kept[i];
    model.write(edits[i].offset, kept[i]);
  }
  const std::uint64_t size = random.below(4) == 0 ? random.below(1'800'000) : model.size();
  model.resize(size);
  auto made = store::edit_content(blocks, upload, file.content, edits, size);
  REQUIRE_OK(made);
  return {*made, model.read(0, size)};
}

TEST_CASE_FIXTURE(VolumeFixture, "what a fetch sends and what it leaves out is the file") {
  create();
  const auto open = opened(*this);
  const fileserver::VolumeRef ref(open, nullptr);
  store::BlockStore& blocks = ref->blocks();
  Random random(3);
  for (int round = 0; round < 60; ++round) {
    CAPTURE(round);
    store::Upload upload = blocks.begin_upload();
    const File before = random_file(blocks, upload, random, nullptr);
    const File now = random_file(blocks, upload, random, &before);
    const bool since = random.below(2) == 0;
    std::vector<ByteRange> asked;
    for (std::uint64_t i = 1 + random.below(3); i > 0; --i)
      asked.push_back({random.below(2'000'000), random.below(2'000'000)});
    const auto map =
        fileserver::fetch_map(blocks, now.content, since ? &before.content : nullptr, asked, 1000);
    REQUIRE_OK(map);
    // Whoever has the old one and puts in what comes, has the new one wherever he asked.
    Bytes got = since ? before.bytes : Bytes(now.bytes.size());
    got.resize(now.bytes.size());
    auto source = fileserver::content_source(ref, now.content, *map);
    const Bytes sent = draw(source, total(*map));
    std::size_t at = 0;
    for (const ByteRange& range : *map) {
      REQUIRE(range.offset + range.length <= got.size());
      std::copy_n(sent.begin() + static_cast<std::ptrdiff_t>(at), range.length,
                  got.begin() + static_cast<std::ptrdiff_t>(range.offset));
      at += range.length;
    }
    for (const ByteRange& range : asked) {
      if (range.offset >= got.size())
        continue;
      const std::size_t length = std::min<std::uint64_t>(range.length, got.size() - range.offset);
      CHECK(std::ranges::equal(ByteView(got).subspan(range.offset, length),
                               ByteView(now.bytes).subspan(range.offset, length)));
    }
  }
}

TEST_CASE_FIXTURE(VolumeFixture, "holes cost nothing, and of a changed file only what changed") {
  create();
  const auto open = opened(*this);
  const fileserver::VolumeRef ref(open, nullptr);
  store::BlockStore& blocks = ref->blocks();
  store::Upload upload = blocks.begin_upload();
  const Bytes bytes(kBlockBytes * 8, std::byte{7});
  const auto full = store::make_content(blocks, upload, bytes);
  store::Edit hole;
  hole.kind = store::Edit::Kind::Hole;
  hole.offset = kBlockBytes;
  hole.length = kBlockBytes * 2;
  const auto holed = store::edit_content(blocks, upload, *full, std::span(&hole, 1), bytes.size());
  REQUIRE_OK(holed);
  const ByteRange all{0, UINT64_MAX};
  const auto map = fileserver::fetch_map(blocks, *holed, nullptr, std::span(&all, 1), 10);
  REQUIRE_OK(map);
  CHECK((*map == std::vector<ByteRange>{{0, kBlockBytes}, {kBlockBytes * 3, kBlockBytes * 5}}));
  const auto changed = fileserver::fetch_map(blocks, *holed, &*full, std::span(&all, 1), 10);
  REQUIRE_OK(changed);
  CHECK((*changed == std::vector<ByteRange>{{kBlockBytes, kBlockBytes * 2}}));
  const auto same = fileserver::fetch_map(blocks, *holed, &*holed, std::span(&all, 1), 10);
  CHECK(same->empty());
  CHECK_FAILS(fileserver::fetch_map(blocks, *holed, nullptr, std::span(&all, 1), 1),
              ErrorCode::TooLarge);
  const ByteRange beyond{bytes.size(), 10};
  CHECK(fileserver::fetch_map(blocks, *holed, nullptr, std::span(&beyond, 1), 1)->empty());
}

}  // namespace
