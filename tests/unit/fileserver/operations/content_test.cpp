// Bytes of files, where it matters that a call was parked on its way.

#include <cerrno>

#include "common/fileproto/block_names.hpp"
#include "fileserver/content/stagings.hpp"
#include "tests/unit/fileserver/changes/change_fixture.hpp"

using common::ErrorCode;
using common::NodeId;
using nlohmann::json;
using test_support::ChangeFixture;
using test_support::FakeCall;
using namespace std::chrono_literals;

namespace {

std::string bytes_of(fileserver::store::Volume& volume, NodeId node) {
  const auto content = volume.content(node);
  REQUIRE_OK(content);
  std::string text(content->size, '\0');
  REQUIRE_OK(volume.read(*content, 0, std::as_writable_bytes(std::span(text))));
  return text;
}

std::string bytes_at(fileserver::store::Volume& volume, NodeId node, std::uint64_t offset,
                     std::size_t length) {
  const auto content = volume.content(node);
  REQUIRE_OK(content);
  std::string text(length, '\0');
  REQUIRE_OK(volume.read(*content, offset, std::as_writable_bytes(std::span(text))));
  return text;
}

class ContentFixture : public ChangeFixture {
 public:
  FakeCall with_bytes(json args, std::string_view bytes) {
    return {peer, args, {0, ++number_}, clock.now() + 20s, bytes};
  }
  FakeCall append(NodeId node, std::string_view bytes) {
    return with_bytes({{"fid", fid(node)}, {"bytes", bytes.size()}}, bytes);
  }
  FakeCall store_of(NodeId node, std::string_view bytes) {
    return with_bytes({{"fid", fid(node)},
                       {"size", bytes.size()},
                       {"edits", json::array({json::array({0, bytes.size()})})}},
                      bytes);
  }

 private:
  std::uint64_t number_ = 2'000'000;
};

}  // namespace

TEST_CASE_FIXTURE(ContentFixture,
                  "G9: appends that waited land each once and whole, wherever their bytes lie") {
  const auto holder = session(1);
  const NodeId node = file("log");
  const std::string shorter(700, 's');
  const std::string longer(9'000, 'l');
  REQUIRE(promise(holder, node));
  FakeCall first = append(node, longer);
  FakeCall second = append(node, shorter);
  FakeCall third = append(node, longer);
  REQUIRE(run(first, "append")->parked);
  REQUIRE(run(second, "append")->parked);
  REQUIRE(run(third, "append")->parked);
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  for (FakeCall* const one : {&first, &second, &third}) {
    const auto done = run(*one, "append");
    REQUIRE_OK(done);
    CHECK_FALSE(done->parked);
  }
  CHECK(bytes_of(store(), node) == longer + shorter + longer);
}

TEST_CASE_FIXTURE(ContentFixture, "a store and an append in one batch keep apart what came along") {
  const auto holder = session(1);
  const NodeId a = file("a");
  const NodeId b = file("b");
  REQUIRE(promise(holder, b));
  const std::string stored(5'000, 'a');
  const std::string appended(6'000, 'b');
  FakeCall both = with_bytes(
      {{"do", json::array({{{"op", "store"},
                            {"fid", fid(a)},
                            {"size", stored.size()},
                            {"edits", json::array({json::array({0, stored.size()})})}},
                           {{"op", "append"}, {"fid", fid(b)}, {"bytes", appended.size()}}})}},
      stored + appended);
  REQUIRE(run(both, "batch")->parked);
  // Somebody else's append comes first: what the batch has made of its base is made again.
  FakeCall other = append(b, "first");
  REQUIRE(run(other, "append")->parked);
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  REQUIRE_OK(run(other, "append"));
  const auto done = run(both, "batch");
  REQUIRE_OK(done);
  CHECK_FALSE(done->parked);
  CHECK(bytes_of(store(), a) == stored);
  CHECK(bytes_of(store(), b) == "first" + appended);
}

namespace {

// Others always come first.
class BeatenChange final : public fileserver::Change {
 public:
  using Change::Change;
  common::Status look(fileserver::FileCall&, const fileserver::Moment&, Look&) override {
    return {};
  }
  common::Result<fileserver::store::CommitReply> commit(
      const fileserver::store::CommitRequest&) override {
    ++commits;
    return common::fail(ErrorCode::Conflict, "another store came first");
  }
  bool again(const common::Error&) override { return true; }
  common::Result<common::rpc::Reply> reply(fileserver::FileCall&,
                                           const fileserver::ChangeResult&) override {
    return common::rpc::Reply::text("{}");
  }
  static inline int commits = 0;
};

}  // namespace

TEST_CASE_FIXTURE(ContentFixture,
                  "who is beaten by others each time may try again, and is told so") {
  FakeCall one = call(json::object());
  fileserver::FileCall file(*parts, one, identity, nullptr);
  const auto done = file.change(std::make_unique<BeatenChange>(use(volume)));
  CHECK_FAILS(done, ErrorCode::Overloaded);
  CHECK(done.error().retry_after > 0ms);
  CHECK(BeatenChange::commits > 10);
  CHECK(BeatenChange::commits < 100);
}

TEST_CASE_FIXTURE(ContentFixture, "one file is not written twice in a batch") {
  const NodeId node = file("a");
  FakeCall twice =
      with_bytes({{"do", json::array({{{"op", "append"}, {"fid", fid(node)}, {"bytes", 1}},
                                      {{"op", "append"}, {"fid", fid(node)}, {"bytes", 1}}})}},
                 "ab");
  CHECK_FAILS(run(twice, "batch"), ErrorCode::InvalidArgument);
  CHECK(bytes_of(store(), node).empty());
}

TEST_CASE_FIXTURE(ContentFixture,
                  "F40: a ticket that ends while bytes wait has five minutes of grace, else none") {
  const auto holder = session(1);
  const NodeId node = file("a");
  REQUIRE(promise(holder, node));
  FakeCall upload = store_of(node, "uploaded");
  FakeCall change = call({{"fid", fid(node)}, {"mode", 0600}});
  // Both came twenty minutes ago.
  upload.came_before(20min);
  change.came_before(20min);
  REQUIRE(run(upload, "store")->parked);
  REQUIRE(run(change, "setattr")->parked);
  CHECK_OK(keeper().on_acknowledge(holder->id, 1));
  const auto now = common::ticket::to_time(clock.wall_now());
  SUBCASE("within the grace") {
    identity.validity.end = now - 4min;
    const auto refused = run(change, "setattr");
    CHECK_FAILS(refused, ErrorCode::Expired);
    CHECK(refused.error().error_number == EKEYEXPIRED);
    CHECK_OK(run(upload, "store"));
    CHECK(bytes_of(store(), node) == "uploaded");
  }
  SUBCASE("after it") {
    identity.validity.end = now - 6min;
    CHECK_FAILS(run(upload, "store"), ErrorCode::Expired);
    CHECK(bytes_of(store(), node).empty());
  }
  CHECK(store().attributes(node)->mode == 0644);
}

TEST_CASE_FIXTURE(ContentFixture, "R4: a store is not answered by the record of another store") {
  const NodeId node = file("a");
  const NodeId other = file("b");
  const auto under = [&](std::uint64_t number, std::string_view operation, json args,
                         std::string_view bytes) {
    FakeCall one{peer, args, {0, number}, clock.now() + 20s, bytes};
    return run(one, operation);
  };
  const auto store_args = [&](NodeId which, std::size_t size, std::int64_t mtime) {
    return json{{"fid", fid(which)},
                {"size", size},
                {"mtime", mtime},
                {"edits", json::array({json::array({0, size})})}};
  };
  REQUIRE_OK(under(5, "store", store_args(node, 3, 1'000), "one"));
  const auto again = under(5, "store", store_args(node, 3, 1'000), "one");
  REQUIRE_OK(again);
  CHECK(json::parse(again->result)["replayed"] == true);
  // The same file, closed at another time.
  CHECK_FAILS(under(5, "store", store_args(node, 3, 2'000), "two"), ErrorCode::Conflict);
  CHECK_FAILS(under(5, "store", store_args(node, 4, 1'000), "four"), ErrorCode::Conflict);
  CHECK_FAILS(under(5, "store", store_args(other, 3, 1'000), "one"), ErrorCode::Conflict);
  CHECK(bytes_of(store(), node) == "one");
  REQUIRE_OK(under(6, "append", {{"fid", fid(node)}, {"bytes", 3}}, "two"));
  CHECK_OK(under(6, "append", {{"fid", fid(node)}, {"bytes", 3}}, "two"));
  CHECK_FAILS(under(6, "append", {{"fid", fid(other)}, {"bytes", 3}}, "two"), ErrorCode::Conflict);
  CHECK(bytes_of(store(), node) == "onetwo");
  const json create{{"dir", fid(fileserver::store::kRootNode)}, {"name", "c"}, {"mode", 0644}};
  json with = create;
  with["bytes"] = 3;
  REQUIRE_OK(under(7, "create", with, "abc"));
  CHECK_OK(under(7, "create", with, "abc"));
  CHECK_FAILS(under(7, "create", create, {}), ErrorCode::Conflict);
}

TEST_CASE_FIXTURE(ContentFixture, "a change names the session that its connection has joined") {
  const auto mine = session(1);
  const json args{
      {"dir", fid(fileserver::store::kRootNode)}, {"name", "d"}, {"mode", 0755}, {"s", 2}};
  FakeCall of_another = call(args);
  CHECK_FAILS(run(of_another, "mkdir", mine), ErrorCode::Stale);
  FakeCall of_none = call(args);
  CHECK_FAILS(run(of_none, "mkdir"), ErrorCode::Stale);
}

TEST_CASE_FIXTURE(ContentFixture, "who may do nothing in a volume uploads nothing to it") {
  const auto mine = session(1);
  const json args{{"volume", volume.value}, {"size", 1'000}};
  CHECK_OK(asked("stage-open", args, mine));
  fileserver::store::CommitRequest close;
  close.operations = {
      fileserver::store::SetAttributes{.node = fileserver::store::kRootNode, .mode = 0700}};
  REQUIRE_OK(store().commit(close));
  CHECK_FAILS(asked("stage-open", args, mine), ErrorCode::PermissionDenied);
}

TEST_CASE_FIXTURE(ContentFixture,
                  "all that is staged in a volume is as much as its quota at most") {
  identity.groups.push_back(common::ticket::kAdministrators);
  REQUIRE_OK(done("volume-quota", {{"name", "data"}, {"bytes", 1'000'000}}));
  fileserver::StagingCall own{store(), {{}, 10}, {10, {}}, 10, clock, soon(), {}};
  own.owner.mount.bytes[0] = std::byte{1};
  const std::string bytes(400'000, 'x');
  const auto digest = common::fileproto::hash_of_piece(0, common::as_bytes(bytes));
  REQUIRE_OK(digest);
  const auto upload = [&](NodeId node) -> common::Status {
    TROTH_TRY(auto piece, fileserver::StagedPiece::begin(own, node, 0, bytes.size()));
    std::ranges::copy(common::as_bytes(bytes), piece.room().begin());
    TROTH_TRY_VOID(piece.came(bytes.size()));
    TROTH_TRY_VOID(piece.finish(*digest));
    return {};
  };
  std::vector<NodeId> nodes;
  for (int i = 0; i < 3; ++i) {
    const auto opened = fileserver::open_staging(own, {.node = {}, .size = bytes.size()});
    REQUIRE_OK(opened);
    nodes.push_back(opened->node);
  }
  CHECK_OK(upload(nodes[0]));
  CHECK_OK(upload(nodes[1]));
  const auto refused = upload(nodes[2]);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().error_number == EDQUOT);
  // What is there already takes no more room when it comes again.
  CHECK_OK(upload(nodes[1]));
  CHECK_OK(fileserver::drop_staging(own, nodes[0]));
  CHECK_OK(upload(nodes[2]));
}

TEST_CASE_FIXTURE(ContentFixture, "holes as long as a file may be hold nobody up") {
  const NodeId node = file("a");
  const std::uint64_t huge = std::uint64_t{1} << 61;
  FakeCall bytes = store_of(node, std::string(300'000, 'x'));
  REQUIRE_OK(run(bytes, "store"));
  REQUIRE_OK(done("setattr", {{"fid", fid(node)}, {"size", huge}}));
  const auto copied = [&](const char* name, std::uint64_t from_offset, std::uint64_t to_offset) {
    const NodeId copy = file(name);
    const auto answer = done("copy-range", {{"from", fid(node)},
                                            {"from_offset", from_offset},
                                            {"length", huge / 2},
                                            {"to", fid(copy)},
                                            {"to_offset", to_offset}});
    REQUIRE_OK(answer);
    CHECK(bytes_at(store(), copy, to_offset, 100) == std::string(100, 'x'));
    return (*answer)["done"][0]["length"].get<std::uint64_t>();
  };
  CHECK(copied("b", 0, 0) == huge / 2);
  // What does not lie in its blocks as it did: some of it, and how much.
  CHECK(copied("c", 200'000, 1) == std::uint64_t{256} << 20);
}

TEST_CASE_FIXTURE(ContentFixture, "G1: a version of the past that is fetched is promised nobody") {
  const auto mine = session(1);
  const NodeId node = file("a");
  FakeCall first = store_of(node, "first");
  REQUIRE_OK(run(first, "store"));
  const std::uint64_t then = store().attributes(node)->version.value;
  FakeCall second = store_of(node, "second");
  REQUIRE_OK(run(second, "store"));
  const std::uint64_t now = store().attributes(node)->version.value;
  const auto fetch = [&](std::uint64_t version) {
    const auto fetched = asked("fetch",
                               {{"fid", fid(node)},
                                {"version", version},
                                {"ranges", json::array({json::array({0, 100})})}},
                               mine);
    REQUIRE_OK(fetched);
    return *fetched;
  };
  const json past = fetch(then);
  CHECK(past["node"]["v"] == then);
  CHECK_FALSE(past["node"].contains("p"));
  CHECK_FALSE(past.contains("grants"));
  CHECK(keeper().counts().promises == 0);
  const json present = fetch(now);
  CHECK(present["node"]["p"] == 1);
  CHECK(keeper().counts().promises == 1);
}
