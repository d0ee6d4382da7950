// Ways, and the rules of single operations that need more than one node.

#include <cerrno>

#include "fileserver/access/whynot.hpp"
#include "memory_source.hpp"
#include "tests/support/test.hpp"

using namespace access_test;
using common::fileproto::AclWho;

namespace {

// /2 (0755) /2/3 (mode varies) /2/3/4 file; /5 (0777) has a link to 4.
struct Tree {
  MemorySource source;
  Tree() {
    source.add(node(2, NodeKind::Directory, 0755, 0, 0, 1));
    source.add(node(3, NodeKind::Directory, 0755, 10'001, 10'001, 2));
    source.add(node(4, NodeKind::File, 0644, 10'001, 10'001, 3));
    source.add(node(5, NodeKind::Directory, 0777, 0, 0, 1));
  }
  Judge judge(const Caller& caller, std::optional<NodeId> via = {}) {
    return Judge({.caller = caller, .source = source, .volume = VolumeId(1), .via = via});
  }
};

int errno_of(const Result<Verdict>& verdict) {
  REQUIRE_OK(verdict);
  CHECK((verdict->error_number == 0) == verdict->allowed);
  return verdict->error_number;
}

}  // namespace

TEST_CASE("R7: a node is reached over directories that may all be searched") {
  Tree tree;
  const Caller caller = user(10'002);
  CHECK(errno_of(tree.judge(caller).reach(tree.source[4])) == 0);
  for (const std::uint64_t closed : {1, 2, 3}) {
    tree.source[closed].mode = 0700;
    CHECK(errno_of(tree.judge(caller).reach(tree.source[4])) == ENOENT);
    CHECK(errno_of(tree.judge(caller).open(tree.source[4], {.read = true})) == ENOENT);
    CHECK(errno_of(tree.judge(caller).store(tree.source[4])) == ENOENT);
    tree.source[closed].mode = 0755;
  }
  // The directory that is asked for itself: seen, but closed.
  tree.source[3].mode = 0700;
  CHECK(errno_of(tree.judge(caller).reach(tree.source[3])) == 0);
  CHECK(errno_of(tree.judge(caller).search(tree.source[3])) == EACCES);
  CHECK(errno_of(tree.judge(caller).list(tree.source[3])) == EACCES);
}

TEST_CASE("R7: another name of the node is a way, if the node has it") {
  Tree tree;
  const Caller caller = user(10'002);
  tree.source[3].mode = 0700;
  CHECK(errno_of(tree.judge(caller, NodeId(5)).reach(tree.source[4])) == ENOENT);
  tree.source.add_link(5, 4);
  CHECK(errno_of(tree.judge(caller).reach(tree.source[4])) == ENOENT);
  CHECK(errno_of(tree.judge(caller, NodeId(5)).reach(tree.source[4])) == 0);
  tree.source[5].mode = 0700;
  CHECK(errno_of(tree.judge(caller, NodeId(5)).reach(tree.source[4])) == ENOENT);
  CHECK(errno_of(tree.judge(caller, NodeId(77)).reach(tree.source[4])) == ENOENT);
}

TEST_CASE("a node without a name is for who holds it") {
  Tree tree;
  const Caller caller = user(10'001);
  tree.source[4].links = 0;
  CHECK(errno_of(tree.judge(caller).reach(tree.source[4])) == ENOENT);
  Judge holder(
      {.caller = caller, .source = tree.source, .volume = VolumeId(1), .holds = [](NodeId id) {
         return id == NodeId(4);
       }});
  CHECK(errno_of(holder.reach(tree.source[4])) == 0);
}

TEST_CASE("verdicts on directories are kept under their generation only") {
  Tree tree;
  PathCache cache;
  const Caller caller = user(10'002);
  const Caller other = user(10'003);
  const auto reach = [&](const Caller& who, std::optional<std::uint64_t> generation) {
    Judge judge({.caller = who,
                 .source = tree.source,
                 .volume = VolumeId(1),
                 .cache = &cache,
                 .generation = generation});
    return errno_of(judge.reach(tree.source[4]));
  };
  CHECK(reach(caller, 1) == 0);
  const int before = tree.source.reads();
  CHECK(reach(caller, 1) == 0);
  CHECK(tree.source.reads() == before);
  // Above what is kept nothing is read either.
  Judge deeper({.caller = caller,
                .source = tree.source,
                .volume = VolumeId(1),
                .cache = &cache,
                .generation = 1});
  CHECK(errno_of(deeper.search(tree.source[3])) == 0);
  CHECK(tree.source.reads() == before);
  tree.source[2].mode = 0700;
  CHECK(reach(caller, 1) == 0);  // nobody said that it had grown
  CHECK(reach(other, 1) == ENOENT);
  CHECK(reach(caller, {}) == ENOENT);
  CHECK(reach(caller, 2) == ENOENT);
  tree.source[2].mode = 0755;
  CHECK(reach(other, 2) == 0);
}

TEST_CASE("the cache is bounded, and forgets who does not come back first") {
  PathCache cache(1'024);
  const PathCache::Key mine{{VolumeId(1), NodeId(1)}, user(10'001).fingerprint()};
  cache.keep(mine, 7, {PathCache::Way::Open, 0});
  for (std::uint64_t id = 2; id < 50'000; ++id) {
    cache.keep({{VolumeId(1), NodeId(id)}, mine.caller}, 7, {PathCache::Way::Open, 0});
    if (id % 16 == 0)
      CHECK(cache.find(mine, 7).way == PathCache::Way::Open);
  }
  CHECK(cache.size() <= 1'024);
  CHECK(cache.find(mine, 8).way == PathCache::Way::Closed);
  CHECK(cache.find({{VolumeId(2), NodeId(1)}, mine.caller}, 7).way == PathCache::Way::Closed);
}

TEST_CASE("that only administration opened the way is known from the cache, too") {
  Tree tree;
  tree.source[2].mode = 0700;
  PathCache cache;
  const Caller caller = administrator();
  for (int i = 0; i < 2; ++i) {
    Judge judge({.caller = caller,
                 .source = tree.source,
                 .volume = VolumeId(1),
                 .cache = &cache,
                 .generation = 1});
    CHECK(judge.open(tree.source[4], {.read = true})->by_administration());
    CHECK_FALSE(judge.reach(tree.source[2])->by_administration());
    CHECK_FALSE(judge.make(tree.source[5], NodeKind::File)->by_administration());
  }
}

TEST_CASE("F62: directories lie one in another as deep as is said, and no deeper") {
  constexpr std::uint64_t kDeepest = fileserver::store::kMaxDepth;  // the root is number 1
  MemorySource source;
  for (std::uint64_t id = 2; id <= kDeepest + 3; ++id)
    source.add(node(id, NodeKind::Directory, 0777, 0, 0, id - 1));
  source.add(node(20'000, NodeKind::Directory, 0777, 0, 0, 1));
  source[1].mode = 0777;
  const Caller caller = user(10'002);
  PathCache cache;
  const auto judge = [&](std::optional<std::uint64_t> generation) {
    return Judge({.caller = caller,
                  .source = source,
                  .volume = VolumeId(1),
                  .cache = &cache,
                  .generation = generation});
  };
  const auto check = [&](std::optional<std::uint64_t> generation) {
    const auto make = [&](std::uint64_t in, NodeKind kind) {
      return errno_of(judge(generation).make(source[in], kind));
    };
    CHECK(make(kDeepest, NodeKind::Directory) == 0);
    CHECK(make(kDeepest + 1, NodeKind::Directory) == ENAMETOOLONG);
    CHECK(make(kDeepest + 1, NodeKind::File) == 0);
    // Another directory is moved there neither.
    const auto move = [&](std::uint64_t to) {
      return errno_of(judge(generation).rename({source[1], &source[20'000]}, {source[to]}, false));
    };
    CHECK(move(kDeepest) == 0);
    CHECK(move(kDeepest + 1) == ENAMETOOLONG);
    // What has come to lie deeper with what was moved.
    CHECK(errno_of(judge(generation).reach(source[kDeepest + 1])) == 0);
    CHECK(errno_of(judge(generation).reach(source[kDeepest + 3])) == ENAMETOOLONG);
  };
  check(std::nullopt);
  // Also where ways are known in part.
  for (int i = 0; i < 3; ++i)
    check(1);
}

TEST_CASE("a look that others wait for reads no more of its ways than it may") {
  MemorySource source;
  for (std::uint64_t id = 2; id <= 100; ++id)
    source.add(node(id, NodeKind::Directory, 0755, 0, 0, id - 1));
  const Caller caller = user(10'002);
  PathCache cache;
  const auto judge = [&](std::uint64_t generation) {
    return Judge({.caller = caller,
                  .source = source,
                  .volume = VolumeId(1),
                  .cache = &cache,
                  .generation = generation,
                  .most_steps = 50});
  };
  const auto refused = judge(1).reach(source[100]);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == common::ErrorCode::Overloaded);
  CHECK(refused.error().retry_after.count() > 0);
  CHECK(errno_of(judge(1).reach(source[40])) == 0);
  // What is known costs nothing: looked at before, without others waiting.
  Judge before({.caller = caller,
                .source = source,
                .volume = VolumeId(1),
                .cache = &cache,
                .generation = 1});
  CHECK(errno_of(before.reach(source[100])) == 0);
  CHECK(errno_of(judge(1).reach(source[100])) == 0);
}

TEST_CASE("a way of ten thousand directories is walked without recursion") {
  MemorySource source;
  for (std::uint64_t id = 2; id <= 10'001; ++id)
    source.add(node(id, NodeKind::Directory, 0755, 0, 0, id - 1));
  const Caller caller = user(10'002);
  Judge judge({.caller = caller, .source = source, .volume = VolumeId(1)});
  CHECK(errno_of(judge.reach(source[10'001])) == 0);
  source[2].mode = 0;
  Judge later({.caller = caller, .source = source, .volume = VolumeId(1)});
  CHECK(errno_of(later.reach(source[10'001])) == ENOENT);
}

TEST_CASE("an owner stores his file though its bits say no, where he could get at it") {
  Tree tree;
  const Caller owner = user(10'001);
  tree.source[4].mode = 0444;
  CHECK(errno_of(tree.judge(owner).open(tree.source[4], {.write = true})) == EACCES);
  CHECK(errno_of(tree.judge(owner).store(tree.source[4])) == 0);
  CHECK(errno_of(tree.judge(user(10'002)).store(tree.source[4])) == EACCES);
  CHECK(errno_of(tree.judge(owner).set_attributes(tree.source[4], {.size = true})) == EACCES);
  tree.source[4].mode = 0;
  CHECK(errno_of(tree.judge(owner).fetch(tree.source[4])) == 0);
  CHECK(errno_of(tree.judge(user(10'002)).fetch(tree.source[4])) == EACCES);
  // Under a list it takes r, and w or i.
  const auto with = [&](std::uint8_t rights) {
    tree.source.set_list(3, {{AclWho::User, 10'001, rights, false}});
    return std::pair(errno_of(tree.judge(owner).fetch(tree.source[4])),
                     errno_of(tree.judge(owner).store(tree.source[4])));
  };
  CHECK(with(right::kLookup) == std::pair(EACCES, EACCES));
  CHECK(with(right::kLookup | right::kRead) == std::pair(0, EACCES));
  CHECK(with(right::kLookup | right::kInsert) == std::pair(EACCES, 0));
  CHECK(with(right::kLookup | right::kWrite) == std::pair(EACCES, 0));
  CHECK(with(right::kRead | right::kWrite) == std::pair(ENOENT, ENOENT));
}

TEST_CASE("the right is judged before the name is looked at") {
  Tree tree;
  const Caller caller = user(10'002);
  CHECK(errno_of(tree.judge(caller).remove_from(tree.source[3])) == EACCES);
  CHECK(errno_of(tree.judge(caller).rename({tree.source[3]}, {tree.source[5]}, false)) == EACCES);
  CHECK(errno_of(tree.judge(caller).rename({tree.source[5]}, {tree.source[3]}, false)) == EACCES);
  CHECK(errno_of(tree.judge(caller).rename({tree.source[5]}, {tree.source[5]}, false)) == 0);
}

TEST_CASE("under a list a directory that moves needs 'w' of its own, an exchange 'i' on both") {
  Tree tree;
  const Caller caller = user(10'002);
  const Attributes& moved = tree.source.add(node(6, NodeKind::Directory, 0777, 1, 1, 5));
  tree.source.add(node(7, NodeKind::Directory, 0777, 0, 0, 1));
  const auto rename = [&](bool exchange) {
    return errno_of(tree.judge(caller).rename(
        {tree.source[5], &moved}, {tree.source[7], exchange ? &tree.source[3] : nullptr},
        exchange));
  };
  CHECK(rename(false) == 0);
  tree.source.set_list(6, {{AclWho::AnyUser, 0, right::kLookup, false}});
  CHECK(rename(false) == EACCES);
  tree.source.set_list(6, {{AclWho::AnyUser, 0, right::kLookup | right::kWrite, false}});
  CHECK(rename(false) == 0);
  tree.source.set_list(5, {{AclWho::AnyUser, 0, right::kLookup | right::kDelete, false}});
  CHECK(rename(false) == 0);
  tree.source[3].mode = 0777;
  CHECK(rename(true) == EACCES);
  tree.source.set_list(5, {{AclWho::AnyUser, 0, right::kAll, false}});
  CHECK(rename(true) == 0);
}

TEST_CASE("namespaces of extended attributes") {
  Tree tree;
  const Caller owner = user(10'001);
  const Caller other = user(10'002);
  const Attributes& file = tree.source[4];
  const auto get = [&](const Caller& caller, std::string_view name) {
    return errno_of(tree.judge(caller).get_xattr(file, name));
  };
  const auto set = [&](const Caller& caller, std::string_view name) {
    return errno_of(tree.judge(caller).set_xattr(file, name));
  };
  CHECK(get(other, "user.x") == 0);
  CHECK(set(other, "user.x") == EACCES);
  CHECK(set(owner, "user.x") == 0);
  CHECK(get(owner, "trusted.x") == ENODATA);
  CHECK(set(owner, "trusted.x") == EPERM);
  CHECK(get(administrator(), "trusted.x") == 0);
  CHECK(set(administrator(), "security.x") == 0);
  CHECK(set(owner, "security.x") == EPERM);
  CHECK(get(other, "security.x") == 0);
  for (const char* name : {"system.posix_acl_access", "plain", "user.", "troth", ""})
    CHECK(set(administrator(), name) == EOPNOTSUPP);
  CHECK(set(administrator(), "troth.acl") == EPERM);
  CHECK(get(administrator(), "troth.acl") == ENODATA);
  CHECK_FALSE(is_told(administrator(), "troth.acl"));
  CHECK_FALSE(is_told(owner, "trusted.x"));
  CHECK(is_told(administrator(), "trusted.x"));
  CHECK(is_told(other, "user.x"));
  const Attributes fifo = node(9, NodeKind::Fifo, 0666, 10'001, 1, 3);
  CHECK(errno_of(tree.judge(owner).set_xattr(fifo, "user.x")) == EPERM);
  CHECK(errno_of(tree.judge(owner).get_xattr(fifo, "user.x")) == ENODATA);
  tree.source[5].mode = 01777;
  CHECK(errno_of(tree.judge(other).set_xattr(tree.source[5], "user.x")) == EPERM);
}

TEST_CASE("devices are for administrators, after the right to create") {
  Tree tree;
  const Caller caller = user(10'002);
  for (const NodeKind kind : {NodeKind::CharacterDevice, NodeKind::BlockDevice}) {
    CHECK(errno_of(tree.judge(caller).make(tree.source[5], kind)) == EPERM);
    CHECK(errno_of(tree.judge(caller).make(tree.source[3], kind)) == EACCES);
    CHECK(errno_of(tree.judge(local(0, 0)).make(tree.source[5], kind)) == 0);
  }
  CHECK(errno_of(tree.judge(caller).make(tree.source[5], NodeKind::Fifo)) == 0);
}

TEST_CASE("reading the past needs the right now and then") {
  const Caller caller = user(10'002);
  const auto read = [&](std::uint32_t mode) {
    return may(caller, Need::ReadFile, node(4, NodeKind::File, mode, 1, 1, 3), nullptr, NodeId(3));
  };
  CHECK(Judge::both(read(0644), read(0644)).allowed);
  CHECK_FALSE(Judge::both(read(0644), read(0600)).allowed);
  CHECK_FALSE(Judge::both(read(0600), read(0644)).allowed);
  CHECK(Judge::both(read(0644), read(0600)).rule == Rule::Then);
}

TEST_CASE("a refusal names the rule, and what would help") {
  Tree tree;
  const auto why = [&](const Caller& caller, std::string_view operation, const Subject& subject) {
    Judge judge = tree.judge(caller);
    const auto verdict = judge_by_name(judge, operation, subject);
    REQUIRE_OK(verdict);
    return explain(*verdict, caller);
  };
  const Attributes& file = tree.source[4];
  CHECK(why(user(10'002), "write", {&file}) ==
        "mode 0644 of node 4 (owner 10001, group 10001) does not let others write it");
  CHECK(why(user(10'002), "read", {&file}) ==
        "mode 0644 of node 4 (owner 10001, group 10001) lets others read it");
  CHECK(why(anybody(), "write", {&file}) ==
        "mode 0644 of node 4 (owner 10001, group 10001) does not let others write it; you have no "
        "ticket: troth login");
  CHECK(why(user(10'002), "chmod", {&file}) ==
        "only the owner 10001 of node 4 or who has 'a' in its list changes that");
  CHECK(why(administrator(), "write", {&file}) == "you are an administrator");
  tree.source.set_list(3, {{AclWho::AnyUser, 0, right::kLookup | right::kRead, false},
                           {AclWho::Group, 10'100, right::kRead, true}});
  CHECK(why(user(10'002, {10'100}), "read", {&file}) ==
        "the list of directory 3 denies 'r' to group 10100");
  CHECK(why(user(10'002), "read", {&file}) == "the list of directory 3 grants 'r' to anyuser");
  CHECK(why(user(10'002), "create", {nullptr, &tree.source[3]}) ==
        "the list of directory 3 grants 'i' to nobody that you are");
  tree.source[4].mode = 0244;
  CHECK(why(user(10'002), "read", {&file}) ==
        "mode 0244 of node 4 does not let its owner read it, and so nobody");
  Judge judge = tree.judge(administrator());
  CHECK_FAILS(judge_by_name(judge, "fly", {&file}), common::ErrorCode::InvalidArgument);
  CHECK_FAILS(judge_by_name(judge, "unlink", {&file}), common::ErrorCode::InvalidArgument);
}

TEST_CASE("of what the caller may not know of nothing is said") {
  Tree tree;
  const Caller caller = user(10'002);
  tree.source[2].mode = 0700;
  const auto status = enforce(tree.judge(caller).open(tree.source[4], {.read = true}), caller);
  REQUIRE_FALSE(status.has_value());
  CHECK(status.error().code == common::ErrorCode::NotFound);
  CHECK(status.error().error_number == ENOENT);
  CHECK(status.error().message == "there is no such node");
  tree.source[2].mode = 0755;
  const auto refused = enforce(tree.judge(caller).open(tree.source[4], {.write = true}), caller);
  CHECK(refused.error().code == common::ErrorCode::PermissionDenied);
  CHECK(refused.error().error_number == EACCES);
}
