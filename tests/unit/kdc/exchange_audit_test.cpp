// What logins and tickets leave in the audit log, and how much of it.

#include <algorithm>

#include "exchange_fixture.hpp"

using namespace kdc_test;

TEST_CASE_FIXTURE(Exchanging, "every login and ticket is in the audit log, and every refusal") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  CHECK(!as("root", other_key()));
  CHECK(!as("nobody-here", other_key()));
  CHECK_OK(tgs(*tgt, "fileserver/fs1"));
  CHECK(!tgs(*tgt, "fileserver/none"));
  CHECK(!exchanges().tgs(tgt->ticket, channel, address));
  const auto logins = audit("as");
  REQUIRE(logins.size() == 3);
  CHECK(logins[0].outcome == "ok");
  CHECK(logins[0].actor_name == "root");
  CHECK(logins[0].source == address);
  CHECK(logins[0].subject == "kdc/tgs");
  CHECK(logins[1].outcome == "unauthenticated");
  CHECK(logins[2].outcome == "unauthenticated");
  CHECK(logins[2].actor_name == "nobody-here");
  CHECK(logins[1].actor == logins[2].actor);  // nothing tells them apart but the name
  std::vector<std::string> outcomes;
  for (const auto& record : audit("tgs"))
    outcomes.push_back(record.outcome);
  std::sort(outcomes.begin(), outcomes.end());
  CHECK(outcomes == std::vector<std::string>{"not_found", "ok", "unauthenticated"});
  const auto verdict = database().audit().verify();
  REQUIRE_OK(verdict);
  CHECK(verdict->ok);
}

TEST_CASE_FIXTURE(Exchanging, "nobody can push others' records out of the audit log") {
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  const auto request = ticket::begin_tgs({.service = "fileserver/fs1"}, *tgt, channel);
  REQUIRE_OK(request);
  int given = 0;
  ErrorCode last = ErrorCode::Internal;
  for (int i = 0; i < 20'000; ++i) {
    const auto reply = exchanges().tgs(*request, channel, address);
    if (!reply) {
      last = reply.error().code;
      break;
    }
    ++given;
  }
  CHECK(last == ErrorCode::Overloaded);
  CHECK(given >= 9'990);
  CHECK_FAILS(as("root", root_key), ErrorCode::Overloaded);
  const auto records = [&] { return database().audit().verify()->last; };
  REQUIRE_OK(database().audit().flush());
  const auto before = records();
  for (int i = 0; i < 1'000; ++i)
    static_cast<void>(exchanges().tgs(*request, channel, address));
  REQUIRE_OK(database().audit().flush());
  CHECK(records() - before < 200);  // what the time that passed gave, and one for the rest
  server.clock.advance(1min);
  CHECK_OK(as("root", root_key));
}

TEST_CASE_FIXTURE(Exchanging, "names that somebody makes up do not fill the audit log (F73)") {
  const auto records = [&] {
    REQUIRE_OK(database().audit().flush());
    return database().audit().verify()->last;
  };
  ErrorCode last = ErrorCode::Internal;
  for (int i = 0; i < 200 && last != ErrorCode::Overloaded; ++i)
    last = as(fmt::format("made-up-{}", i), other_key()).error().code;
  REQUIRE(last == ErrorCode::Overloaded);
  auto before = records();
  for (int i = 0; i < 1'000; ++i)
    CHECK_FAILS(as(fmt::format("more-{}", i), other_key()), ErrorCode::Overloaded);
  CHECK(records() - before <= 1);

  address = "192.0.2.77";
  const auto tgt = as("root", root_key);
  REQUIRE_OK(tgt);
  before = records();
  for (int i = 0; i < 1'000; ++i)
    CHECK_FAILS(tgs(*tgt, fmt::format("fileserver/none{}", i)), ErrorCode::NotFound);
  CHECK(records() - before <= 1);
}
