#include "dump_fixture.hpp"

namespace {

using namespace test_support;  // every name of it is a word of this test
using common::VolumeId;
using dump::What;
using store::ImageScope;
using store::Volume;

std::unique_ptr<Volume> open(Source& source, const std::string& directory) {
  store::VolumeOptions options = source.options;
  options.retention.keep_commits = 1'000'000;
  auto opened = Volume::open(directory, options, source.clock);
  REQUIRE_OK(opened);
  return *std::move(opened);
}

// Beside what the model knows: its driver must not go on after this.
void add_file(Source& source, const std::string& name, std::size_t length) {
  common::sim::Random random(length);
  Bytes bytes(length);
  for (std::byte& byte : bytes)
    byte = static_cast<std::byte>(random.next());
  store::Create create;
  create.parent = store::kRootNode;
  create.name = name;
  const auto made = source.volume->commit({.operations = {create}});
  REQUIRE_OK(made);
  store::Edit edit;
  edit.bytes = bytes;
  Volume::WriteRequest write;
  write.node = made->created[0];
  write.edits = std::span(&edit, 1);
  REQUIRE_OK(source.volume->write(write));
}

void check_all_seqs(Source& source, Volume& copy, Seq up_to) {
  const auto status = copy.status();
  REQUIRE_OK(status);
  for (const auto& [seq, state] : source.model->history()) {
    if (seq < status->floor || seq > up_to)
      continue;
    CompareOptions how;
    how.at = seq;
    CHECK_OK(compare_state(copy, *state, how));
  }
}

void check_equal(Source& source, Volume& copy, Seq seq, ImageScope scope) {
  const auto ours = dump::image_digest(*source.volume, seq, scope);
  const auto theirs = dump::image_digest(copy, seq, scope);
  REQUIRE_OK(ours);
  REQUIRE_OK(theirs);
  CHECK((*ours == *theirs));
}

TEST_CASE("a volume with its history comes out of a dump as it went in") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    CAPTURE(seed);
    Source source(seed, seed % 2 == 0);
    source.steps(120);
    if (seed >= 3)
      source.upkeep();  // history does not begin at the first commit any more
    source.steps(20);
    const Seq at = source.volume->visible_seq();
    const auto bytes = dump_all(*source.volume, source.how(), source.clock);
    REQUIRE_OK(bytes);
    const auto report = load_new(source.path("copy"), *bytes, source.into(), source.clock);
    REQUIRE_OK(report);
    CHECK(report->seq == at);
    CHECK(report->begin.volume == VolumeId{7});
    CHECK(report->totals.bytes == bytes->size());
    const auto copy = open(source, source.path("copy"));
    check_equal(source, *copy, at, ImageScope::History);
    check_equal(source, *copy, at, ImageScope::Present);
    const auto status = source.volume->status();
    const auto ours = source.volume->digest(status->floor);
    const auto theirs = copy->digest(status->floor);
    REQUIRE_OK(theirs);
    CHECK((*ours == *theirs));
    check_all_seqs(source, *copy, at);
    CHECK_FAILS(copy->commit({.operations = {store::SetSetting{"a", Bytes(1)}}}),
                ErrorCode::Unavailable);  // it follows
  }
}

TEST_CASE("a dump of the present carries nothing of the past") {
  Source source(11, true);
  source.steps(150);
  const Seq at = source.volume->visible_seq();
  const auto whole = dump_all(*source.volume, source.how(), source.clock);
  const auto present = dump_all(*source.volume, source.how(What::Present), source.clock);
  REQUIRE_OK(whole);
  REQUIRE_OK(present);
  CHECK(present->size() < whole->size() / 2);
  REQUIRE_OK(load_new(source.path("copy"), *present, source.into(), source.clock));
  const auto copy = open(source, source.path("copy"));
  check_equal(source, *copy, at, ImageScope::Present);
  CompareOptions how;
  how.at = at;
  store::VolumeOptions options;
  CHECK(copy->status()->floor == at);
  for (const auto& [node, expected] : source.model->present().nodes)
    CHECK_OK(compare_node(*copy, source.model->present(), *expected, how));
  CHECK_FAILS(copy->attributes(store::kRootNode, Seq{at.value - 1}), ErrorCode::Expired);
}

TEST_CASE("a dump shows one moment of a volume that goes on working") {
  Source source(21);
  source.steps(100);
  const Seq at = source.volume->visible_seq();
  auto before = dump::image_digest(*source.volume, at, ImageScope::History);
  // A page of rows at a time would be too large a bite of a volume this small: between any two
  // records it commits, trims as far as it may, and collects.
  const auto bytes = dump_all(*source.volume, source.how(), source.clock, [&] {
    source.steps(5);
    source.upkeep();
  });
  REQUIRE_OK(bytes);
  CHECK(source.volume->visible_seq() > at);
  REQUIRE_OK(load_new(source.path("copy"), *bytes, source.into(), source.clock));
  const auto copy = open(source, source.path("copy"));
  const auto after = dump::image_digest(*copy, at, ImageScope::History);
  REQUIRE_OK(after);
  CHECK((*after == *before));
  // No longer held back, it forgets again.
  source.upkeep();
  CHECK(source.volume->status()->floor > at);
}

TEST_CASE("dumps of commits bring a copy forward") {
  for (const What first : {What::History, What::Present}) {
    CAPTURE(static_cast<int>(first));
    Source source(31, first == What::Present);
    source.steps(60);
    const auto whole = dump_all(*source.volume, source.how(first), source.clock);
    REQUIRE_OK(whole);
    REQUIRE_OK(load_new(source.path("copy"), *whole, source.into(), source.clock));
    const auto copy = open(source, source.path("copy"));
    for (int round = 0; round < 4; ++round) {
      source.steps(25);
      dump::DumpOptions how = source.how(What::Commits);
      how.from = copy->last_seq();
      const Seq at = source.volume->visible_seq();
      const auto bytes = dump_all(*source.volume, how, source.clock, [&] { source.steps(1); });
      REQUIRE_OK(bytes);
      const auto loader = dump::Loader::onto(*copy, source.into(), source.clock);
      REQUIRE_OK(loader);
      const auto report = feed_all(**loader, *bytes);
      REQUIRE_OK(report);
      CHECK(copy->last_seq() == at);
      check_equal(source, *copy, at, ImageScope::Present);
    }
    check_all_seqs(source, *copy, copy->last_seq());
  }
}

TEST_CASE("a dump of commits moves the blocks that changed and no others") {
  Source source(41);
  Bytes large(6 << 20);
  for (std::size_t i = 0; i < large.size(); ++i)
    large[i] = static_cast<std::byte>(i * 2654435761U >> 13);
  store::Create create;
  create.parent = store::kRootNode;
  create.name = "large";
  const auto made = source.volume->commit({.operations = {create}});
  REQUIRE_OK(made);
  store::Edit edit;
  edit.bytes = large;
  Volume::WriteRequest write;
  write.node = made->created[0];
  write.edits = std::span(&edit, 1);
  REQUIRE_OK(source.volume->write(write));
  const auto whole = dump_all(*source.volume, source.how(), source.clock);
  REQUIRE_OK(whole);
  REQUIRE_OK(load_new(source.path("copy"), *whole, source.into(), source.clock));
  const auto copy = open(source, source.path("copy"));
  edit.offset = 3 << 20;
  edit.bytes = ByteView(large).first(4096);
  REQUIRE_OK(source.volume->write(write));
  dump::DumpOptions how = source.how(What::Commits);
  how.from = copy->last_seq();
  const auto bytes = dump_all(*source.volume, how, source.clock);
  REQUIRE_OK(bytes);
  CHECK(bytes->size() < 140'000);  // one block, and the list above it
  const auto loader = dump::Loader::onto(*copy, source.into(), source.clock);
  REQUIRE_OK(loader);
  REQUIRE_OK(feed_all(**loader, *bytes));
  check_equal(source, *copy, copy->last_seq(), ImageScope::History);
}

TEST_CASE("a dump that was cut goes on where the loader stands, also in another process's life") {
  for (const What what : {What::History, What::Present, What::Commits}) {
    CAPTURE(static_cast<int>(what));
    Source source(51, what == What::Present);
    source.steps(60);
    std::unique_ptr<Volume> copy;
    if (what == What::Commits) {
      const auto whole = dump_all(*source.volume, source.how(), source.clock);
      REQUIRE_OK(load_new(source.path("copy"), *whole, source.into(), source.clock));
      copy = open(source, source.path("copy"));
    }
    for (int i = 0; i < 4; ++i)
      add_file(source, "file " + std::to_string(i), 300'000 + i);
    const Seq at = source.volume->visible_seq();
    dump::LoadOptions into = source.into();
    into.keep_partial = true;
    Bytes position;
    int pieces = 0;
    // Long enough for a block, or for all blocks of a commit.
    const std::uint64_t line = what == What::Commits ? 500'000 : 140'000;
    for (bool done = false; !done;) {
      REQUIRE(++pieces < 100);
      auto loader = copy ? dump::Loader::onto(*copy, into, source.clock)
                         : dump::Loader::into_new(source.path("new"), into, source.clock);
      REQUIRE_OK(loader);
      if (!copy)
        position = (*loader)->position();
      dump::DumpOptions how = source.how(what);
      how.to = at;
      how.position_every = 5'000;
      how.resume = position;
      if (copy)
        how.from = copy->last_seq();
      if (copy)
        how.resume.clear();  // where it stands says it all
      auto dumper = dump::Dumper::begin(*source.volume, how, source.clock);
      REQUIRE_OK(dumper);
      std::uint64_t bytes = 0;
      while (bytes < line) {  // then the line is cut
        const auto record = (*dumper)->next();
        REQUIRE_OK(record);
        if (record->empty()) {
          REQUIRE_OK((*loader)->finish());
          done = true;
          break;
        }
        bytes += record->size();
        REQUIRE_OK((*loader)->feed(*record));
      }
      add_file(source, "later " + std::to_string(pieces), 5000);
    }
    CHECK(pieces > 1);
    if (!copy)
      copy = open(source, source.path("new"));
    CHECK(copy->last_seq() == at);
    check_equal(source, *copy, at,
                what == What::Present ? ImageScope::Present : ImageScope::History);
  }
}

TEST_CASE("a volume out of a dump that is to serve commits, with new seqs, ids and epoch") {
  Source source(61);
  source.steps(60);
  const auto bytes = dump_all(*source.volume, source.how(What::Present), source.clock);
  REQUIRE_OK(bytes);
  dump::LoadOptions into = source.into();
  into.then = dump::LoadOptions::Then::Serve;
  into.id = VolumeId{8};
  REQUIRE_OK(load_new(source.path("copy"), *bytes, into, source.clock));
  const auto copy = open(source, source.path("copy"));
  CHECK(copy->id() == VolumeId{8});
  CHECK(copy->epoch() > source.volume->epoch());
  store::Create create;
  create.parent = store::kRootNode;
  create.name = "new here";
  const auto done = copy->commit({.operations = {create}});
  REQUIRE_OK(done);
  CHECK(done->seq > source.volume->last_seq());
  for (const auto& [node, state] : source.model->present().nodes)
    CHECK(done->created[0] != node);
  // The one that it came from goes on by itself: its later commits are not this one's.
  source.steps(5);
  dump::DumpOptions how = source.how(What::Commits);
  how.from = Seq{source.model->history().begin()->first};
  const auto later = dump_all(*source.volume, how, source.clock);
  REQUIRE_OK(later);
  const auto loader = dump::Loader::onto(*copy, into, source.clock);
  CHECK_FAILS(feed_all(**loader, *later), ErrorCode::InvalidArgument);
  CHECK(copy->uuid() != source.volume->uuid());
}

TEST_CASE("a copy that went a way of its own takes nothing more from its original") {
  Source source(65);
  source.steps(30);
  const auto bytes = dump_all(*source.volume, source.how(), source.clock);
  REQUIRE_OK(bytes);
  REQUIRE_OK(load_new(source.path("copy"), *bytes, source.into(), source.clock));
  const auto copy = open(source, source.path("copy"));
  const Seq at = copy->last_seq();
  REQUIRE_OK(copy->begin_epoch(common::Epoch{copy->epoch().value + 1}));
  const Seq theirs = copy->last_seq();
  for (int i = 0; i < 100 && source.volume->last_seq() <= theirs; ++i)
    source.steps(50);  // beyond the seqs that the copy gives
  const auto load = [&](Seq from) {
    dump::DumpOptions how = source.how(What::Commits);
    how.from = from;
    const auto later = dump_all(*source.volume, how, source.clock);
    REQUIRE_OK(later);
    const auto loader = dump::Loader::onto(*copy, source.into(), source.clock);
    return feed_all(**loader, *later);
  };
  CHECK(!load(at));
  // A seq that both have, and not the same commit.
  REQUIRE(source.volume->last_seq() > theirs);
  if (source.volume->image_head(theirs)->seq == theirs)
    CHECK_FAILS(load(theirs), ErrorCode::Conflict);
}

TEST_CASE("an operation that a lost volume has executed is not executed by what came of its dump") {
  Source source(71);
  store::Create create;
  create.parent = store::kRootNode;
  create.name = "once";
  store::CommitRequest request;
  request.key = store::OperationKey{store::MountId{{std::byte{1}}}, 5};
  request.operations = {create};
  REQUIRE_OK(source.volume->commit(request));
  for (const What what : {What::History, What::Present}) {
    const auto bytes = dump_all(*source.volume, source.how(what), source.clock);
    REQUIRE_OK(bytes);
    dump::LoadOptions into = source.into();
    into.then = dump::LoadOptions::Then::Serve;
    const std::string where = source.path(what == What::History ? "whole" : "present");
    REQUIRE_OK(load_new(where, *bytes, into, source.clock));
    const auto copy = open(source, where);
    const auto again = copy->commit(request);
    if (what == What::History) {
      REQUIRE_OK(again);
      CHECK(again->replayed);
    } else {
      CHECK_FAILS(again, ErrorCode::Expired);
    }
  }
}

TEST_CASE("what cannot be dumped is refused, and says what would help") {
  Source source(81, true);
  source.steps(150);
  dump::DumpOptions how = source.how();
  how.key = nullptr;
  CHECK_FAILS(dump::Dumper::begin(*source.volume, how, source.clock), ErrorCode::InvalidArgument);
  how = source.how(What::Commits);
  how.from = Seq{1'000'000};
  CHECK_FAILS(dump::Dumper::begin(*source.volume, how, source.clock), ErrorCode::NotFound);
  source.upkeep();
  how.from = Seq{1};
  CHECK_FAILS(dump::Dumper::begin(*source.volume, how, source.clock), ErrorCode::Expired);
  how = source.how();
  how.resume = Bytes(10);
  CHECK_FAILS(dump::Dumper::begin(*source.volume, how, source.clock), ErrorCode::InvalidArgument);
}

}  // namespace
