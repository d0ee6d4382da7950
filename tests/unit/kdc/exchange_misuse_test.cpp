// Messages where they do not belong, moved, cut or changed.

#include "common/ticket/proof.hpp"
#include "exchange_fixture.hpp"

using namespace kdc_test;

TEST_CASE_FIXTURE(Exchanging, "a proof is worth nothing on another connection") {
  const auto want = wanted("root");
  const auto request = ticket::begin_as(want, root_key, channel);
  REQUIRE_OK(request);
  ticket::Channel other = channel;
  other[31] = std::byte{9};
  CHECK_FAILS(exchanges().as(*request, other, address), ErrorCode::Unauthenticated);
  CHECK_OK(exchanges().as(*request, channel, address));

  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto tgs_request = ticket::begin_tgs({.service = "fileserver/fs1"}, *tgt, channel);
  REQUIRE_OK(tgs_request);
  CHECK_FAILS(exchanges().tgs(*tgs_request, other, address), ErrorCode::Unauthenticated);
}

TEST_CASE_FIXTURE(Exchanging,
                  "F42: only a TGT is a TGT, and only a service's own tickets are its own") {
  const auto tgt = as("root", root_key);
  const auto admin = as("root", root_key, kdc::kAdminService);
  REQUIRE_OK(tgt);
  REQUIRE_OK(admin);
  const auto one = tgs(*tgt, "fileserver/fs1");
  const auto two = tgs(*tgt, "fileserver/fs2");
  REQUIRE_OK(one);
  REQUIRE_OK(two);
  // As a TGT.
  for (const auto* credential : {&*one, &*two, &*admin})
    CHECK_FAILS(tgs(*credential, "fileserver/fs1"), ErrorCode::Unauthenticated);
  // At a service.
  const auto fs1 = server.files().keytab("fileserver/fs1");
  const auto fs2 = server.files().keytab("fileserver/fs2");
  CHECK_OK(shown(*one, fs1));
  CHECK_OK(shown(*two, fs2));
  for (const auto* credential : {&*tgt, &*admin, &*two})
    CHECK_FAILS(shown(*credential, fs1), ErrorCode::Unauthenticated);
  for (const auto* credential : {&*tgt, &*admin, &*one})
    CHECK_FAILS(shown(*credential, fs2), ErrorCode::Unauthenticated);
  // At the KDC's own session.
  const auto at_admin = [&](const ticket::Credential& credential) {
    const auto ap = ticket::ApExchange::begin(credential, channel);
    REQUIRE_OK(ap);
    return server.kdc().own_keys().admin()->accept(ap->request(), channel);
  };
  CHECK_OK(at_admin(*admin));
  for (const auto* credential : {&*tgt, &*one, &*two})
    CHECK_FAILS(at_admin(*credential), ErrorCode::Unauthenticated);
}

TEST_CASE_FIXTURE(Exchanging, "F42: no message of one exchange is taken for one of another") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto credential = tgs(*tgt, "fileserver/fs1");
  REQUIRE_OK(credential);
  const auto as_want = wanted("root");
  const ticket::TgsWanted tgs_want{.service = "fileserver/fs1"};
  const auto as_request = ticket::begin_as(as_want, root_key, channel);
  const auto tgs_request = ticket::begin_tgs(tgs_want, *tgt, channel);
  REQUIRE_OK(as_request);
  REQUIRE_OK(tgs_request);
  const auto as_reply = exchanges().as(*as_request, channel, address);
  const auto tgs_reply = exchanges().tgs(*tgs_request, channel, address);
  const auto ap = ticket::ApExchange::begin(*credential, channel);
  const auto proof =
      ticket::make_travelling_proof(*credential, {}, {}, kdc::time_now(server.clock));
  REQUIRE_OK(as_reply);
  REQUIRE_OK(tgs_reply);
  REQUIRE_OK(ap);
  REQUIRE_OK(proof);
  ticket::Verifier verifier(std::string(KdcFiles::kCell), "fileserver/fs1", server.clock);
  REQUIRE_OK(verifier.set_keys(server.files().keytab("fileserver/fs1")));
  const std::vector<std::pair<const char*, Bytes>> all{
      {"as-req", *as_request},   {"as-rep", *as_reply},
      {"tgs-req", *tgs_request}, {"tgs-rep", *tgs_reply},
      {"ap-req", ap->request()}, {"proof", *proof},
      {"ticket", tgt->ticket},   {"service ticket", credential->ticket}};
  const auto now = server.clock.now();
  for (const auto& row : all) {
    const Bytes& bytes = row.second;
    const std::string_view is(row.first);
    CAPTURE(is);
    CHECK(exchanges().as(bytes, channel, address).has_value() == (is == "as-req"));
    CHECK(exchanges().tgs(bytes, channel, address).has_value() == (is == "tgs-req"));
    CHECK(verifier.accept(bytes, channel).has_value() == (is == "ap-req"));
    CHECK(ticket::finish_as(as_want, root_key, *as_request, bytes, now).has_value() ==
          (is == "as-rep"));
    CHECK(ticket::finish_tgs(tgs_want, *tgt, *tgs_request, bytes, now).has_value() ==
          (is == "tgs-rep"));
    CHECK(!ap->finish(bytes));
  }
}

TEST_CASE_FIXTURE(Exchanging, "every bit of an AS or TGS request counts, and so does its length") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto want = wanted("root");
  const auto as_request = ticket::begin_as(want, root_key, channel);
  const auto tgs_request = ticket::begin_tgs({.service = "fileserver/fs1"}, *tgt, channel);
  REQUIRE_OK(as_request);
  REQUIRE_OK(tgs_request);
  const auto try_all = [&](const Bytes& request, auto&& run) {
    for (std::size_t size = 0; size < request.size(); ++size)
      CHECK(!run(ByteView(request).first(size)));
    for (std::size_t bit = 0; bit < request.size() * 8; ++bit) {
      Bytes changed = request;
      changed[bit / 8] ^= std::byte{1} << (bit % 8);
      CAPTURE(bit);
      CHECK(!run(changed));
    }
  };
  try_all(*as_request, [&](ByteView bytes) {
    server.clock.advance(15s);  // so that no limit ends the test
    return exchanges().as(bytes, channel, address);
  });
  // The clock has moved on: a ticket of the same age again.
  const auto fresh = as("root", root_key);
  REQUIRE_OK(fresh);
  const auto again = ticket::begin_tgs({.service = "fileserver/fs1"}, *fresh, channel);
  REQUIRE_OK(again);
  CHECK_OK(exchanges().tgs(*again, channel, address));
  try_all(*again, [&](ByteView bytes) { return exchanges().tgs(bytes, channel, address); });
}

TEST_CASE_FIXTURE(Exchanging, "another cell's requests are refused whatever they ask") {
  auto want = wanted("root");
  want.cell = "cell-0002";
  CHECK_FAILS(as(want, root_key), ErrorCode::InvalidArgument);
}
