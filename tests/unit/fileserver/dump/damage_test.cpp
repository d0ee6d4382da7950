#include <sys/random.h>

#include "dump_fixture.hpp"

namespace {

using namespace test_support;  // every name of it is a word of this test
using dump::What;
using store::Volume;

// A dump with every kind of record in it, as small as can be.
struct SmallDump {
  explicit SmallDump(bool sealed = false) : source(5, sealed) {
    store::Create create;
    create.parent = store::kRootNode;
    create.name = "file";
    const auto made = source.volume->commit({.operations = {create}});
    REQUIRE_OK(made);
    Bytes bytes(9000, std::byte{42});
    bytes.back() = std::byte{1};
    store::Edit edit;
    edit.bytes = bytes;
    Volume::WriteRequest write;
    write.node = made->created[0];
    write.edits = std::span(&edit, 1);
    REQUIRE_OK(source.volume->write(write));
    dump::DumpOptions how = source.how(What::Present);
    how.position_every = 100;
    auto all = dump_all(*source.volume, how, source.clock);
    REQUIRE_OK(all);
    dump = *std::move(all);
  }
  // Verifies the stream alone.
  common::Status read(ByteView bytes) {
    auto reader = dump::RecordReader::create();
    REQUIRE_OK(reader);
    reader->feed(bytes);
    const auto key_for = [this](const dump::Begin&) {
      return common::Result<const dump::Secret*>(source.options.key);
    };
    for (;;) {
      TROTH_TRY(const auto record, reader->next(key_for));
      if (!record)
        return reader->finish();
    }
  }
  bool nothing_is_left() {
    return !std::filesystem::exists(source.path("copy")) &&
           !std::filesystem::exists(source.path("copy.load"));
  }

  Source source;
  Bytes dump;
};

TEST_CASE("no byte of a dump can be changed without being noticed") {
  for (const bool sealed : {false, true}) {
    SmallDump small(sealed);
    MESSAGE("bytes: " << small.dump.size());
    REQUIRE(small.dump.size() < 40'000);
    REQUIRE_OK(small.read(small.dump));
    Bytes changed = small.dump;
    for (std::size_t at = 0; at < changed.size(); ++at) {
      const std::byte was = changed[at];
      changed[at] ^= static_cast<std::byte>(1U << (at % 8));
      const auto read = small.read(changed);
      CHECK_MESSAGE(!read, "byte ", at);
      changed[at] = was;
    }
  }
}

TEST_CASE("a dump that was changed leaves nothing behind") {
  SmallDump small;
  for (std::size_t at = 0; at < small.dump.size(); at += small.dump.size() / 40) {
    Bytes changed = small.dump;
    changed[at] ^= std::byte{0x10};
    CHECK_MESSAGE(
        !load_new(small.source.path("copy"), changed, small.source.into(), small.source.clock),
        "byte ", at);
    CHECK(small.nothing_is_left());
  }
}

TEST_CASE("a dump that was cut anywhere is refused, and leaves nothing behind") {
  SmallDump small;
  for (std::size_t length = 0; length < small.dump.size(); ++length)
    CHECK_MESSAGE(failed_with(small.read(ByteView(small.dump).first(length)), ErrorCode::Protocol),
                  "length ", length);
  for (std::size_t length = 0; length < small.dump.size(); length += small.dump.size() / 40) {
    CHECK_FAILS(load_new(small.source.path("copy"), ByteView(small.dump).first(length),
                         small.source.into(), small.source.clock),
                ErrorCode::Protocol);
    CHECK(small.nothing_is_left());
  }
}

// The records of a dump, one by one.
std::vector<Bytes> records_of(const Bytes& dump) {
  std::vector<Bytes> records;
  for (std::size_t at = 0; at < dump.size();) {
    const auto head = dump::decode_head(ByteView(dump).subspan(at, dump::kRecordHeadBytes));
    REQUIRE_OK(head);
    const std::size_t length = dump::kRecordHeadBytes + head->length;
    const auto begin = dump.begin() + static_cast<std::ptrdiff_t>(at);
    records.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(length));
    at += length;
  }
  return records;
}

Bytes joined(const std::vector<Bytes>& records) {
  Bytes all;
  for (const Bytes& record : records)
    all.insert(all.end(), record.begin(), record.end());
  return all;
}

TEST_CASE("records of a dump count in their order only, each once, and all of them") {
  for (const bool sealed : {false, true}) {
    SmallDump small(sealed);
    const std::vector<Bytes> records = records_of(small.dump);
    REQUIRE(records.size() > 8);
    for (std::size_t i = 0; i + 1 < records.size(); ++i) {
      std::vector<Bytes> changed = records;
      std::swap(changed[i], changed[i + 1]);
      CHECK_MESSAGE(!small.read(joined(changed)), "swapped ", i);
      changed = records;
      changed.erase(changed.begin() + static_cast<std::ptrdiff_t>(i));
      CHECK_MESSAGE(!small.read(joined(changed)), "left out ", i);
      changed = records;
      changed.insert(changed.begin() + static_cast<std::ptrdiff_t>(i), records[i]);
      CHECK_MESSAGE(!small.read(joined(changed)), "twice ", i);
    }
    std::vector<Bytes> changed = records;
    changed.push_back(Bytes(1));
    CHECK_FAILS(small.read(joined(changed)), ErrorCode::Corrupt);
  }
}

TEST_CASE("two dumps of one volume cannot be put together") {
  SmallDump small(true);
  dump::DumpOptions how = small.source.how(What::Present);
  how.position_every = 100;
  const auto other = dump_all(*small.source.volume, how, small.source.clock);
  REQUIRE_OK(other);
  const auto ours = records_of(small.dump);
  const auto theirs = records_of(*other);
  REQUIRE(ours.size() == theirs.size());
  for (std::size_t i = 1; i < ours.size(); ++i) {
    std::vector<Bytes> mixed = ours;
    mixed[i] = theirs[i];
    CHECK_MESSAGE(!small.read(joined(mixed)), "record ", i);
  }
}

TEST_CASE("what is no dump, or a newer one, or another's, is refused by name") {
  SmallDump small;
  const common::Clock& clock = small.source.clock;
  CHECK_FAILS(load_new(small.source.path("copy"), common::as_bytes("PK\3\4 something else"),
                       small.source.into(), clock),
              ErrorCode::InvalidArgument);
  dump::Begin newer;
  newer.format = dump::kDumpFormat + 1;
  auto writer = dump::RecordWriter::create(newer, nullptr);
  REQUIRE_OK(writer);
  CHECK_FAILS(load_new(small.source.path("copy"), writer->begin(), small.source.into(), clock),
              ErrorCode::Unsupported);
  // A whole dump is not loaded over a copy, nor a dump of commits into nothing.
  const auto onto = dump::Loader::onto(*small.source.volume, small.source.into(), clock);
  CHECK_FAILS((*onto)->feed(small.dump), ErrorCode::InvalidArgument);
  CHECK_FAILS((*onto)->finish(), ErrorCode::InvalidArgument);
  dump::DumpOptions how = small.source.how(What::Commits);
  how.from = Seq{1};
  const auto commits = dump_all(*small.source.volume, how, clock);
  REQUIRE_OK(commits);
  CHECK_FAILS(load_new(small.source.path("copy"), *commits, small.source.into(), clock),
              ErrorCode::InvalidArgument);
  Source stranger(6);
  const auto foreign = dump::Loader::onto(*stranger.volume, stranger.into(), clock);
  CHECK_FAILS((*foreign)->feed(*commits), ErrorCode::InvalidArgument);
  CHECK(small.nothing_is_left());
  std::filesystem::create_directory(small.source.path("copy"));
  CHECK_FAILS(dump::Loader::into_new(small.source.path("copy"), small.source.into(), clock),
              ErrorCode::AlreadyExists);
}

TEST_CASE("a sealed dump says nothing without its key") {
  SmallDump small(true);
  // Names are not sealed in the volume itself; in the dump nothing shows.
  CHECK(common::as_text(small.dump).find("file") == std::string_view::npos);
  dump::LoadOptions into = small.source.into();
  into.key = nullptr;
  CHECK_FAILS(load_new(small.source.path("copy"), small.dump, into, small.source.clock),
              ErrorCode::InvalidArgument);
  common::crypto::Secret other(32);
  into.key = &other;
  CHECK_FAILS(load_new(small.source.path("copy"), small.dump, into, small.source.clock),
              ErrorCode::InvalidArgument);
  CHECK(small.nothing_is_left());
  // A dump key of its own, and a volume that is not sealed any more.
  dump::DumpOptions how = small.source.how();
  how.key = &other;
  const auto bytes = dump_all(*small.source.volume, how, small.source.clock);
  REQUIRE_OK(bytes);
  into.volume.key = nullptr;
  REQUIRE_OK(load_new(small.source.path("copy"), *bytes, into, small.source.clock));
  const auto copy = Volume::open(small.source.path("copy"), into.volume, small.source.clock);
  REQUIRE_OK(copy);
  CHECK(!(*copy)->is_sealed());
  const Seq at = (*copy)->last_seq();
  CHECK((*dump::image_digest(**copy, at, store::ImageScope::History) ==
         *dump::image_digest(*small.source.volume, at, store::ImageScope::History)));
}

TEST_CASE("rows that nobody could have dumped do not become a volume") {
  SmallDump small;
  // Right in form, each record whole, and not what any volume holds: an entry without its node.
  dump::Begin begin;
  begin.what = What::Present;
  begin.head = *small.source.volume->image_head(small.source.volume->visible_seq());
  auto writer = dump::RecordWriter::create(begin, nullptr);
  REQUIRE_OK(writer);
  Bytes stream = writer->begin();
  const auto add = [&](common::Result<Bytes> record) {
    REQUIRE_OK(record);
    stream.insert(stream.end(), record->begin(), record->end());
  };
  const Bytes junk[] = {Bytes(11, std::byte{1})};
  Bytes broken = stream;
  add(writer->add(dump::RecordType::Rows, dump::encode_rows(store::ImageTable::Node, junk)));
  CHECK_FAILS(load_new(small.source.path("copy"), stream, small.source.into(), small.source.clock),
              ErrorCode::Protocol);
  CHECK(small.nothing_is_left());
  // No rows at all, and an end.
  auto empty = dump::RecordWriter::create(begin, nullptr);
  stream = empty->begin();
  add(empty->end({}));
  CHECK(!load_new(small.source.path("copy"), stream, small.source.into(), small.source.clock));
  CHECK(small.nothing_is_left());
}

}  // namespace
