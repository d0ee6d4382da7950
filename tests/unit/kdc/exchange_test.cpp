// Logging in and getting tickets: who gets what.

#include "exchange_fixture.hpp"

using namespace kdc_test;

TEST_CASE_FIXTURE(Exchanging,
                  "a password becomes a TGT, that a service's ticket, that an identity") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK(tgt->client.name == "root");
  CHECK(tgt->client.kind == ticket::Kind::User);
  CHECK(tgt->validity.initial);
  CHECK(tgt->validity.end - tgt->validity.start == 10h);
  REQUIRE(tgt->validity.renew_till);
  CHECK(*tgt->validity.renew_till - tgt->validity.start == 24h * 7);

  const auto credential = tgs(*tgt, "fileserver/fs1");
  REQUIRE_OK(credential);
  CHECK(!credential->validity.initial);
  CHECK(!credential->validity.renew_till);
  CHECK(credential->validity.end == tgt->validity.end);
  CHECK(credential->validity.authenticated == tgt->validity.authenticated);

  const auto accepted = shown(*credential, server.files().keytab("fileserver/fs1"));
  REQUIRE_OK(accepted);
  CHECK(accepted->identity.client.name == "root");
  CHECK(accepted->identity.in_group(ticket::kAdministrators));
  CHECK(accepted->identity.directory == *database().groups().directory_version());
}

TEST_CASE_FIXTURE(Exchanging, "a service and a host log in with their keytabs, without renewal") {
  for (const std::string name : {"fileserver/fs1", "host/desk7"}) {
    CAPTURE(name);
    const auto keytab = server.files().keytab(name);
    const auto tgt = as(name, keytab.newest()->key);
    REQUIRE_OK(tgt);
    CHECK(!tgt->validity.renew_till);
    CHECK_OK(tgs(*tgt, "fileserver/fs2"));
  }
}

TEST_CASE_FIXTURE(Exchanging, "session keys and ticket ids are fresh for every ticket") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto one = tgs(*tgt, "fileserver/fs1");
  const auto two = tgs(*tgt, "fileserver/fs1");
  REQUIRE_OK(one);
  REQUIRE_OK(two);
  CHECK(!common::crypto::constant_time_equal(one->session_key.bytes(), two->session_key.bytes()));
  const auto keytab = server.files().keytab("fileserver/fs1");
  const auto first = shown(*one, keytab);
  const auto second = shown(*two, keytab);
  REQUIRE_OK(first);
  REQUIRE_OK(second);
  CHECK(first->identity.ticket != second->identity.ticket);
}

TEST_CASE_FIXTURE(Exchanging,
                  "a disabled principal learns so with the right key only, and gets nothing") {
  const Secret alice = add_user("alice");
  const auto tgt = as("alice", alice);
  REQUIRE_OK(tgt);
  REQUIRE_OK(database().principals().set_disabled(root(), "alice", true));
  const auto answer = as("alice", alice);
  CHECK_FAILS(answer, ErrorCode::PermissionDenied);
  CHECK(test_support::said(answer) == "permission_denied: alice is disabled; ask an administrator");
  CHECK_FAILS(as("alice", other_key()), ErrorCode::Unauthenticated);
  // Nor by the ticket from before.
  CHECK_FAILS(tgs(*tgt, "fileserver/fs1"), ErrorCode::PermissionDenied);
  CHECK_FAILS(tgs(*tgt, "kdc/tgs", true), ErrorCode::PermissionDenied);
  REQUIRE_OK(database().principals().set_disabled(root(), "alice", false));
  CHECK_OK(tgs(*tgt, "fileserver/fs1"));
  REQUIRE_OK(database().principals().remove(root(), "alice"));
  CHECK(!tgs(*tgt, "fileserver/fs1"));
}

TEST_CASE_FIXTURE(Exchanging,
                  "a long-term key gives TGTs and tickets for administration, nothing else") {
  CHECK_FAILS(as("root", root_key, "fileserver/fs1"), ErrorCode::InvalidArgument);
  CHECK_FAILS(as("root", root_key, "fileserver/none"), ErrorCode::InvalidArgument);
  const auto admin = as("root", root_key, kdc::kAdminService);
  REQUIRE_OK(admin);
  CHECK(admin->validity.initial);
  CHECK(admin->validity.end - admin->validity.start == 5min);
  // One from a TGT is not fresh.
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto later = tgs(*tgt, kdc::kAdminService);
  REQUIRE_OK(later);
  CHECK(!later->validity.initial);
}

TEST_CASE_FIXTURE(Exchanging,
                  "tickets are given for services only: no user's or host's key seals one") {
  add_user("alice");
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK_FAILS(tgs(*tgt, "fileserver/none"), ErrorCode::NotFound);
  CHECK(!tgs(*tgt, "host/desk7"));
  CHECK(!tgs(*tgt, "alice"));
}

TEST_CASE_FIXTURE(Exchanging,
                  "groups are in the ticket as the directory has them when it is made") {
  const Secret alice = add_user("alice");
  const auto friends = database().groups().create(root(), "system:friends");
  const auto wide = database().groups().create(root(), "system:wide");
  REQUIRE_OK(friends);
  REQUIRE_OK(wide);
  const auto tgt = as("alice", alice);
  REQUIRE_OK(tgt);
  const auto groups_now = [&] {
    const auto credential = tgs(*tgt, "fileserver/fs1");
    REQUIRE_OK(credential);
    const auto accepted = shown(*credential, server.files().keytab("fileserver/fs1"));
    REQUIRE_OK(accepted);
    return accepted->identity.groups.size();
  };
  CHECK(groups_now() == 0);
  REQUIRE_OK(
      database().groups().add_member(root(), *friends, *database().principals().id_of("alice")));
  CHECK(groups_now() == 1);
  REQUIRE_OK(database().groups().add_member(root(), *wide, *friends));
  CHECK(groups_now() == 2);
  REQUIRE_OK(
      database().groups().remove_member(root(), *friends, *database().principals().id_of("alice")));
  CHECK(groups_now() == 0);
}

TEST_CASE_FIXTURE(Exchanging, "a ticket of very many groups carries the cell's") {
  const Secret alice = add_user("alice");
  const auto friends = database().groups().create(root(), "system:friends");
  REQUIRE_OK(friends);
  const auto id = *database().principals().id_of("alice");
  REQUIRE_OK(database().groups().add_member(root(), *friends, id));
  REQUIRE_OK(database().core().db().commit([&](common::db::WriteTx& tx) -> common::Status {
    for (std::uint32_t group = 1'000; group < 1'000 + ticket::kMaxGroups; ++group) {
      TROTH_TRY_VOID(tx.run("INSERT INTO user_group VALUES (?1, ?2, ?3, 0, 0)", group,
                            fmt::format("bob:g{}", group), id.value));
      TROTH_TRY_VOID(tx.run("INSERT INTO membership VALUES (?1, ?2)", id.value, group));
    }
    return {};
  }));
  const auto tgt = as("alice", alice);
  REQUIRE_OK(tgt);
  const auto credential = tgs(*tgt, "fileserver/fs1");
  REQUIRE_OK(credential);
  const auto accepted = shown(*credential, server.files().keytab("fileserver/fs1"));
  REQUIRE_OK(accepted);
  CHECK(accepted->identity.groups.size() == ticket::kMaxGroups);
  CHECK(accepted->identity.in_group(*friends));
}

TEST_CASE_FIXTURE(Exchanging, "a key made with weaker parameters than wanted is told so") {
  auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK(!tgt->raise_parameters);
  server.stop();
  server.options.scrypt = *common::crypto::ScryptParameters::make(16, 8, 1);
  server.start();
  tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK(tgt->raise_parameters);
}
