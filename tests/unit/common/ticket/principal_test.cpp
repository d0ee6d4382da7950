#include "common/ticket/principal.hpp"

#include "tests/support/test.hpp"

using namespace common;
using namespace common::ticket;

namespace {

std::string many(std::size_t count, char of) {
  return std::string(count, of);
}

}  // namespace

TEST_CASE("names of users") {
  for (const std::string& good : {std::string("a"), std::string("alice"), std::string("a.b_c-9"),
                                  many(64, 'x'), std::string("systems")}) {
    CAPTURE(good);
    CHECK_OK(check_user_name(good));
    CHECK(kind_of(good) == Kind::User);
  }
  for (const std::string& bad :
       {std::string(), std::string("Alice"), std::string("9a"), std::string(".a"),
        std::string("-a"), std::string("a b"), std::string("a/b/c"), std::string("a:b"),
        std::string("system"), many(65, 'x'), std::string("a\0b", 3), std::string("\xC3\xA4"),
        std::string("a\n"), std::string("a@cell"), std::string("%s")}) {
    CAPTURE(bad);
    CHECK_FAILS(check_user_name(bad), ErrorCode::InvalidArgument);
  }
}

TEST_CASE("names of services and hosts") {
  for (const std::string& good :
       {std::string("kdc/tgs"), std::string("fileserver/fs1"), std::string("a-1/A.b_C-9"),
        many(32, 's') + "/" + many(64, 'I'), std::string("hosts/x")}) {
    CAPTURE(good);
    CHECK_OK(check_service_name(good));
    CHECK(kind_of(good) == Kind::Service);
    CHECK_FAILS(check_host_name(good), ErrorCode::InvalidArgument);
    CHECK_FAILS(check_user_name(good), ErrorCode::InvalidArgument);
  }
  CHECK_OK(check_host_name("host/desk7"));
  CHECK(kind_of("host/desk7") == Kind::Host);
  CHECK_FAILS(check_service_name("host/desk7"), ErrorCode::InvalidArgument);
  for (const std::string& bad :
       {std::string("/"), std::string("a/"), std::string("/a"), std::string("a/b/c"),
        std::string("A/b"), std::string("a.b/c"), std::string("a b/c"), std::string("a/b c"),
        many(33, 's') + "/x", "x/" + many(65, 'i'), std::string("host/"), std::string("host/a/b"),
        std::string("a/\xFF"), std::string("a/b\0", 4)}) {
    CAPTURE(bad);
    CHECK_FAILS(check_service_name(bad), ErrorCode::InvalidArgument);
    CHECK_FAILS(check_host_name(bad), ErrorCode::InvalidArgument);
    CHECK_FAILS(kind_of(bad), ErrorCode::InvalidArgument);
  }
}

TEST_CASE("names of groups") {
  for (const std::string& good : {std::string("alice:friends"), std::string("system:anyuser"),
                                  std::string("a:1"), many(64, 'a') + ":" + many(64, 'b')})
    CHECK_OK(check_group_name(good));
  for (const std::string& bad :
       {std::string(), std::string("alice"), std::string("alice:"), std::string(":friends"),
        std::string("alice:Friends"), std::string("alice:a:b"), std::string("9:a"),
        std::string("kdc/tgs:a"), many(65, 'a') + ":b", "a:" + many(65, 'b')}) {
    CAPTURE(bad);
    CHECK_FAILS(check_group_name(bad), ErrorCode::InvalidArgument);
  }
}

TEST_CASE("ids of cells, and kinds beside names") {
  CHECK_OK(check_cell_id("c0ffee0000000001"));
  CHECK_OK(check_cell_id(many(64, 'A')));
  for (const std::string& bad :
       {std::string(), many(65, 'a'), std::string("a.b"), std::string("a/b")})
    CHECK_FAILS(check_cell_id(bad), ErrorCode::InvalidArgument);
  CHECK_OK(check_name(Kind::Host, "host/a"));
  CHECK_FAILS(check_name(Kind::Service, "host/a"), ErrorCode::InvalidArgument);
  CHECK_FAILS(check_name(static_cast<Kind>(0), "alice"), ErrorCode::InvalidArgument);
  CHECK_FAILS(check_name(static_cast<Kind>(4), "alice"), ErrorCode::InvalidArgument);
  CHECK(to_string(Kind::User) == "user");
  CHECK(to_string(Kind::Service) == "service");
  CHECK(to_string(Kind::Host) == "host");
  CHECK(to_string(static_cast<Kind>(9)) == "unknown");
}
