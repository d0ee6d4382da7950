#include "fileserver/store/meta/execute.hpp"
#include "tests/unit/fileserver/store/tables.hpp"

using common::ErrorCode;
using test_support::file;
using test_support::Tables;
using test_support::tail;
using namespace fileserver::store;  // NOLINT(google-build-using-namespace): every name here is of
                                    // it

TEST_CASE("what a file held at any seq can be read") {
  Tables tables;
  const NodeId node = tables.make(kRootNode, "a", NodeKind::File, "one");
  const Seq one = tables.head();
  REQUIRE_OK(tables.commit({SetContent{node, tail("two"), {}}}));
  const Seq two = tables.head();
  SetAttributes chmod;
  chmod.node = node;
  chmod.mode = 0600;
  REQUIRE_OK(tables.commit({chmod}));
  const Seq three = tables.head();
  REQUIRE_OK(tables.commit({Unlink{kRootNode, "a"}}));
  CHECK(tables.bytes(node, one) == "one");
  CHECK(tables.bytes(node, two) == "two");
  CHECK(tables.bytes(node, three) == "two");
  CHECK(tables.attributes(node, two)->mode == 0644);
  CHECK(tables.attributes(node, three)->mode == 0600);
  CHECK(tables.attributes(node, three)->data_version == two);
  CHECK(tables.attributes(node, three)->version == three);
  CHECK(tables.attributes(node) == std::nullopt);
  CHECK(tables.child(kRootNode, "a", three) == node);
  CHECK(tables.names(kRootNode).empty());
  // Content that did not change was not copied.
  CHECK(tables.count("SELECT count(*) FROM content") == 2);
}

TEST_CASE("extended attributes and settings have a past, too") {
  Tables tables;
  const NodeId node = tables.make(kRootNode, "a");
  const Bytes x(1, std::byte{'x'});
  const Bytes y(1, std::byte{'y'});
  const auto xattr = [&](At at) {
    const auto value = tables.read([&](ReadTx& tx) { return read_xattr(tx, node, "user.k", at); });
    REQUIRE_OK(value);
    return *value;
  };
  REQUIRE_OK(tables.commit({SetXattr{node, "user.k", x, XattrMode::CreateOnly}}));
  const Seq one = tables.head();
  CHECK_FAILS(tables.commit({SetXattr{node, "user.k", y, XattrMode::CreateOnly}}),
              ErrorCode::AlreadyExists);
  REQUIRE_OK(tables.commit({SetXattr{node, "user.k", y}}));
  const Seq two = tables.head();
  REQUIRE_OK(tables.commit({RemoveXattr{node, "user.k"}}));
  CHECK(!tables.commit({RemoveXattr{node, "user.k"}}));
  CHECK(!tables.commit({SetXattr{node, "user.k", y, XattrMode::ReplaceOnly}}));
  CHECK(xattr(one) == x);
  CHECK(xattr(two) == y);
  CHECK(xattr({}) == std::nullopt);
  CHECK(tables.attributes(node)->version == tables.head());

  REQUIRE_OK(tables.commit({SetSetting{"k", x}}));
  const Seq three = tables.head();
  REQUIRE_OK(tables.commit({SetSetting{"k", {}}}));
  const auto setting = [&](At at) {
    return *tables.read([&](ReadTx& tx) { return read_setting(tx, "k", at); });
  };
  CHECK(setting(three) == x);
  CHECK(setting({}) == std::nullopt);
}

namespace {

// Something of everything, so that copies and rollbacks have to deal with all tables.
void live_a_little(Tables& tables, int round) {
  const std::string n = std::to_string(round);
  const auto dir = tables.commit({test_support::directory(kRootNode, "d" + n)});
  REQUIRE_OK(dir);
  const NodeId d = dir->created[0];
  const NodeId a = tables.make(d, "a", NodeKind::File, "content " + n);
  REQUIRE_OK(tables.commit({Link{a, kRootNode, "a" + n}, SetXattr{a, "user.n", Bytes(3)}}));
  REQUIRE_OK(tables.commit({AppendTail{a, Bytes(5, std::byte{'.'})}}));
  tables.make(d, "s", NodeKind::Symlink, "../target");
  const NodeId b = tables.make(d, "b");
  REQUIRE_OK(tables.commit({Rename{d, "b", kRootNode, "b" + n, RenameMode::NoReplace}}));
  SetAttributes set;
  set.node = b;
  set.uid = 1000;
  set.mtime_now = true;
  REQUIRE_OK(tables.commit({set}, OperationKey{{}, static_cast<std::uint64_t>(round)}));
  REQUIRE_OK(tables.commit({CreateSnapshot{"s" + n, {}}}));
  REQUIRE_OK(tables.commit({SetSetting{"quota.bytes", Bytes(8, std::byte{1})}}));
  REQUIRE_OK(tables.commit({Unlink{d, "s"}, Unlink{d, "a"}}));
  if (round % 2 == 0)
    REQUIRE_OK(tables.commit({RemoveDirectory{kRootNode, "d" + n}, DeleteSnapshot{"s" + n}}));
  REQUIRE_OK(tables.commit({file({}, "", "nameless")}));
  REQUIRE_OK(tables.commit({RaiseFence{b, 0, 100, common::FencingToken{7}}}));
}

}  // namespace

TEST_CASE("I7: a store made by redoing the records of another is equal to it") {
  Tables original;
  for (int round = 0; round < 6; ++round)
    live_a_little(original, round);
  auto copy = Tables::copy();
  for (const CommitRecord& record : original.records()) {
    const auto travelled = decode_record(encode_record(record));
    REQUIRE_OK(travelled);
    CHECK(*travelled == record);
    REQUIRE_OK(copy->redo(*travelled));
  }
  CHECK(copy->digest() == original.digest());
  // And the digest sees a difference.
  REQUIRE_OK(
      copy->write([](WriteTx& tx) { return tx.run("UPDATE node SET mode = 0 WHERE id = 1"); }));
  CHECK(copy->digest() != original.digest());
}

TEST_CASE("R20: after rolling back, everything is as it was at that seq") {
  Tables tables;
  live_a_little(tables, 0);
  live_a_little(tables, 1);
  const Seq then = tables.head();
  const BlockName was = tables.digest();
  live_a_little(tables, 2);
  live_a_little(tables, 3);
  REQUIRE_OK(tables.commit({Unlink{kRootNode, "a1"}, Unlink{kRootNode, "b0"}}));
  CHECK(tables.digest() != was);
  REQUIRE_OK(tables.write([&](WriteTx& tx) { return roll_back_rows(tx, then); }));
  CHECK(tables.head() == then);
  CHECK(tables.digest() == was);
  live_a_little(tables, 4);
}

TEST_CASE("records are refused when a bit of them is wrong") {
  Tables tables;
  live_a_little(tables, 1);
  const Bytes good = encode_record(tables.records().back());
  REQUIRE_OK(decode_record(good));
  for (std::size_t i = 0; i < good.size(); ++i) {
    Bytes bad = good;
    bad[i] ^= std::byte{1};
    CHECK_FAILS(decode_record(bad), ErrorCode::Protocol);
    CHECK_FAILS(decode_record(ByteView(good).first(i)), ErrorCode::Protocol);
  }
}

TEST_CASE("I8: an operation key finds its record, and is refused once forgotten") {
  Tables tables;
  const OperationKey key{{}, 41};
  REQUIRE_OK(tables.commit({file(kRootNode, "a")}, key));
  const auto look = [&](std::uint64_t number) {
    return tables.read([&](ReadTx& tx) {
      return read_record_of(tx, OperationKey{{}, number}, tables.seal);
    });
  };
  REQUIRE_OK(look(41));
  CHECK((*look(41))->seq == tables.head());
  CHECK(!look(42)->has_value());
  // The same key is never entered twice, whatever the caller thinks.
  CHECK(!tables.commit({file(kRootNode, "b")}, key));
  CHECK(tables.child(kRootNode, "b") == std::nullopt);
}

namespace {

void trim_all(Tables& tables, Seq floor) {
  TrimState state{floor, 0, {}};
  for (bool more = true; more;) {
    const auto step = tables.write([&](WriteTx& tx) -> common::Result<bool> {
      TROTH_TRY_VOID(set_floor(tx, floor));
      return trim_step(tx, state, 3);
    });
    REQUIRE_OK(step);
    more = step->value;
  }
}

}  // namespace

TEST_CASE("trimming takes what ended below the floor and nothing else") {
  Tables tables;
  for (int round = 1; round < 4; ++round)
    live_a_little(tables, round);
  const Seq floor = tables.head();
  const BlockName digest = tables.digest(floor);
  live_a_little(tables, 5);
  Tables untouched;
  const BlockName above = tables.digest(floor);
  trim_all(tables, floor);
  CHECK(tables.digest(floor) == above);
  CHECK(digest != above);
  CHECK(tables.count("SELECT min(seq) FROM commits") == static_cast<std::int64_t>(floor.value));
  CHECK(tables.count("SELECT max(forgotten) FROM client") == 3);
}

TEST_CASE("a snapshot keeps what it shows, and forgetting it frees that") {
  Tables tables;
  const NodeId node = tables.make(kRootNode, "a", NodeKind::File, "kept");
  const Seq shown = tables.head();
  REQUIRE_OK(tables.commit({CreateSnapshot{"s", {}}}));
  REQUIRE_OK(tables.commit({SetContent{node, tail("later"), {}}}));
  REQUIRE_OK(tables.commit({SetContent{node, tail("now"), {}}}));
  REQUIRE_OK(tables.commit({Unlink{kRootNode, "a"}}));
  trim_all(tables, tables.head());
  CHECK(tables.bytes(node, shown) == "kept");
  CHECK(tables.names(kRootNode, shown) == std::vector<std::string>{"a"});
  CHECK(tables.count("SELECT count(*) FROM content") == 1);
  REQUIRE_OK(tables.commit({DeleteSnapshot{"s"}}));
  tables.make(kRootNode, "b");
  trim_all(tables, tables.head());
  CHECK(tables.count("SELECT count(*) FROM content") == 0);
  CHECK(tables.count("SELECT count(*) FROM node_history") == 0);
}

TEST_CASE("a node's fences go with the last that is known of it, and not before") {
  Tables tables;
  const NodeId node = tables.make(kRootNode, "a");
  const NodeId other = tables.make(kRootNode, "b");
  for (const NodeId fenced : {node, other})
    REQUIRE_OK(tables.commit({RaiseFence{fenced, 0, 100, common::FencingToken{7}}}));
  REQUIRE_OK(tables.commit({Unlink{kRootNode, "a"}}));
  const Seq gone = tables.head();
  tables.make(kRootNode, "c");
  trim_all(tables, Seq{gone.value - 1});
  CHECK(tables.count("SELECT count(*) FROM fence") == 2);
  trim_all(tables, tables.head());
  CHECK(tables.count("SELECT count(*) FROM fence") == 1);
  CHECK(tables.count("SELECT node FROM fence") == static_cast<std::int64_t>(other.value));
}

TEST_CASE("R21: a pinned version stays when its time is over") {
  Tables tables;
  const NodeId node = tables.make(kRootNode, "a", NodeKind::File, "pinned");
  const Seq version = tables.head();
  REQUIRE_OK(tables.write([&](WriteTx& tx) {
    return tx.run("INSERT INTO pin(session, node, seq, count) VALUES (1, ?, ?, 1)", node.value,
                  version.value);
  }));
  REQUIRE_OK(tables.commit({SetContent{node, tail("new"), {}}}));
  tables.make(kRootNode, "b");
  trim_all(tables, tables.head());
  CHECK(tables.bytes(node, version) == "pinned");
  REQUIRE_OK(tables.write([](WriteTx& tx) { return tx.run("DELETE FROM pin"); }));
  trim_all(tables, tables.head());
  CHECK(tables.attributes(node, version) == std::nullopt);
}
