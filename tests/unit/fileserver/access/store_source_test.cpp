// Judging by a real volume: lists as extended attributes, links, the past.

#include "fileserver/access/judge.hpp"
#include "memory_source.hpp"
#include "tests/unit/fileserver/store/volume/volume_fixture.hpp"

using namespace access_test;
using test_support::VolumeFixture;
namespace fs = fileserver::store;

TEST_CASE_FIXTURE(VolumeFixture, "lists, links and the past are read from the rows") {
  create();
  const NodeId governed = make(fs::kRootNode, "d", NodeKind::Directory);
  const NodeId other = make(fs::kRootNode, "o", NodeKind::Directory);
  const NodeId file = make(governed, "f");
  const Acl acl{{common::fileproto::AclWho::AnyUser, 0, right::kLookup | right::kRead, false}};
  REQUIRE_OK(commit({fs::SetXattr{governed, std::string(kAclXattr), encode_acl(acl)}}));
  const fs::Seq one_link = volume->last_seq();
  REQUIRE_OK(commit({fs::Link{file, other, "g"}}));

  const auto look = [&](fs::ReadTx& tx, fs::At at) -> common::Status {
    StoreSource now(tx, at);
    CHECK(now.list(governed).value() == acl);
    CHECK_FALSE(now.list(other).value().has_value());
    CHECK(now.attributes(file).value()->home == governed);
    CHECK_FALSE(now.attributes(NodeId(999)).value().has_value());
    CHECK(now.has_link(governed, file).value());
    CHECK(now.has_link(other, file).value());
    CHECK_FALSE(now.has_link(fs::kRootNode, file).value());
    StoreSource then(tx, one_link);
    CHECK(then.has_link(governed, file).value());
    CHECK_FALSE(then.has_link(other, file).value());

    const Caller caller = user(10'001);
    Judge judge({.caller = caller, .source = now, .volume = volume->id()});
    CHECK(judge.open(*now.attributes(file).value(), {.read = true})->allowed);
    CHECK_FALSE(judge.open(*now.attributes(file).value(), {.write = true})->allowed);
    return {};
  };
  CHECK_OK(volume->view(look));
}

TEST_CASE_FIXTURE(VolumeFixture, "a damaged list lets nobody in") {
  create();
  REQUIRE_OK(commit({fs::SetXattr{fs::kRootNode, std::string(kAclXattr), common::Bytes(3)}}));
  const auto look = [&](fs::ReadTx& tx, fs::At at) -> common::Status {
    StoreSource source(tx, at);
    const Caller caller = administrator();
    Judge judge({.caller = caller, .source = source, .volume = volume->id()});
    CHECK_FAILS(judge.search(*source.attributes(fs::kRootNode).value()),
                common::ErrorCode::Corrupt);
    return {};
  };
  CHECK_OK(volume->view(look));
}
