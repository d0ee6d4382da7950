#include "kdc/password_rules.hpp"
#include "tests/unit/kdc/kdc_fixture.hpp"

using namespace kdc_test;

TEST_CASE_FIXTURE(Fixture,
                  "each kind has a default, and named policies apply to whom they are given") {
  CHECK(db->policies().of(Kind::User, "")->ticket_life == 10h);
  CHECK(db->policies().of(Kind::User, "")->renewable_life == std::chrono::days(7));
  CHECK(db->policies().of(Kind::Service, "")->renewable_life == Millis(0));
  kdc::Policy strict{.name = "strict", .ticket_life = 1h, .min_length = 14};
  REQUIRE_OK(db->policies().set(admin, strict));
  add_user("alice");
  CHECK_FAILS(db->principals().set_policy(admin, "alice", "absent"), ErrorCode::NotFound);
  REQUIRE_OK(db->principals().set_policy(admin, "alice", "strict"));
  CHECK(db->policies().of(Kind::User, (*db->principals().find("alice"))->policy)->ticket_life ==
        1h);
  // Services have their key: nothing of theirs is renewable.
  CHECK(db->policies().of(Kind::Service, "strict")->renewable_life == Millis(0));
  CHECK_FAILS(db->policies().remove(admin, "strict"), ErrorCode::Conflict);
  REQUIRE_OK(db->principals().set_policy(admin, "alice", ""));
  CHECK_OK(db->policies().remove(admin, "strict"));
  CHECK_FAILS(db->policies().remove(admin, "strict"), ErrorCode::NotFound);
  CHECK_FAILS(db->policies().remove(admin, "user"), ErrorCode::Conflict);
  CHECK(db->policies().list()->size() == 3);
}

TEST_CASE("no policy goes beyond the protocol's bounds") {
  const kdc::Policy good{.name = "p"};
  CHECK_OK(kdc::check_policy(good));
  const auto with = [&](auto change) {
    kdc::Policy policy = good;
    change(policy);
    return kdc::check_policy(policy);
  };
  using P = kdc::Policy;
  for (const auto& bad : std::vector<Status>{
           with([](P& p) { p.name = "Bad"; }), with([](P& p) { p.ticket_life = 24h + 1ms; }),
           with([](P& p) { p.ticket_life = 59s; }), with([](P& p) { p.ticket_life = Millis(-1); }),
           with([](P& p) { p.renewable_life = std::chrono::days(30) + 1ms; }),
           with([](P& p) { p.renewable_life = Millis(-1); }), with([](P& p) { p.min_length = 0; }),
           with([](P& p) { p.min_length = 129; }), with([](P& p) { p.min_classes = 0; }),
           with([](P& p) { p.min_classes = 5; }), with([](P& p) { p.history = 11; }),
           with([](P& p) { p.max_age = 1h; })})
    CHECK_FAILS(bad, ErrorCode::InvalidArgument);
}

TEST_CASE(
    "passwords that are guessed first are refused, with a sentence that does not repeat them") {
  kdc::Policy policy{.name = "p", .min_length = 8};
  const auto check = [&](std::string_view password) {
    const Status status =
        kdc::check_password(policy, "alice", Secret::copy_of(common::as_bytes(password)));
    if (!status && password != "password")
      CHECK(status.error().message.find(password) == std::string::npos);
    return status;
  };
  for (const std::string_view good : {"correct horse", "Tr0ub4dor&3x", "grün-weiß-gelb",
                                      "xkcd-936-is-fun", "my alice is far away"})
    CHECK_OK(check(good));
  for (const std::string_view bad :
       {"short", "1234567", "password", "Password123!", "12345678", "qwertyuiop", "aaaaaaaaaa",
        "abababababab", "alice123", "xALICEx1", "tab\tinside it", "iloveyou2024", "87654321"})
    CHECK_FAILS(check(bad), ErrorCode::InvalidArgument);
  CHECK_FAILS(check(std::string_view("bad utf8 \xc3\x28 here")), ErrorCode::InvalidArgument);
  CHECK_FAILS(check(std::string_view("nul\0inside", 10)), ErrorCode::InvalidArgument);
  CHECK_FAILS(check(std::string(1025, 'x')), ErrorCode::InvalidArgument);
  policy.min_classes = 3;
  CHECK_FAILS(check("correct horse"), ErrorCode::InvalidArgument);
  CHECK_OK(check("Correct horse"));
}
