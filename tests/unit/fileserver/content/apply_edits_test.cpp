#include "fileserver/content/apply_edits.hpp"

#include "common/sim/random.hpp"
#include "tests/support/store_model.hpp"
#include "tests/unit/fileserver/store/volume/volume_fixture.hpp"

namespace {

using namespace test_support;  // every name of it is a word of this test
using common::sim::Random;
using fileserver::add_range;
using fileserver::has_range;
namespace fileproto = common::fileproto;

Bytes random_bytes(Random& random, std::size_t length) {
  Bytes bytes(length);
  for (std::byte& byte : bytes)
    byte = static_cast<std::byte>(random.next());
  return bytes;
}

Bytes all_of(store::BlockStore& blocks, const store::Content& content) {
  Bytes bytes(content.size);
  const auto length = store::read_content(blocks, content, 0, bytes);
  REQUIRE_OK(length);
  CHECK(*length == bytes.size());
  return bytes;
}

TEST_CASE_FIXTURE(VolumeFixture, "edits that came along, or were staged, make the same file") {
  create();
  Random random(5);
  store::BlockStore& blocks = volume->blocks();
  for (int round = 0; round < 30; ++round) {
    CAPTURE(round);
    store::Upload upload = blocks.begin_upload();
    const Bytes old = random_bytes(random, random.below(600'000));
    const auto base = store::make_content(blocks, upload, old);
    REQUIRE_OK(base);
    const Bytes pool = random_bytes(random, 1 + random.below(3'000'000));
    const auto staged = store::make_content(blocks, upload, pool);
    REQUIRE_OK(staged);
    fileproto::Store change;
    change.size = 2'000'000 + random.below(2'000'000);
    ModelBytes model(old);
    for (std::uint64_t i = random.below(3); i > 0; --i) {
      const fileproto::ByteRange hole{random.below(500'000), random.below(300'000)};
      change.holes.push_back(hole);
      if (hole.offset < change.size)
        model.zero(hole.offset, std::min(hole.length, change.size - hole.offset));
    }
    Bytes raw;
    for (std::uint64_t i = random.below(9); i > 0; --i) {
      fileproto::Edit edit;
      edit.from = random.below(pool.size());
      // Some where they lie may be taken over, some not.
      const bool aligned = random.below(2) == 0;
      if (aligned)
        edit.from -= edit.from % store::kBlockBytes;
      edit.length = random.below(pool.size() - edit.from + 1);
      edit.offset = random.below(1'000'000);
      if (aligned)
        edit.offset -= edit.offset % store::kBlockBytes;
      if (edit.length > change.size || edit.offset > change.size - edit.length)
        continue;
      change.edits.push_back(edit);
      const ByteView piece = ByteView(pool).subspan(edit.from, edit.length);
      model.write(edit.offset, piece);
      raw.insert(raw.end(), piece.begin(), piece.end());
    }
    model.resize(change.size);
    const Bytes expected = model.read(0, change.size);
    const auto along = fileserver::apply_edits(blocks, upload, *base, change, raw);
    REQUIRE_OK(along);
    CHECK((all_of(blocks, *along) == expected));
    const auto taken = fileserver::apply_staged(blocks, upload, *base, change, *staged);
    REQUIRE_OK(taken);
    CHECK((all_of(blocks, *taken) == expected));
  }
}

TEST_CASE_FIXTURE(VolumeFixture, "edits that say what cannot be are refused") {
  create();
  store::BlockStore& blocks = volume->blocks();
  store::Upload upload = blocks.begin_upload();
  const Bytes raw(100, std::byte{1});
  fileproto::Store change;
  change.size = 150;
  change.edits = {{100, 51, 0}};
  const auto apply = [&](ByteView bytes) {
    return fileserver::apply_edits(blocks, upload, {}, change, bytes);
  };
  CHECK_FAILS(apply(ByteView(raw).first(51)), ErrorCode::InvalidArgument);
  change.edits = {{UINT64_MAX, 2, 0}};
  CHECK_FAILS(apply(ByteView(raw).first(2)), ErrorCode::InvalidArgument);
  change.edits = {{0, 100, 0}};
  CHECK_FAILS(apply(ByteView(raw).first(99)), ErrorCode::InvalidArgument);
  change.edits = {{0, 99, 0}};
  CHECK_FAILS(apply(raw), ErrorCode::InvalidArgument);
  change.size = store::kMaxFileSize + 1;
  CHECK_FAILS(apply(raw), ErrorCode::TooLarge);
  const auto staged = store::make_content(blocks, upload, raw);
  change.size = 150;
  change.edits = {{0, 50, 51}};
  CHECK_FAILS(fileserver::apply_staged(blocks, upload, {}, change, *staged),
              ErrorCode::InvalidArgument);
}

TEST_CASE("ranges join where they touch, and are told apart where they do not") {
  Random random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<fileproto::ByteRange> ranges;
    std::vector<bool> there(200);
    for (int i = 0; i < 12; ++i) {
      const fileproto::ByteRange more{random.below(180), random.below(20)};
      add_range(ranges, more);
      for (std::uint64_t at = more.offset; at < more.offset + more.length; ++at)
        there[at] = true;
      std::vector<bool> said(200);
      for (std::size_t r = 0; r < ranges.size(); ++r) {
        if (r > 0)
          CHECK(ranges[r - 1].offset + ranges[r - 1].length < ranges[r].offset);
        for (std::uint64_t at = ranges[r].offset; at < ranges[r].offset + ranges[r].length; ++at)
          said[at] = true;
      }
      REQUIRE((said == there));
      const fileproto::ByteRange asked{random.below(180), random.below(20)};
      bool all = true;
      for (std::uint64_t at = asked.offset; at < asked.offset + asked.length; ++at)
        all = all && there[at];
      CHECK(has_range(ranges, asked) == all);
    }
  }
}

}  // namespace
