#include "fileserver/store/meta/execute.hpp"
#include "tests/unit/fileserver/store/tables.hpp"

using common::ErrorCode;
using test_support::directory;
using test_support::file;
using test_support::Tables;
using namespace fileserver::store;  // NOLINT(google-build-using-namespace): every name here is of
                                    // it

TEST_CASE("a new file is found by its name, and its directory has changed") {
  Tables tables;
  const Seq before = tables.head();
  const NodeId node = tables.make(kRootNode, "a");
  CHECK(tables.child(kRootNode, "a") == node);
  CHECK(tables.attributes(node)->links == 1);
  CHECK(tables.attributes(node)->home == kRootNode);
  const auto root = tables.attributes(kRootNode);
  CHECK(root->version == tables.head());
  CHECK(root->mtime == tables.time);
  // The past is as it was.
  CHECK(tables.child(kRootNode, "a", before) == std::nullopt);
  CHECK(tables.attributes(node, before) == std::nullopt);
  CHECK(tables.attributes(kRootNode, before)->version == before);
  CHECK(tables.attributes(kRootNode, before)->mtime < tables.time);
}

TEST_CASE("names are bytes, kept exactly, and refused where they cannot be names") {
  Tables tables;
  const std::string strange("\xff\x01 \n\xc3", 5);
  const std::string longest(255, 'x');
  tables.make(kRootNode, strange);
  tables.make(kRootNode, longest);
  CHECK(tables.child(kRootNode, strange).has_value());
  CHECK(tables.names(kRootNode) == std::vector<std::string>{longest, strange});
  for (const std::string& bad : {std::string(), std::string("."), std::string(".."),
                                 std::string("a/b"), std::string("a\0b", 3)})
    CHECK_FAILS(tables.commit({file(kRootNode, bad)}), ErrorCode::InvalidArgument);
  CHECK_FAILS(tables.commit({file(kRootNode, std::string(256, 'x'))}), ErrorCode::TooLarge);
}

TEST_CASE("every kind of node keeps what is its own") {
  Tables tables;
  Create device = file(kRootNode, "device");
  device.kind = NodeKind::CharacterDevice;
  device.device = 0x0103;
  const auto done = tables.commit({device});
  REQUIRE_OK(done);
  CHECK(tables.attributes(done->created[0])->device == 0x0103);
  const NodeId link = tables.make(kRootNode, "link", NodeKind::Symlink, "../target");
  CHECK(tables.bytes(link) == "../target");
  CHECK_FAILS(tables.commit({[] {
    Create empty = file(kRootNode, "empty");
    empty.kind = NodeKind::Symlink;
    return empty;
  }()}),
              ErrorCode::InvalidArgument);
  for (const NodeKind kind : {NodeKind::Fifo, NodeKind::Socket, NodeKind::BlockDevice})
    CHECK(tables.attributes(tables.make(kRootNode, std::to_string(static_cast<int>(kind)), kind))
              ->kind == kind);
}

TEST_CASE("directories count those inside them") {
  Tables tables;
  const NodeId a = tables.make(kRootNode, "a", NodeKind::Directory);
  CHECK(tables.attributes(a)->links == 2);
  CHECK(tables.attributes(kRootNode)->links == 3);
  const NodeId b = tables.make(a, "b", NodeKind::Directory);
  CHECK(tables.attributes(a)->links == 3);
  CHECK_FAILS(tables.commit({RemoveDirectory{kRootNode, "a"}}), ErrorCode::AlreadyExists);
  REQUIRE_OK(tables.commit({Rename{a, "b", kRootNode, "b"}}));
  CHECK(tables.attributes(a)->links == 2);
  CHECK(tables.attributes(kRootNode)->links == 4);
  CHECK(tables.attributes(b)->home == kRootNode);
  REQUIRE_OK(tables.commit({RemoveDirectory{kRootNode, "a"}}));
  CHECK(tables.attributes(kRootNode)->links == 3);
  CHECK(tables.attributes(a) == std::nullopt);
}

TEST_CASE("a directory cannot be moved below itself, nor swapped with one below") {
  Tables tables;
  const NodeId a = tables.make(kRootNode, "a", NodeKind::Directory);
  const NodeId b = tables.make(a, "b", NodeKind::Directory);
  const NodeId c = tables.make(b, "c", NodeKind::Directory);
  CHECK_FAILS(tables.commit({Rename{kRootNode, "a", c, "x"}}), ErrorCode::InvalidArgument);
  CHECK_FAILS(tables.commit({Rename{kRootNode, "a", a, "x"}}), ErrorCode::InvalidArgument);
  CHECK_FAILS(tables.commit({Rename{b, "c", kRootNode, "a", RenameMode::Exchange}}),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(tables.commit({Rename{kRootNode, "a", b, "c", RenameMode::Exchange}}),
              ErrorCode::InvalidArgument);
  REQUIRE_OK(tables.commit({Rename{b, "c", kRootNode, "c"}}));
  REQUIRE_OK(tables.commit({Rename{kRootNode, "a", c, "a"}}));
}

TEST_CASE("within one commit, too, no directory comes to lie in itself") {
  Tables tables;
  const NodeId a = tables.make(kRootNode, "a", NodeKind::Directory);
  const NodeId b = tables.make(kRootNode, "b", NodeKind::Directory);
  CHECK_FAILS(tables.commit({Rename{kRootNode, "a", b, "a"}, Rename{kRootNode, "b", a, "b"}}),
              ErrorCode::InvalidArgument);
  CHECK(tables.attributes(a)->home == kRootNode);
}

TEST_CASE("a name that is moved over another replaces it, and over the wrong kind does not") {
  Tables tables;
  const NodeId a = tables.make(kRootNode, "a");
  const NodeId b = tables.make(kRootNode, "b");
  const NodeId d = tables.make(kRootNode, "d", NodeKind::Directory);
  CHECK_FAILS(tables.commit({Rename{kRootNode, "a", kRootNode, "b", RenameMode::NoReplace}}),
              ErrorCode::AlreadyExists);
  REQUIRE_OK(tables.commit({Rename{kRootNode, "a", kRootNode, "b"}}));
  CHECK(tables.child(kRootNode, "b") == a);
  CHECK(tables.attributes(b) == std::nullopt);
  CHECK_FAILS(tables.commit({Rename{kRootNode, "b", kRootNode, "d"}}), ErrorCode::InvalidArgument);
  CHECK_FAILS(tables.commit({Rename{kRootNode, "d", kRootNode, "b"}}), ErrorCode::InvalidArgument);
  CHECK_FAILS(tables.commit({Rename{kRootNode, "x", kRootNode, "y"}}), ErrorCode::NotFound);
  REQUIRE_OK(tables.commit({Rename{kRootNode, "b", kRootNode, "d", RenameMode::Exchange}}));
  CHECK(tables.child(kRootNode, "b") == d);
  CHECK(tables.child(kRootNode, "d") == a);
}

TEST_CASE("a directory is not empty because what is moved over it was all it held") {
  Tables tables;
  const NodeId d = tables.make(kRootNode, "d", NodeKind::Directory);
  const NodeId x = tables.make(d, "x", NodeKind::Directory);
  CHECK_FAILS(tables.commit({Rename{d, "x", kRootNode, "d"}}), ErrorCode::AlreadyExists);
  CHECK(tables.child(kRootNode, "d") == d);
  CHECK(tables.child(d, "x") == x);
}

TEST_CASE("a file of many names counts them, and has its home where it has one") {
  Tables tables;
  const NodeId a = tables.make(kRootNode, "a", NodeKind::Directory);
  const NodeId b = tables.make(kRootNode, "b", NodeKind::Directory);
  const NodeId node = tables.make(a, "1");
  REQUIRE_OK(tables.commit({Link{node, a, "2"}}));
  REQUIRE_OK(tables.commit({Link{node, b, "3"}}));
  CHECK(tables.attributes(node)->links == 3);
  CHECK(tables.count("SELECT sum(links) FROM hard_link") == 3);
  REQUIRE_OK(tables.commit({Unlink{a, "1"}}));
  CHECK(tables.attributes(node)->home == a);
  REQUIRE_OK(tables.commit({Unlink{a, "2"}}));
  CHECK(tables.attributes(node)->home == b);
  CHECK(tables.attributes(node)->links == 1);
  CHECK(tables.count("SELECT count(*) FROM hard_link") == 0);
  CHECK_FAILS(tables.commit({Link{a, b, "d"}}), ErrorCode::PermissionDenied);
  REQUIRE_OK(tables.commit({Unlink{b, "3"}}));
  CHECK(tables.attributes(node) == std::nullopt);
}

TEST_CASE("R27: a file that is moved takes the home of where it goes") {
  Tables tables;
  const NodeId a = tables.make(kRootNode, "a", NodeKind::Directory);
  const NodeId b = tables.make(kRootNode, "b", NodeKind::Directory);
  const NodeId node = tables.make(a, "1");
  REQUIRE_OK(tables.commit({Rename{a, "1", b, "1"}}));
  CHECK(tables.attributes(node)->home == b);
  REQUIRE_OK(tables.commit({Link{node, b, "2"}}));
  REQUIRE_OK(tables.commit({Rename{b, "2", a, "2"}}));
  CHECK(tables.attributes(node)->home == a);
  CHECK(tables.count("SELECT sum(links) FROM hard_link") == 2);
  // Two names of one file: renaming one over the other changes nothing.
  REQUIRE_OK(tables.commit({Rename{a, "2", b, "1"}}));
  CHECK(tables.child(a, "2") == node);
  CHECK(tables.child(b, "1") == node);
}

TEST_CASE("an unlinked file stays while somebody holds it, and ends when it is reaped") {
  Tables tables;
  const NodeId node = tables.make(kRootNode, "a", NodeKind::File, "text");
  const auto pin = [&](fileserver::store::WriteTx& tx) {
    return tx.run("INSERT INTO pin(session, node, seq, count) VALUES (1, ?, 2, 1)", node.value);
  };
  REQUIRE_OK(tables.write(pin));
  REQUIRE_OK(tables.commit({Unlink{kRootNode, "a"}}));
  CHECK(tables.attributes(node)->links == 0);
  CHECK(tables.bytes(node) == "text");
  REQUIRE_OK(tables.commit({AppendTail{node, Bytes(1, std::byte{'!'})}}));
  CHECK(tables.bytes(node) == "text!");
  CHECK_FAILS(tables.commit({Reap{node}}), ErrorCode::Busy);
  REQUIRE_OK(
      tables.write([](fileserver::store::WriteTx& tx) { return tx.run("DELETE FROM pin"); }));
  REQUIRE_OK(tables.commit({Reap{node}}));
  CHECK(tables.attributes(node) == std::nullopt);
  CHECK(tables.count("SELECT count(*) FROM orphan") == 0);
}

TEST_CASE("a node may begin without a name and get one later") {
  Tables tables;
  Create nameless = file({}, "", "draft");
  const auto made = tables.commit({nameless});
  REQUIRE_OK(made);
  const NodeId node = made->created[0];
  CHECK(tables.attributes(node)->links == 0);
  CHECK(tables.count("SELECT count(*) FROM orphan") == 1);
  REQUIRE_OK(tables.commit({Link{node, kRootNode, "final"}}));
  CHECK(tables.attributes(node)->links == 1);
  CHECK(tables.count("SELECT count(*) FROM orphan") == 0);
  CHECK(tables.bytes(*tables.child(kRootNode, "final")) == "draft");
}

TEST_CASE("a batch is all or nothing, and one node is written once") {
  Tables tables;
  const std::int64_t rows = tables.count("SELECT count(*) FROM node_history");
  const auto done =
      tables.commit({file(kRootNode, "a"), file(kRootNode, "b"), directory(kRootNode, "c")});
  REQUIRE_OK(done);
  CHECK(done->nodes.size() == 4);
  CHECK(tables.count("SELECT count(*) FROM touched WHERE directory = 1") == 1);
  CHECK(tables.count("SELECT count(*) FROM node_history") == rows);
  const Seq before = tables.head();
  CHECK_FAILS(tables.commit({file(kRootNode, "d"), file(kRootNode, "a")}),
              ErrorCode::AlreadyExists);
  CHECK(tables.head() == before);
  CHECK(tables.child(kRootNode, "d") == std::nullopt);
}
