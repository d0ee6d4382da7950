#include "fileserver/content/stagings.hpp"

#include <thread>

#include "common/fileproto/block_names.hpp"
#include "common/sim/random.hpp"
#include "tests/support/store_check.hpp"
#include "tests/unit/fileserver/store/volume/volume_fixture.hpp"

namespace {

namespace fileproto = common::fileproto;
using namespace test_support;  // every name of it is a word of this test
using common::sim::Random;
using fileproto::ByteRange;
using fileserver::NewStaging;
using fileserver::Staging;
using fileserver::StagingCall;
using fileserver::StagingOwner;

struct Stagings : VolumeFixture {
  Stagings() { create(); }
  ~Stagings() { volume.reset(); }  // before its clock

  StagingCall call(StagingOwner owner = {store::MountId{{std::byte{1}}}, 10}) {
    StagingCall call{*volume, owner, {owner.principal, {}}, 10, *now, {}, {}};
    call.deadline = now->now() + std::chrono::seconds(60);
    return call;
  }
  common::Result<Staging> piece(const StagingCall& call, common::NodeId node, std::uint64_t offset,
                                ByteView bytes, bool lie = false) {
    TROTH_TRY(auto digest, fileproto::hash_of_piece(offset, bytes));
    if (lie)
      digest[0] ^= std::byte{1};
    TROTH_TRY(auto piece, fileserver::StagedPiece::begin(call, node, offset, bytes.size()));
    while (!bytes.empty()) {
      const auto room = piece.room();
      const std::size_t length = std::min<std::size_t>({room.size(), bytes.size(), 70'001});
      std::copy_n(bytes.begin(), length, room.begin());
      TROTH_TRY_VOID(piece.came(length));
      bytes = bytes.subspan(length);
    }
    return piece.finish(digest);
  }
  Bytes bytes_of(common::NodeId node) {
    const auto content = volume->content(node);
    REQUIRE_OK(content);
    Bytes bytes(content->size);
    REQUIRE_OK(volume->read(*content, 0, bytes));
    return bytes;
  }

  ScriptedClock scripted;
  const common::Clock* now = &clock;
};

Bytes some_bytes(std::size_t length, std::uint64_t seed = 1) {
  Random random(seed);
  Bytes bytes(length);
  for (std::byte& byte : bytes)
    byte = static_cast<std::byte>(random.next());
  return bytes;
}

TEST_CASE_FIXTURE(Stagings,
                  "pieces come in any order, and what is there is known, restarts or not") {
  Bytes whole = some_bytes(3'000'000);
  std::fill_n(whole.begin() + 1'000'000, 500'000, std::byte{0});
  const auto opened = fileserver::open_staging(call(), {{}, whole.size(), 0});
  REQUIRE_OK(opened);
  const common::NodeId node = opened->node;
  Random random(9);
  std::vector<ByteRange> pieces;
  for (std::uint64_t at = 0; at < whole.size();) {
    const std::uint64_t length =
        std::min<std::uint64_t>(1 + random.below(400'000), whole.size() - at);
    pieces.push_back({at, length});
    at += length;
  }
  for (std::size_t i = pieces.size(); i > 1; --i)
    std::swap(pieces[i - 1], pieces[random.below(i)]);
  std::uint64_t sent = 0;
  for (const ByteRange& next : pieces) {
    const auto now = fileserver::find_staging(*volume, node, call().owner);
    REQUIRE_OK(now);
    std::uint64_t there = 0;
    for (const ByteRange& range : now->there)
      there += range.length;
    CHECK(there == sent);  // so no byte need be sent twice
    const ByteView bytes = ByteView(whole).subspan(next.offset, next.length);
    REQUIRE_OK(piece(call(), node, next.offset, bytes));
    sent += next.length;
    if (random.below(3) == 0) {
      REQUIRE_OK(volume->close());
      REQUIRE_OK(open());
    }
  }
  const auto done = fileserver::find_staging(*volume, node, call().owner);
  REQUIRE_OK(done);
  CHECK((done->there == std::vector<ByteRange>{{0, whole.size()}}));
  CHECK((bytes_of(node) == whole));
}

TEST_CASE_FIXTURE(Stagings, "F54: of a piece with a wrong hash nothing is kept") {
  const Bytes bytes = some_bytes(300'000);
  const auto opened = fileserver::open_staging(call(), {{}, bytes.size(), 0});
  REQUIRE_OK(opened);
  const common::Seq before = volume->last_seq();
  CHECK_FAILS(piece(call(), opened->node, 0, bytes, true), ErrorCode::Corrupt);
  CHECK(volume->last_seq() == before);
  CHECK(fileserver::find_staging(*volume, opened->node, call().owner)->there.empty());
  REQUIRE_OK(piece(call(), opened->node, 0, bytes));
  CHECK((bytes_of(opened->node) == bytes));
}

TEST_CASE_FIXTURE(Stagings, "F56, F57: nobody else can tell that a staging is there, or use it") {
  const auto opened = fileserver::open_staging(call(), {{}, 1000, 0});
  REQUIRE_OK(opened);
  const StagingOwner other_mount{store::MountId{{std::byte{2}}}, 10};
  const StagingOwner other_user{store::MountId{{std::byte{1}}}, 11};
  for (const StagingOwner& other : {other_mount, other_user}) {
    const auto refused = fileserver::find_staging(*volume, opened->node, other);
    const auto never = fileserver::find_staging(*volume, common::NodeId{4'000'000}, other);
    CHECK_FAILS(refused, ErrorCode::NotFound);
    CHECK(refused.error().error_number == never.error().error_number);
    CHECK_FAILS(piece(call(other), opened->node, 0, some_bytes(10)), ErrorCode::NotFound);
    CHECK_FAILS(fileserver::drop_staging(call(other), opened->node), ErrorCode::NotFound);
  }
  // A file of the volume is none, nor is one that somebody has open and unlinked.
  const common::NodeId file = make(store::kRootNode, "file");
  CHECK_FAILS(fileserver::find_staging(*volume, file, call().owner), ErrorCode::NotFound);
}

TEST_CASE_FIXTURE(Stagings, "opening twice is opening once; another size is another upload") {
  const auto range = volume->grant_node_ids(10);
  REQUIRE_OK(range);
  const NewStaging wanted{*range, 5000, 0};
  REQUIRE_OK(fileserver::open_staging(call(), wanted));
  REQUIRE_OK(piece(call(), *range, 100, some_bytes(10)));
  const auto again = fileserver::open_staging(call(), wanted);
  REQUIRE_OK(again);
  CHECK((again->there == std::vector<ByteRange>{{100, 10}}));
  CHECK_FAILS(fileserver::open_staging(call(), {*range, 5001, 0}), ErrorCode::Conflict);
  CHECK(volume->kept()->size() == 1);
}

TEST_CASE_FIXTURE(Stagings, "a staging ends a day after its last piece, and when it is dropped") {
  now = &scripted;
  const std::string other = directory / "scripted";
  std::filesystem::create_directory(other);
  auto made = fs::Volume::create(other, common::VolumeId{8}, options, scripted);
  REQUIRE_OK(made);
  volume = *std::move(made);
  const auto first = fileserver::open_staging(call(), {{}, 1000, 0});
  const auto second = fileserver::open_staging(call(), {{}, 1000, 0});
  REQUIRE_OK(second);
  const auto settle = [&] {
    for (bool more = true; more;) {
      const auto done = volume->maintain();
      REQUIRE_OK(done);
      more = *done;
    }
  };
  constexpr std::int64_t kHour = 3'600'000'000'000;
  scripted.set_wall(scripted.wall() + 23 * kHour);
  REQUIRE_OK(piece(call(), first->node, 0, some_bytes(10)));
  scripted.set_wall(scripted.wall() + 2 * kHour);
  settle();
  CHECK_OK(fileserver::find_staging(*volume, first->node, call().owner));
  CHECK_FAILS(fileserver::find_staging(*volume, second->node, call().owner), ErrorCode::NotFound);
  CHECK_FAILS(volume->attributes(second->node), ErrorCode::NotFound);
  REQUIRE_OK(fileserver::drop_staging(call(), first->node));
  CHECK_FAILS(volume->attributes(first->node), ErrorCode::NotFound);
  CHECK(volume->kept()->empty());
}

TEST_CASE_FIXTURE(Stagings, "a piece that reaches beyond its staging is refused before it comes") {
  const auto opened = fileserver::open_staging(call(), {{}, 1000, 0});
  REQUIRE_OK(opened);
  const auto begin = [&](std::uint64_t offset, std::uint64_t length) {
    return fileserver::StagedPiece::begin(call(), opened->node, offset, length);
  };
  CHECK_FAILS(begin(0, 1001), ErrorCode::InvalidArgument);
  CHECK_FAILS(begin(1000, 1), ErrorCode::InvalidArgument);
  CHECK_FAILS(begin(UINT64_MAX, 2), ErrorCode::InvalidArgument);
  CHECK_FAILS(begin(0, 0), ErrorCode::InvalidArgument);
  CHECK_OK(begin(999, 1));
}

TEST_CASE_FIXTURE(Stagings, "quota is asked for what the file grows by, not for what is staged") {
  common::wire::BinaryWriter quota;
  quota.u64(1'000'000);
  REQUIRE_OK(commit({store::SetSetting{std::string(store::kQuotaBytes), quota.take()}}));
  const common::NodeId file = make(store::kRootNode, "file");
  const Bytes old = some_bytes(700'000, 1);
  const Bytes next = some_bytes(700'000, 2);
  REQUIRE_OK(put(file, common::as_text(old)));
  // Rewritten in place it needs no second quota.
  const auto opened = fileserver::open_staging(call(), {{}, next.size(), old.size()});
  REQUIRE_OK(opened);
  REQUIRE_OK(piece(call(), opened->node, 0, next));
  // Others may go on as before.
  const common::NodeId other = make(store::kRootNode, "other");
  REQUIRE_OK(put(other, common::as_text(ByteView(old).first(200'000))));
  CHECK_FAILS(put(other, common::as_text(ByteView(old).first(400'000))), ErrorCode::NoSpace);
  // A new file of that size has no room, and is told so before a byte is sent.
  CHECK_FAILS(fileserver::open_staging(call(), {{}, 200'000, 0}), ErrorCode::NoSpace);
  const auto small = fileserver::open_staging(call(), {{}, 100'000, 0});
  CHECK_OK(small);
}

TEST_CASE_FIXTURE(Stagings, "a mount has a few stagings, a volume many, and no more") {
  StagingCall few = call();
  few.caps.of_mount = 3;
  few.caps.of_volume = 5;
  for (int i = 0; i < 3; ++i)
    REQUIRE_OK(fileserver::open_staging(few, {{}, 10, 0}));
  CHECK_FAILS(fileserver::open_staging(few, {{}, 10, 0}), ErrorCode::ResourceExhausted);
  few.owner.mount.bytes[0] = std::byte{9};
  // Another mount of the same principal.
  few.caps.of_principal = 3;
  CHECK_FAILS(fileserver::open_staging(few, {{}, 10, 0}), ErrorCode::ResourceExhausted);
  few.uid = 11;
  for (int i = 0; i < 2; ++i)
    REQUIRE_OK(fileserver::open_staging(few, {{}, 10, 0}));
  CHECK_FAILS(fileserver::open_staging(few, {{}, 10, 0}), ErrorCode::ResourceExhausted);
}

TEST_CASE_FIXTURE(Stagings, "pieces of one staging that come at once are all there in the end") {
  const Bytes whole = some_bytes(2'000'000);
  const auto opened = fileserver::open_staging(call(), {{}, whole.size(), 0});
  REQUIRE_OK(opened);
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (std::size_t part = 0; part < 4; ++part) {
    threads.emplace_back([&, part] {
      for (std::uint64_t at = part * 100'000; at < whole.size(); at += 400'000) {
        const auto own = call();
        if (!piece(own, opened->node, at, ByteView(whole).subspan(at, 100'000)))
          ++failed;
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  CHECK(failed == 0);
  const auto done = fileserver::find_staging(*volume, opened->node, call().owner);
  CHECK((done->there == std::vector<ByteRange>{{0, whole.size()}}));
  CHECK((bytes_of(opened->node) == whole));
}

}  // namespace
