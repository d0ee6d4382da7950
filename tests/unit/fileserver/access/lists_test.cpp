// Access lists: what they grant, their stored form, links between them.

#include <cerrno>

#include "common/wire/hex.hpp"
#include "memory_source.hpp"
#include "tests/support/test.hpp"

using namespace access_test;
using common::fileproto::AclWho;

namespace {

constexpr std::uint8_t kReadOnly = right::kRead | right::kLookup;

AclEntry grant(AclWho who, std::uint32_t id, std::uint8_t rights) {
  return {who, id, rights, false};
}
AclEntry deny(AclWho who, std::uint32_t id, std::uint8_t rights) {
  return {who, id, rights, true};
}

}  // namespace

TEST_CASE("a list grants by user, group, host, anyuser and authuser, and denials count over") {
  const Acl acl{grant(AclWho::User, 10'001, right::kAll),
                grant(AclWho::Group, 10'100, kReadOnly | right::kInsert),
                grant(AclWho::Host, 20'000, right::kLock),
                grant(AclWho::AnyUser, 0, right::kLookup),
                grant(AclWho::AuthUser, 0, right::kRead),
                deny(AclWho::User, 10'002, right::kRead),
                deny(AclWho::Group, 10'200, right::kInsert | right::kLookup)};
  CHECK(rights_of(user(10'001), acl) == right::kAll);
  CHECK(rights_of(user(10'003), acl) == kReadOnly);
  CHECK(rights_of(user(10'003, {10'100}), acl) == (kReadOnly | right::kInsert));
  CHECK(rights_of(user(10'002, {10'100}), acl) == (right::kLookup | right::kInsert));
  CHECK(rights_of(user(10'003, {10'100, 10'200}), acl) == right::kRead);
  CHECK(rights_of(user(10'001, {10'200}), acl) ==
        (right::kAll & ~(right::kInsert | right::kLookup)));
  CHECK(rights_of(anybody(), acl) == right::kLookup);
  // A local user is to a list what his host is, whoever he is there.
  CHECK(rights_of(local(10'001, 10'100), acl) == (right::kLock | right::kLookup));
}

TEST_CASE("under a list group and others mean nothing, and the owner's bits restrict everybody") {
  const Caller owner = user(10'001);
  const Caller friendly = user(10'002);
  const Acl acl{grant(AclWho::User, 10'002, right::kRead | right::kWrite)};
  int wrong = 0;
  for (std::uint32_t mode = 0; mode <= 0777; ++mode) {
    const Attributes file = node(3, NodeKind::File, mode, 10'001, 10'001, 2);
    const auto allows = [&](const Caller& caller, Need need) {
      return may(caller, need, file, &acl, NodeId(2)).allowed;
    };
    wrong += allows(friendly, Need::ReadFile) != ((mode & 0400) != 0);
    wrong += allows(friendly, Need::WriteFile) != ((mode & 0200) != 0);
    wrong += allows(friendly, Need::ExecuteFile) != ((mode & 0100) != 0);
    wrong += allows(owner, Need::ReadFile);
    // A directory's own mode says nothing under its list.
    const Attributes directory = node(2, NodeKind::Directory, mode, 10'001, 10'001, 1);
    wrong += may(friendly, Need::Search, directory, &acl, NodeId(2)).allowed;
    const Acl open{grant(AclWho::AnyUser, 0, right::kLookup | right::kInsert)};
    wrong += !may(friendly, Need::Search, directory, &open, NodeId(2)).allowed;
    wrong += !may(friendly, Need::Insert, directory, &open, NodeId(2)).allowed;
    wrong += may(friendly, Need::Delete, directory, &open, NodeId(2)).allowed;
  }
  CHECK(wrong == 0);
}

TEST_CASE("everybody has what anyuser is granted and nobody is denied") {
  const Attributes file = node(3, NodeKind::File, 0600, 1, 1, 2);
  const Attributes directory = node(2, NodeKind::Directory, 0, 1, 1, 1);
  const Acl all{grant(AclWho::AnyUser, 0, right::kAll)};
  CHECK(everybodys_bits(file, &all) == 6);
  CHECK(everybodys_bits(directory, &all) == 7);
  const Acl but_one{grant(AclWho::AnyUser, 0, right::kAll),
                    deny(AclWho::User, 10'001, right::kRead | right::kDelete)};
  CHECK(everybodys_bits(file, &but_one) == 2);
  CHECK(everybodys_bits(directory, &but_one) == 5);
  const Acl tickets{grant(AclWho::AuthUser, 0, right::kAll)};
  CHECK(everybodys_bits(directory, &tickets) == 0);
}

TEST_CASE("each right opens what it is for, and nothing else") {
  MemorySource source;
  source.add(node(2, NodeKind::Directory, 0, 1, 1, 1));
  const Attributes& file = source.add(node(3, NodeKind::File, 0777, 1, 1, 2));
  source.add(node(4, NodeKind::Directory, 0, 1, 1, 2));
  source.set_list(4, {grant(AclWho::AnyUser, 0, right::kAll)});
  const Caller caller = user(10'001);
  const auto allowed = [&](std::uint8_t rights) {
    source.set_list(2, {grant(AclWho::User, 10'001, rights)});
    Judge judge({.caller = caller, .source = source, .volume = VolumeId(1)});
    const Attributes& directory = source[2];
    std::string letters;
    const auto add = [&](char letter, const Result<Verdict>& verdict) {
      REQUIRE_OK(verdict);
      if (verdict->allowed)
        letters += letter;
    };
    add('r', judge.open(file, {.read = true}));
    add('l', judge.list(directory));
    add('s', judge.search(directory));
    add('i', judge.make(directory, NodeKind::File));
    add('d', judge.remove(directory, file));
    add('w', judge.open(file, {.write = true}));
    add('k', judge.lock(file));
    add('a', judge.set_attributes(file, {.mode = 0600}));
    add('A', judge.set_list(directory));
    return letters;
  };
  CHECK(allowed(right::kLookup) == "ls");
  CHECK(allowed(right::kLookup | right::kRead) == "rls");
  CHECK(allowed(right::kLookup | right::kInsert) == "lsi");
  CHECK(allowed(right::kLookup | right::kDelete) == "lsd");
  CHECK(allowed(right::kLookup | right::kWrite) == "lsw");
  CHECK(allowed(right::kLookup | right::kLock) == "lsk");
  CHECK(allowed(right::kLookup | right::kAdminister) == "lsaA");
  // Without l nothing of what is in it can be reached; the list itself is the directory's.
  CHECK(allowed(right::kAll & ~right::kLookup) == "A");
  CHECK(allowed(right::kAll) == "rlsidwkaA");
}

TEST_CASE("R27: links between lists need 'a' on both") {
  MemorySource source;
  source.add(node(2, NodeKind::Directory, 0777, 1, 1, 1));
  source.add(node(3, NodeKind::Directory, 0777, 1, 1, 1));
  const Attributes& file = source.add(node(4, NodeKind::File, 0666, 10'001, 1, 2));
  const Caller caller = user(10'001);
  const auto link = [&](const Caller& who, std::uint64_t directory) {
    Judge judge({.caller = who, .source = source, .volume = VolumeId(1)});
    const auto verdict = judge.link(file, source[directory]);
    REQUIRE_OK(verdict);
    return verdict->error_number;
  };
  const Acl insert{grant(AclWho::AnyUser, 0, right::kAll & ~right::kAdminister)};
  const Acl own{grant(AclWho::AnyUser, 0, right::kAll)};
  CHECK(link(caller, 3) == 0);
  source.set_list(2, insert);
  CHECK(link(caller, 3) == EPERM);
  source.set_list(3, insert);  // the same list
  CHECK(link(caller, 3) == 0);
  source.set_list(3, own);
  CHECK(link(caller, 3) == EPERM);
  source.set_list(2, own);
  source.set_list(3, {grant(AclWho::User, 10'001, right::kAll)});
  CHECK(link(caller, 3) == 0);
  CHECK(link(user(10'002), 3) == EACCES);
  source.set_list(3, insert);
  CHECK(link(administrator(), 3) == 0);
  CHECK(link(caller, 2) == 0);  // in its own directory
  // Of a node without a name the first link is a creation.
  source[4].links = 0;
  Judge judge({.caller = caller, .source = source, .volume = VolumeId(1), .holds = [](NodeId id) {
                 return id == NodeId(4);
               }});
  CHECK(judge.link(source[4], source[3])->allowed);
}

TEST_CASE("lists have one stored form") {
  const Acl messy{grant(AclWho::AuthUser, 0, right::kRead), deny(AclWho::User, 7, right::kWrite),
                  grant(AclWho::User, 7, right::kLookup), grant(AclWho::User, 7, right::kRead),
                  grant(AclWho::Group, 9, 0)};
  const auto acl = canonical(messy);
  REQUIRE_OK(acl);
  CHECK(acl->size() == 3);
  CHECK(common::wire::to_hex(encode_acl(*acl)) ==
        "010003"
        "01000000070300"
        "01000000071001"
        "05000000000100");
  CHECK(decode_acl(encode_acl(*acl)).value() == *acl);
  CHECK(encode_acl({}) == common::Bytes{std::byte{1}, std::byte{0}, std::byte{0}});
  CHECK(decode_acl(encode_acl({})).value().empty());
}

TEST_CASE("nothing but that form is a stored list") {
  const Acl acl =
      canonical({grant(AclWho::User, 7, right::kLookup), deny(AclWho::AnyUser, 0, right::kAll)})
          .value();
  const common::Bytes bytes = encode_acl(acl);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_FAILS(decode_acl(common::ByteView(bytes).first(size)), common::ErrorCode::Corrupt);
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    common::Bytes changed = bytes;
    changed[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    const auto decoded = decode_acl(changed);
    if (decoded)
      CHECK(encode_acl(*decoded) == changed);
  }
  common::Bytes longer = bytes;
  longer.push_back(std::byte{0});
  CHECK_FAILS(decode_acl(longer), common::ErrorCode::Corrupt);
}

TEST_CASE("lists are refused that name nobody, or too many") {
  CHECK_FAILS(canonical({grant(AclWho::User, 0, right::kRead)}),
              common::ErrorCode::InvalidArgument);
  CHECK_FAILS(canonical({grant(AclWho::AnyUser, 5, right::kRead)}),
              common::ErrorCode::InvalidArgument);
  Acl many;
  for (std::uint32_t id = 1; id <= 64; ++id)
    many.push_back(grant(AclWho::User, id, right::kRead));
  CHECK_OK(canonical(many));
  many.push_back(grant(AclWho::User, 65, right::kRead));
  CHECK_FAILS(canonical(many), common::ErrorCode::TooLarge);
}
