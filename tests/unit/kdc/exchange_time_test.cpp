// Clocks, lifetimes, renewal, and keys that are replaced.

#include "exchange_fixture.hpp"

using namespace kdc_test;

TEST_CASE_FIXTURE(Exchanging,
                  "with a password that has ended, setting a new one is all that is left") {
  const Secret alice = add_user("alice");
  const auto end = kdc::time_now(server.clock) + 24h * 20;
  REQUIRE_OK(database().principals().set_password_end(root(), "alice", end));
  auto tgt = as("alice", alice);
  REQUIRE_OK(tgt);
  CHECK(tgt->password_end == end);
  CHECK(!tgt->password_ends_soon);
  server.clock.advance(24h * 7);
  tgt = as("alice", alice);
  REQUIRE_OK(tgt);
  CHECK(tgt->password_ends_soon);
  server.clock.advance(24h * 14);
  const auto answer = as("alice", alice);
  CHECK_FAILS(answer, ErrorCode::Expired);
  CHECK(test_support::said(answer) ==
        "expired: the password of alice has ended; set a new one: troth passwd alice");
  CHECK_OK(as("alice", alice, kdc::kAdminService));
}

TEST_CASE_FIXTURE(Exchanging,
                  "a TGT is renewed until its time, and what follows from it ends with it") {
  auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto till = *tgt->validity.renew_till;
  for (int i = 0; i < 33; ++i) {
    server.clock.advance(5h);
    if (kdc::time_now(server.clock) >= till)
      break;
    auto renewed = tgs(*tgt, "kdc/tgs", true);
    REQUIRE_OK(renewed);
    CHECK(renewed->validity.end <= till);
    CHECK(renewed->validity.renew_till == till);
    CHECK(!renewed->validity.initial);
    tgt = std::move(renewed);
    const auto credential = tgs(*tgt, "fileserver/fs1");
    REQUIRE_OK(credential);
    CHECK(credential->validity.end <= tgt->validity.end);
  }
  CHECK(tgt->validity.end == till);
  server.clock.advance(5h);
  CHECK_FAILS(tgs(*tgt, "kdc/tgs", true), ErrorCode::Expired);
  CHECK_FAILS(tgs(*tgt, "fileserver/fs1"), ErrorCode::Expired);
}

TEST_CASE_FIXTURE(Exchanging, "what asks for a renewal must mean the TGT, and nothing else may") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK(!tgs(*tgt, "kdc/tgs", false));
  CHECK(!tgs(*tgt, "fileserver/fs1", true));
  const auto host = server.files().keytab("host/desk7");
  const auto theirs = as("host/desk7", host.newest()->key);
  REQUIRE_OK(theirs);
  CHECK_FAILS(tgs(*theirs, "kdc/tgs", true), ErrorCode::InvalidArgument);
}

TEST_CASE_FIXTURE(Exchanging,
                  "F27: the KDC's clock rules, and a service off by an hour does as designed") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto credential = tgs(*tgt, "fileserver/fs1", false, 2h);
  REQUIRE_OK(credential);
  // What the client learns is the KDC's time, whatever its own wall clock shows.
  CHECK(credential->kdc_time(server.clock.now()) - kdc::time_now(server.clock) < 1s);
  const auto at = [&](Millis offset) {
    test_support::OffsetClock clock;
    clock.advance(offset);
    ticket::Verifier verifier(std::string(KdcFiles::kCell), "fileserver/fs1", clock);
    REQUIRE_OK(verifier.set_keys(server.files().keytab("fileserver/fs1")));
    const auto ap = ticket::ApExchange::begin(*credential, channel);
    REQUIRE_OK(ap);
    return verifier.accept(ap->request(), channel).map([](const ticket::Accepted&) {});
  };
  CHECK_OK(at(0h));
  CHECK_OK(at(-4min));
  const auto slow = at(-1h);
  CHECK_FAILS(slow, ErrorCode::Unauthenticated);
  CHECK(test_support::said(slow).find("clock") != std::string::npos);
  CHECK_OK(at(1h));  // and ends sessions an hour early
  CHECK_FAILS(at(2h), ErrorCode::Expired);

  // The KDC's own clock set ahead and back: what it gave ends by it.
  server.clock.advance(1h);
  CHECK_OK(tgs(*tgt, "fileserver/fs1"));
  server.clock.advance(-2h);
  CHECK_FAILS(tgs(*tgt, "fileserver/fs1"), ErrorCode::Unauthenticated);
  CHECK_OK(as("root", root_key));
  server.clock.advance(24h * 365 * 10);
  CHECK_FAILS(tgs(*tgt, "fileserver/fs1"), ErrorCode::Expired);
  CHECK_OK(as("root", root_key));
}

TEST_CASE_FIXTURE(Exchanging,
                  "the TGS key is rotated by age while tickets under the old one stay good") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK(tgt->kvno == 1);
  server.clock.advance(24h * 30);
  const auto late = as("root", root_key);
  REQUIRE_OK(late);
  CHECK(late->kvno == 1);
  server.kdc().housekeeping();
  const auto fresh = as("root", root_key);
  REQUIRE_OK(fresh);
  CHECK(fresh->kvno == 2);
  CHECK_OK(tgs(*fresh, "fileserver/fs1"));
  CHECK_OK(tgs(*late, "fileserver/fs1"));
  const auto renewed = tgs(*late, "kdc/tgs", true);
  REQUIRE_OK(renewed);
  CHECK(renewed->kvno == 2);
  server.clock.advance(24h);
  server.kdc().housekeeping();
  CHECK_FAILS(tgs(*late, "fileserver/fs1"), ErrorCode::Unauthenticated);
}

TEST_CASE_FIXTURE(Exchanging, "a TGT under a key that was made this moment is good") {
  server.clock.advance(24h * 30);
  // As housekeeping does it, stopped in the middle.
  REQUIRE_OK(database().keys().rotate_own_keys());
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK(tgt->kvno == 2);
  CHECK_OK(tgs(*tgt, "fileserver/fs1"));
}

TEST_CASE_FIXTURE(Exchanging,
                  "rotating a service's key moves new tickets to it, and --now ends the old") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto before = tgs(*tgt, "fileserver/fs1");
  REQUIRE_OK(before);
  const auto id = *database().principals().id_of("fileserver/fs1");
  const auto kvno = database().keys().rotate(root(), id);
  REQUIRE_OK(kvno);
  CHECK(tgs(*tgt, "fileserver/fs1")->kvno == 1);  // not yet
  REQUIRE_OK(database().keys().activate(root(), id, *kvno, kdc::Overlap::LongestTicket));
  CHECK(tgs(*tgt, "fileserver/fs1")->kvno == 2);
}
