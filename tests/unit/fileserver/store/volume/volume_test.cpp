#include <filesystem>

#include "tests/unit/fileserver/store/volume/volume_fixture.hpp"

using common::ErrorCode;
using test_support::noise;
using test_support::view;
using test_support::VolumeFixture;
using namespace fileserver::store;  // NOLINT(google-build-using-namespace): every name here is of
                                    // it

TEST_CASE_FIXTURE(VolumeFixture, "what was written is read again, of any size") {
  create();
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{4097},
        std::size_t{128 * 1024}, std::size_t{128 * 1024 + 1}, std::size_t{1'000'000}}) {
    const NodeId node = make(kRootNode, std::to_string(size));
    const std::string text = noise(size, size + 1);
    REQUIRE_OK(put(node, text));
    CHECK(get(node) == text);
    CHECK(volume->attributes(node)->size == size);
    CHECK(volume->attributes(node)->allocated == size);
  }
  REQUIRE_OK(volume->close());
  REQUIRE_OK(open());
  CHECK(volume->report().clean);
  const auto found = volume->lookup(kRootNode, "1000000");
  REQUIRE_OK(found);
  CHECK(get(found->attributes.node) == noise(1'000'000, 1'000'001));
}

TEST_CASE_FIXTURE(VolumeFixture, "a write in the middle keeps the rest, and the past") {
  create();
  const NodeId node = make(kRootNode, "a");
  std::string text = noise(600'000);
  REQUIRE_OK(put(node, text));
  const Seq before = volume->last_seq();
  REQUIRE_OK(put(node, "HELLO", 300'000, false));
  const std::string old = text;
  text.replace(300'000, 5, "HELLO");
  CHECK(get(node) == text);
  CHECK(get(node, before) == old);
  REQUIRE_OK(put(node, "END", 700'000, false));
  text.resize(700'000, '\0');
  text += "END";
  CHECK(get(node) == text);
}

TEST_CASE_FIXTURE(VolumeFixture, "appends land whole, whatever their size") {
  create();
  const NodeId node = make(kRootNode, "log");
  std::string expected;
  for (int i = 0; i < 200; ++i) {
    const std::string line = "line " + std::to_string(i) + std::string(100, '.') + "\n";
    REQUIRE_OK(volume->append({}, node, view(line)));
    expected += line;
  }
  const std::string big = noise(300'000);
  REQUIRE_OK(volume->append({}, node, view(big)));
  REQUIRE_OK(volume->append({}, node, view("tail")));
  CHECK(get(node) == expected + big + "tail");
}

TEST_CASE_FIXTURE(VolumeFixture, "a copied range moves no bytes and reads the same") {
  create();
  const NodeId from = make(kRootNode, "from");
  const NodeId to = make(kRootNode, "to");
  const std::string text = noise(1'000'000);
  REQUIRE_OK(put(from, text));
  const std::uint64_t before = volume->space()->segments;
  Volume::CopyRequest request;
  request.from = from;
  request.length = text.size();
  request.to = to;
  REQUIRE_OK(volume->copy_range(request));
  CHECK(get(to) == text);
  CHECK(volume->space()->segments < before + 200'000);
}

TEST_CASE_FIXTURE(VolumeFixture, "a base that has moved on is a conflict only for who asks") {
  create();
  const NodeId node = make(kRootNode, "a");
  REQUIRE_OK(put(node, "one"));
  const Seq base = volume->attributes(node)->data_version;
  REQUIRE_OK(put(node, "two"));
  Edit edit;
  edit.bytes = view("three");
  Volume::WriteRequest request;
  request.node = node;
  request.edits = std::span(&edit, 1);
  request.replace = true;
  request.base = base;
  CHECK_FAILS(volume->write(request), ErrorCode::Conflict);
  CHECK(get(node) == "two");
  request.base.reset();
  REQUIRE_OK(volume->write(request));
  CHECK(get(node) == "three");
}

TEST_CASE_FIXTURE(VolumeFixture, "conditions hold or nothing happens") {
  create();
  const NodeId node = make(kRootNode, "a");
  const Seq version = volume->attributes(node)->version;
  CommitRequest request;
  request.operations = {Unlink{kRootNode, "a"}};
  request.conditions = {NameIs{kRootNode, "a", std::nullopt}};
  CHECK_FAILS(volume->commit(request), ErrorCode::Conflict);
  request.conditions = {VersionIs{node, Seq{version.value + 1}}};
  CHECK_FAILS(volume->commit(request), ErrorCode::Conflict);
  REQUIRE_OK(commit({RaiseFence{node, 0, 99, common::FencingToken{6}}}));
  request.conditions = {NotFenced{node, 50, 200, common::FencingToken{5}}};
  CHECK_FAILS(volume->commit(request), ErrorCode::Stale);
  request.conditions = {NotFenced{node, 100, 200, common::FencingToken{5}},
                        VersionIs{node, version}, NameIs{kRootNode, "a", node}};
  REQUIRE_OK(volume->commit(request));
}

TEST_CASE_FIXTURE(VolumeFixture, "R17: the caller sees all touched nodes before the commit") {
  create();
  const NodeId a = make(kRootNode, "a");
  const NodeId b = make(kRootNode, "b");
  std::vector<NodeId> seen;
  CommitRequest request;
  request.operations = {Rename{kRootNode, "a", kRootNode, "b"}};
  request.check_touched = [&](std::span<const NodeOutcome> nodes) -> common::Status {
    seen.clear();
    for (const NodeOutcome& node : nodes)
      seen.push_back(node.attributes.node);
    return common::fail(ErrorCode::Stale, "not marked");
  };
  const Seq before = volume->last_seq();
  CHECK_FAILS(volume->commit(request), ErrorCode::Stale);
  CHECK(seen == std::vector<NodeId>{kRootNode, a, b});
  CHECK(volume->last_seq() == before);
  CHECK(volume->lookup(kRootNode, "a").has_value());
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "R4, G7: a retried operation takes effect once, also after a restart") {
  create();
  const OperationKey key{{}, 5};
  Create create_a;
  create_a.parent = kRootNode;
  create_a.name = "a";
  const auto first = commit({create_a}, key);
  REQUIRE_OK(first);
  CHECK(!first->replayed);
  const auto check_again = [&] {
    const auto again = commit({create_a}, key);
    REQUIRE_OK(again);
    CHECK(again->replayed);
    CHECK(again->seq == first->seq);
    CHECK(again->created == first->created);
    CHECK(again->nodes.size() == 2);
    // fsync after a retry must cover the original.
    REQUIRE_OK(volume->wait_stable(*again, soon()));
    CHECK(volume->stable_seq() >= first->seq);
  };
  check_again();
  CommitRequest other;
  other.operations = {create_a};
  other.key = key;
  other.caller.principal = 99;
  CHECK_FAILS(volume->commit(other), ErrorCode::PermissionDenied);
  REQUIRE_OK(open());
  CHECK(!volume->report().clean);
  check_again();
}

TEST_CASE_FIXTURE(VolumeFixture, "R4: a retried write is answered when its file has gone") {
  create();
  const NodeId node = make(kRootNode, "a");
  const std::string text = noise(10'000);
  Edit edit;
  edit.bytes = view(text);
  Volume::WriteRequest write;
  write.commit.key = OperationKey{{}, 5};
  write.node = node;
  write.edits = std::span(&edit, 1);
  const auto written = volume->write(write);
  REQUIRE_OK(written);
  CommitRequest append;
  append.key = OperationKey{{}, 6};
  const auto appended = volume->append(append, node, view(text));
  REQUIRE_OK(appended);
  Volume::CopyRequest copy;
  copy.commit.key = OperationKey{{}, 7};
  copy.from = copy.to = node;
  copy.length = 100;
  copy.to_offset = 50'000;
  const auto copied = volume->copy_range(copy);
  REQUIRE_OK(copied);
  REQUIRE_OK(commit({Unlink{kRootNode, "a"}}));
  const auto written_again = volume->write(write);
  REQUIRE_OK(written_again);
  CHECK(written_again->seq == written->seq);
  const auto appended_again = volume->append(append, node, view(text));
  REQUIRE_OK(appended_again);
  CHECK(appended_again->seq == appended->seq);
  const auto copied_again = volume->copy_range(copy);
  REQUIRE_OK(copied_again);
  CHECK(copied_again->seq == copied->seq);
  write.commit.caller.principal = 9;
  CHECK_FAILS(volume->write(write), ErrorCode::PermissionDenied);
  write.commit.key = OperationKey{{}, 8};
  CHECK_FAILS(volume->write(write), ErrorCode::NotFound);
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "R4: a retry below the forgotten mark is refused, never executed") {
  options.retention = {std::chrono::seconds{0}, 1};
  create();
  const OperationKey key{{}, 5};
  REQUIRE_OK(commit({Create{kRootNode, "a"}}, key));
  REQUIRE_OK(commit({Unlink{kRootNode, "a"}}));
  make(kRootNode, "b");
  make(kRootNode, "c");
  for (int i = 0; i < 1000 && *volume->maintain(); ++i) {
  }
  CHECK_FAILS(commit({Create{kRootNode, "a"}}, key), ErrorCode::Expired);
  CHECK_FAILS(volume->lookup(kRootNode, "a"), ErrorCode::NotFound);
  REQUIRE_OK(commit({Create{kRootNode, "a"}}, OperationKey{{}, 6}));
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "R4: a retry of what is just being forgotten is refused as any other") {
  options.retention = {std::chrono::seconds{0}, 1};
  create();
  const NodeId node = make(kRootNode, "a");
  const OperationKey key{{}, 5};
  CommitRequest append;
  append.key = key;
  REQUIRE_OK(volume->append(append, node, view("a tail")));
  REQUIRE_OK(put(node, "another tail"));
  make(kRootNode, "b");
  make(kRootNode, "c");
  bool refused = false;
  for (int i = 0; i < 1000 && *volume->maintain(); ++i) {
    const auto again = volume->append(append, node, view("a tail"));
    CHECK((again ? again->replayed : again.error().code == ErrorCode::Expired));
    refused |= !again;
  }
  CHECK(refused);
  CHECK(get(node) == "another tail");
}

TEST_CASE_FIXTURE(VolumeFixture, "R4: a retry changes nothing, not even what is reserved") {
  options.reserve_ahead = 16;
  create();
  const OperationKey key{{}, 5};
  REQUIRE_OK(commit({Create{kRootNode, "a"}}, key));
  for (int i = 0; i < 40; ++i) {
    // A refused one uses up a node id, and so brings the next reservation nearer.
    CHECK_FAILS(commit({Create{kRootNode, "a"}}), ErrorCode::AlreadyExists);
    const Seq before = volume->last_seq();
    const auto again = commit({Create{kRootNode, "a"}}, key);
    REQUIRE_OK(again);
    CHECK(again->replayed);
    CHECK(volume->last_seq() == before);
  }
}

TEST_CASE_FIXTURE(VolumeFixture, "R3: no seq and no node id is given twice, however it stopped") {
  create();
  std::uint64_t last_seq = 0;
  std::uint64_t last_node = 0;
  Epoch epoch{};
  for (int life = 0; life < 4; ++life) {
    for (int i = 0; i < 5; ++i) {
      const NodeId node = make(kRootNode, std::to_string(life) + "." + std::to_string(i));
      CHECK(node.value > last_node);
      last_node = node.value;
      CHECK(volume->last_seq().value > last_seq);
      last_seq = volume->last_seq().value;
    }
    const auto granted = volume->grant_node_ids(100);
    REQUIRE_OK(granted);
    CHECK(granted->value > last_node);
    last_node = granted->value + 99;
    const bool clean = life % 2 == 0;
    if (clean)
      REQUIRE_OK(volume->close());
    epoch = volume->epoch();
    REQUIRE_OK(open());
    CHECK(volume->report().clean == clean);
    CHECK((volume->epoch() > epoch) == !clean);
    if (!clean)
      CHECK(volume->last_seq().value > last_seq + 400);  // beyond all that was reserved
  }
}

TEST_CASE_FIXTURE(VolumeFixture, "R3: seqs are reserved before they are given") {
  options.reserve_ahead = 10;
  create();
  for (int i = 0; i < 60; ++i)
    make(kRootNode, std::to_string(i));
  const auto entries = volume->list_names(kRootNode, "", 1000);
  CHECK(entries->size() == 60);
}

TEST_CASE_FIXTURE(VolumeFixture, "R29: granted ids belong to who was granted them") {
  create();
  const auto first = volume->grant_node_ids(10);
  REQUIRE_OK(first);
  const NodeId ours = make(kRootNode, "a");
  CHECK((ours.value < first->value || ours.value >= first->value + 10));
  Create with_id;
  with_id.parent = kRootNode;
  with_id.name = "b";
  with_id.node = NodeId{first->value + 3};
  const auto done = commit({with_id});
  REQUIRE_OK(done);
  CHECK(done->created[0] == with_id.node);
  with_id.name = "c";
  CHECK(!commit({with_id}));
}

TEST_CASE_FIXTURE(VolumeFixture, "R20: what is held back is not seen until it is visible") {
  options.hold_visible = true;
  create();
  CHECK_FAILS(volume->attributes(kRootNode), ErrorCode::Unavailable);
  const Seq before = volume->last_seq();
  REQUIRE_OK(volume->set_visible(before));
  const NodeId node = make(kRootNode, "a");
  CHECK_FAILS(volume->attributes(node), ErrorCode::NotFound);
  CHECK_FAILS(volume->lookup(kRootNode, "a"), ErrorCode::NotFound);
  CHECK(volume->list_names(kRootNode, "", 10)->empty());
  CHECK_FAILS(volume->attributes(kRootNode, volume->last_seq()), ErrorCode::NotFound);
  CHECK(volume->attributes(kRootNode)->version <= before);
  REQUIRE_OK(volume->set_visible(volume->last_seq()));
  CHECK(volume->lookup(kRootNode, "a")->attributes.node == node);
  CHECK_FAILS(volume->set_visible(Seq{volume->last_seq().value + 1}), ErrorCode::InvalidArgument);
}

TEST_CASE_FIXTURE(VolumeFixture, "a snapshot says what it shows and when it was made") {
  create();
  const NodeId node = make(kRootNode, "a");
  REQUIRE_OK(put(node, "then"));
  const Seq then = volume->last_seq();
  const auto made = commit({CreateSnapshot{"s", {}}});
  REQUIRE_OK(made);
  REQUIRE_OK(put(node, "now"));
  const auto snapshots = volume->snapshots();
  REQUIRE_OK(snapshots);
  REQUIRE(snapshots->size() == 1);
  CHECK(snapshots->front().name == "s");
  CHECK(snapshots->front().seq == then);
  CHECK(snapshots->front().time == made->time);
  CHECK(get(node, snapshots->front().seq) == "then");
}

TEST_CASE_FIXTURE(
    VolumeFixture,
    "R20: a snapshot that was deleted and trimmed stays so, whatever is rolled back") {
  options.retention = {std::chrono::seconds{0}, 4};
  create();
  const NodeId node = make(kRootNode, "a");
  REQUIRE_OK(put(node, noise(200'000, 1)));
  const Seq shown = volume->last_seq();
  const auto maintain_all = [&] {
    for (int i = 0; i < 1000 && *volume->maintain(); ++i) {
    }
  };
  REQUIRE_OK(commit({CreateSnapshot{"s", {}}}));
  REQUIRE_OK(put(node, noise(200'000, 2)));
  SUBCASE("rolled back to where it stood: it is back, with all it shows") {
    const Seq stood = volume->last_seq();
    REQUIRE_OK(commit({DeleteSnapshot{"s"}}));
    make(kRootNode, "b");
    maintain_all();
    REQUIRE_OK(volume->roll_back(stood));
    REQUIRE(volume->snapshots()->size() == 1);
    maintain_all();
    CHECK(get(node, shown) == noise(200'000, 1));
  }
  SUBCASE("trimmed: it cannot be gone back to, and nothing says that it is there") {
    const Seq stood = volume->last_seq();
    REQUIRE_OK(commit({DeleteSnapshot{"s"}}));
    for (int i = 0; i < 8; ++i)
      make(kRootNode, "b" + std::to_string(i));
    maintain_all();
    REQUIRE(volume->status()->floor > stood);
    CHECK_FAILS(volume->roll_back(stood), ErrorCode::Expired);
    REQUIRE_OK(volume->roll_back(volume->status()->floor));
    CHECK(volume->snapshots()->empty());
    CHECK_FAILS(volume->attributes(node, shown), ErrorCode::Expired);
    CHECK(get(node) == noise(200'000, 2));
  }
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "R20: rolling back undoes what came later, and its seqs stay used") {
  create();
  const NodeId node = make(kRootNode, "a");
  REQUIRE_OK(put(node, noise(200'000)));
  const Seq then = volume->last_seq();
  const BlockName digest = *volume->digest(Seq{});
  REQUIRE_OK(put(node, "new"));
  make(kRootNode, "b");
  const Seq latest = volume->last_seq();
  const Epoch epoch = volume->epoch();
  REQUIRE_OK(volume->roll_back(then));
  CHECK(get(node) == noise(200'000));
  CHECK_FAILS(volume->lookup(kRootNode, "b"), ErrorCode::NotFound);
  CHECK(volume->last_seq() > latest);
  CHECK(volume->epoch() > epoch);
  CHECK(*volume->digest(Seq{}) != digest);  // a commit more: the new epoch
  CHECK(make(kRootNode, "c").value > node.value + 1);
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "quota stops growth at the byte that crosses, and reservations hold") {
  create();
  const auto quota = [](std::uint64_t limit) {
    Bytes value(8);
    for (int i = 0; i < 8; ++i)
      value[static_cast<std::size_t>(i)] = static_cast<std::byte>(limit >> (56 - 8 * i));
    return value;
  };
  const NodeId node = make(kRootNode, "a");
  REQUIRE_OK(commit({SetSetting{std::string(kQuotaBytes), quota(1000)},
                     SetSetting{std::string(kQuotaNodes), quota(4)}}));
  REQUIRE_OK(put(node, std::string(1000, 'x')));
  CHECK_FAILS(put(node, std::string(1001, 'x')), ErrorCode::NoSpace);
  REQUIRE_OK(put(node, std::string(500, 'x')));
  CHECK_FAILS(volume->reserve(SessionId{1}, 0, 501), ErrorCode::NoSpace);
  REQUIRE_OK(volume->reserve(SessionId{1}, 1, 400));
  CHECK_FAILS(put(node, std::string(601, 'x')), ErrorCode::NoSpace);
  make(kRootNode, "b");
  CHECK_FAILS(commit({Create{kRootNode, "c"}}), ErrorCode::NoSpace);
  // The session itself may use what it has.
  CommitRequest request;
  request.caller.session = SessionId{1};
  request.draw_reservation = true;
  request.operations = {Create{kRootNode, "c"}};
  REQUIRE_OK(volume->commit(request));
  CHECK(volume->usage()->reserved_nodes == 0);
  CHECK(volume->usage()->reserved_bytes == 400);
  CHECK(volume->sessions()->size() == 1);
  REQUIRE_OK(volume->end_session(SessionId{1}));
  CHECK(volume->usage()->reserved_bytes == 0);
  REQUIRE_OK(put(node, std::string(1000, 'x')));
  REQUIRE_OK(commit({Unlink{kRootNode, "c"}}));
  CHECK(volume->usage()->nodes == 3);
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "R21: a version that a session holds open can be read when it is gone") {
  options.retention = {std::chrono::seconds{0}, 1};
  create();
  const NodeId node = make(kRootNode, "a");
  REQUIRE_OK(put(node, noise(200'000)));
  const Seq version = volume->attributes(node)->version;
  REQUIRE_OK(volume->pin(SessionId{1}, node, version));
  REQUIRE_OK(commit({Unlink{kRootNode, "a"}}));
  CHECK(volume->attributes(node)->links == 0);
  make(kRootNode, "b");
  make(kRootNode, "c");
  for (int i = 0; i < 1000 && *volume->maintain(); ++i) {
  }
  CHECK(get(node, version) == noise(200'000));
  REQUIRE_OK(volume->unpin(SessionId{1}, node, version));
  for (int i = 0; i < 1000 && *volume->maintain(); ++i) {
  }
  CHECK_FAILS(volume->attributes(node), ErrorCode::NotFound);
  CHECK_FAILS(volume->attributes(node, version), ErrorCode::Expired);
}

TEST_CASE_FIXTURE(VolumeFixture, "R21: what has not changed can be held open however old it is") {
  options.retention = {std::chrono::seconds{0}, 1};
  create();
  const NodeId node = make(kRootNode, "a");
  REQUIRE_OK(put(node, "old"));
  const Seq version = volume->attributes(node)->version;
  for (int i = 0; i < 5; ++i)
    make(kRootNode, std::to_string(i));
  for (int i = 0; i < 1000 && *volume->maintain(); ++i) {
  }
  CHECK(volume->status()->floor > version);
  CHECK(get(node, version) == "old");
  REQUIRE_OK(volume->pin(SessionId{1}, node, version));
  REQUIRE_OK(put(node, "new"));
  make(kRootNode, "more");
  for (int i = 0; i < 1000 && *volume->maintain(); ++i) {
  }
  CHECK(get(node, version) == "old");
}

TEST_CASE_FIXTURE(VolumeFixture, "a mount keeps a nameless node through restarts, until its time") {
  create();
  const auto made = commit({Create{}});
  REQUIRE_OK(made);
  const NodeId node = made->created[0];
  const std::int64_t now = clock.wall_now().time_since_epoch().count();
  constexpr std::int64_t kHour = 3'600'000'000'000;
  REQUIRE_OK(volume->keep(MountId{}, node, now + kHour));
  REQUIRE_OK(volume->end_session(SessionId{0}));
  const auto maintain_all = [&] {
    for (int i = 0; i < 1000 && *volume->maintain(); ++i) {
    }
  };
  maintain_all();
  REQUIRE_OK(open());
  maintain_all();
  REQUIRE_OK(volume->attributes(node));
  REQUIRE_OK(volume->keep(MountId{}, node, now - 1));
  maintain_all();
  CHECK_FAILS(volume->attributes(node), ErrorCode::NotFound);
}

TEST_CASE_FIXTURE(VolumeFixture, "the wrong things are refused with the right errors") {
  create();
  {
    const auto second = Volume::open(path(), options, clock);
    CHECK_FAILS(second, ErrorCode::Busy);
  }
  CHECK_FAILS(Volume::open(path() + "/nowhere", options, clock), ErrorCode::NotFound);
  // A place that cannot be looked at is not taken for an empty one.
  std::filesystem::create_symlink("loop", path() + "/loop");
  CHECK_FAILS(Volume::open(path() + "/loop", options, clock), ErrorCode::InvalidArgument);
  CHECK_FAILS(Volume::open(path() + "/" + std::string(256, 'n'), options, clock),
              ErrorCode::TooLarge);
  volume.reset();
  CHECK_FAILS(Volume::create(path(), common::VolumeId{8}, options, clock),
              ErrorCode::AlreadyExists);
  const auto key = common::crypto::Secret::copy_of(view(std::string(32, 'k')));
  options.key = &key;
  CHECK_FAILS(Volume::open(path(), options, clock), ErrorCode::InvalidArgument);
  options.key = nullptr;
  REQUIRE_OK(open());
}

TEST_CASE_FIXTURE(VolumeFixture, "a sealed volume shows its bytes to whoever has the key") {
  const auto key = common::crypto::Secret::copy_of(view(std::string(32, 'k')));
  options.key = &key;
  create();
  const NodeId small = make(kRootNode, "small");
  const NodeId big = make(kRootNode, "big");
  REQUIRE_OK(put(small, "a secret of few words"));
  REQUIRE_OK(put(big, noise(300'000)));
  CHECK(get(small) == "a secret of few words");
  REQUIRE_OK(volume->close());
  REQUIRE_OK(open());
  CHECK(get(big) == noise(300'000));
  CHECK(get(small) == "a secret of few words");
  const auto other = common::crypto::Secret::copy_of(view(std::string(32, 'o')));
  options.key = &other;
  CHECK_FAILS(open(), ErrorCode::InvalidArgument);
}

TEST_CASE_FIXTURE(VolumeFixture, "I7: a copy made by redoing records is equal, and can take over") {
  create();
  const NodeId node = make(kRootNode, "a");
  REQUIRE_OK(put(node, noise(500'000)));
  REQUIRE_OK(put(node, "HELLO", 100, false));
  REQUIRE_OK(volume->append({}, node, view("more")));
  REQUIRE_OK(commit({SetXattr{node, "user.a", Bytes(10)}}, OperationKey{{}, 1}));

  VolumeFixture other;
  auto made = Volume::create_copy(other.path(), volume->id(), volume->uuid(), other.options, clock);
  REQUIRE_OK(made);
  Volume& copy = **made;
  CHECK_FAILS(copy.commit({}), ErrorCode::Unavailable);
  const auto records = volume->changes_since(Seq{}, 1000);
  REQUIRE_OK(records);
  for (const CommitRecord& record : *records) {
    Upload upload = copy.blocks().begin_upload();
    auto redone = copy.redo(record, &upload);
    // Blocks that it lacks are fetched from the other.
    while (!redone && redone.error().code == ErrorCode::Unavailable) {
      for (Operation operation : record.operations) {
        const Content* const content = content_of(operation);
        if (content == nullptr || content->root.is_hole())
          continue;
        const auto missing =
            missing_blocks(copy.blocks(), content->root, content->tree_size(), 100);
        REQUIRE_OK(missing);
        for (const MissingBlock& block : *missing) {
          std::vector<std::byte> buffer(kBlockBytes);
          const auto length = volume->blocks().read(block.name, block.kind, buffer);
          REQUIRE_OK(length);
          REQUIRE_OK(copy.blocks().put_named(upload, block.name, block.kind,
                                             std::span(buffer).first(*length)));
        }
      }
      redone = copy.redo(record, &upload);
    }
    REQUIRE_OK(redone);
  }
  CHECK(*copy.digest(Seq{}) == *volume->digest(Seq{}));
  CHECK_FAILS(copy.redo(records->back(), nullptr), ErrorCode::Conflict);
  // The other is lost: this one goes on, above everything that was given there.
  const Seq last = volume->last_seq();
  REQUIRE_OK(copy.begin_epoch(Epoch{volume->epoch().value + 1}));
  CHECK(copy.last_seq() > last);
  CommitRequest request;
  request.operations = {Create{kRootNode, "b"}};
  const auto done = copy.commit(request);
  REQUIRE_OK(done);
  CHECK(done->created[0].value > node.value);
}

TEST_CASE_FIXTURE(VolumeFixture,
                  "a check inside the transaction sees what it will change, and may refuse") {
  create();
  const NodeId node = make(kRootNode, "a");
  CommitRequest request;
  request.operations = {Unlink{kRootNode, "a"}};
  int looked = 0;
  request.check_present = [&](ReadTx& tx) -> Status {
    ++looked;
    const auto there = read_entry(tx, kRootNode, "a", {});
    REQUIRE_OK(there);
    CHECK((*there)->child == node);
    return common::fail(ErrorCode::PermissionDenied, "not you");
  };
  CHECK_FAILS(volume->commit(request), ErrorCode::PermissionDenied);
  CHECK(looked == 1);
  CHECK_OK(volume->lookup(kRootNode, "a"));
  request.check_present = [](ReadTx&) { return Status(); };
  const auto done = volume->commit(request);
  REQUIRE_OK(done);
  REQUIRE(done->nodes.size() == 2);
  CHECK(done->nodes[0].before->version < done->nodes[0].attributes.version);
  CHECK(done->nodes[1].gone);
  CHECK(done->nodes[1].before->links == 1);
}

TEST_CASE_FIXTURE(VolumeFixture, "a retry is found before anything is tried, and checks nothing") {
  create();
  CommitRequest request;
  request.key = OperationKey{MountId{}, 5};
  request.caller.principal = 42;
  request.operations = {Create{kRootNode, "a"}};
  const auto never = volume->replay(request);
  REQUIRE_OK(never);
  CHECK_FALSE(never->has_value());
  const auto done = volume->commit(request);
  REQUIRE_OK(done);
  CHECK_FALSE(done->nodes[1].before.has_value());
  request.check_present = [](ReadTx&) -> Status {
    return common::fail(ErrorCode::PermissionDenied, "not any more");
  };
  CHECK(volume->commit(request)->replayed);
  const auto again = volume->replay(request);
  REQUIRE_OK(again);
  REQUIRE(again->has_value());
  CHECK((*again)->replayed);
  CHECK((*again)->seq == done->seq);
  CHECK((*again)->created == done->created);
  request.caller.principal = 43;
  CHECK_FAILS(volume->replay(request), ErrorCode::PermissionDenied);
}

TEST_CASE_FIXTURE(VolumeFixture, "several questions are answered of one moment") {
  create();
  const NodeId node = make(kRootNode, "a");
  std::optional<Attributes> seen;
  std::optional<Entry> entry;
  const auto look = [&](ReadTx& tx, At at) -> Status {
    TROTH_TRY(seen, read_attributes(tx, node, at));
    // What is committed meanwhile is not in this view.
    REQUIRE_OK(commit({Unlink{kRootNode, "a"}}));
    TROTH_TRY(entry, read_entry(tx, kRootNode, "a", at));
    return {};
  };
  REQUIRE_OK(volume->view(look));
  CHECK(seen.has_value());
  CHECK(entry.has_value());
  CHECK_FAILS(volume->lookup(kRootNode, "a"), ErrorCode::NotFound);
}
