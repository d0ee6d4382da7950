// Whoever needs a ticket renews it: once, in time, and never at the price of a good one.

#include "common/auth/credential_source.hpp"

#include <atomic>
#include <thread>

#include "common/rpc/socket.hpp"
#include "common/sync/event.hpp"
#include "tests/support/patience.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/common/ticket/small_cell.hpp"

using namespace common;
using namespace common::auth;
using namespace std::chrono_literals;
using test_support::kPatience;
using test_support::TempDir;
using ticket::Credential;
using ticket_test::kCell;
using ticket_test::ServiceSide;

namespace {

// Stands for the KDC: makes credentials that only look like some.
struct FakeKdc {
  ManualClock clock;
  std::atomic<int> logins{0};
  std::atomic<int> renewals{0};
  std::atomic<int> tickets{0};
  std::atomic<bool> down{false};
  ticket::Milliseconds life = 10h;
  bool renewable = true;

  [[nodiscard]] Credential make(std::string_view service) const {
    Credential credential;
    const ticket::Time now = ticket::to_time(clock.wall_now());
    credential.cell = kCell;
    credential.client = {"alice", ticket::Kind::User, ticket::PrincipalId{10'000}};
    credential.service = service;
    credential.kvno = 1;
    credential.validity = {.authenticated = now, .start = now, .end = now + life};
    if (service == ticket::kTgsService && renewable)
      credential.validity.renew_till = now + 7 * 24h;
    credential.ticket = Bytes(16);
    credential.session_key = ticket_test::key_of(7);
    credential.kdc_now = now;
    credential.kdc_now_at = clock.now();
    return credential;
  }

  [[nodiscard]] SourceOptions options(std::shared_ptr<CredentialCache> cache = {}) {
    SourceOptions options;
    options.clock = &clock;
    options.cache = std::move(cache);
    options.ticket = [this](const ticket::TgsWanted& wanted, const Credential& tgt,
                            Instant) -> Result<Credential> {
      CHECK(tgt.service == ticket::kTgsService);
      if (down)
        return fail(ErrorCode::Unavailable, "the KDC is down");
      ++(wanted.renew ? renewals : tickets);
      Credential made = make(wanted.service);
      if (wanted.renew)
        made.validity.renew_till = tgt.validity.renew_till;
      return made;
    };
    return options;
  }
  [[nodiscard]] SourceOptions with_login() {
    SourceOptions made = options();
    made.login = [this](Instant) -> Result<Credential> {
      if (down)
        return fail(ErrorCode::Unavailable, "the KDC is down");
      ++logins;
      return make(ticket::kTgsService);
    };
    return made;
  }
};

Instant soon() {
  return rpc::now() + kPatience;
}

struct CachedKdc : FakeKdc {
  TempDir dir;
  std::shared_ptr<CredentialCache> cache;
  CachedKdc() {
    StorePlaces places;
    places.variable = dir / "cred";
    cache = CredentialCache::open(kCell, places).value();
  }
  void log_in() {
    std::vector<Credential> credentials;
    credentials.push_back(make(ticket::kTgsService));
    REQUIRE_OK(cache->replace(credentials, soon()));
  }
};

}  // namespace

TEST_CASE("a ticket is got once and then held") {
  FakeKdc kdc;
  CredentialSource source(kdc.with_login());
  const auto first = source.for_service("fileserver/a", soon());
  REQUIRE_OK(first);
  CHECK((*first)->service == "fileserver/a");
  CHECK(source.for_service("fileserver/a", soon()).value() == *first);
  CHECK(source.for_service("fileserver/b", soon()).value() != *first);
  CHECK(kdc.logins == 1);
  CHECK(kdc.tickets == 2);
}

TEST_CASE("tickets are renewed from half of their life on") {
  FakeKdc kdc;
  CredentialSource source(kdc.with_login());
  const auto first = source.for_service("fileserver/a", soon());
  REQUIRE_OK(first);
  kdc.clock.advance(5h - 1ms);
  CHECK(source.for_service("fileserver/a", soon()).value() == *first);
  kdc.clock.advance(1ms);
  const auto second = source.for_service("fileserver/a", soon());
  REQUIRE_OK(second);
  CHECK(*second != *first);
  CHECK(kdc.logins == 2);
}

TEST_CASE("while the KDC is away a good ticket is used until its end, and no longer") {
  FakeKdc kdc;
  CredentialSource source(kdc.with_login());
  const auto first = source.for_service("fileserver/a", soon());
  REQUIRE_OK(first);
  kdc.down = true;
  kdc.clock.advance(9h);
  CHECK(source.for_service("fileserver/a", soon()).value() == *first);
  kdc.clock.advance(1h - kTooLate);
  CHECK_FAILS(source.for_service("fileserver/a", soon()), ErrorCode::Unavailable);
  kdc.down = false;
  CHECK_OK(source.for_service("fileserver/a", soon()));
}

TEST_CASE("a KDC that is away is not asked at every call") {
  FakeKdc kdc;
  int asked = 0;
  SourceOptions options = kdc.with_login();
  options.ticket = [&, inner = options.ticket](const ticket::TgsWanted& wanted,
                                               const Credential& tgt, Instant deadline) {
    ++asked;
    return inner(wanted, tgt, deadline);
  };
  CredentialSource source(std::move(options));
  REQUIRE_OK(source.for_service("fileserver/a", soon()));
  kdc.down = true;
  kdc.clock.advance(6h);
  for (int i = 0; i < 10; ++i)
    REQUIRE_OK(source.for_service("fileserver/a", soon()));
  CHECK(asked == 2);
  kdc.clock.advance(kRenewalPause);
  REQUIRE_OK(source.for_service("fileserver/a", soon()));
  CHECK(asked == 3);
}

TEST_CASE("many threads that need one ticket ask for it once") {
  FakeKdc kdc;
  Event first_in;
  Event go_on;
  SourceOptions options = kdc.with_login();
  options.ticket = [&, inner = options.ticket](const ticket::TgsWanted& wanted,
                                               const Credential& tgt, Instant deadline) {
    first_in.set();
    CHECK(go_on.wait_for(kPatience));
    return inner(wanted, tgt, deadline);
  };
  CredentialSource source(std::move(options));
  std::vector<std::thread> threads;
  std::atomic<int> got{0};
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      if (source.for_service("fileserver/a", soon()))
        ++got;
    });
  CHECK(first_in.wait_for(kPatience));
  // While one of them asks, a caller in a hurry gives up alone.
  CHECK_FAILS(source.for_service("fileserver/a", rpc::now()), ErrorCode::DeadlineExceeded);
  go_on.set();
  for (std::thread& thread : threads)
    thread.join();
  CHECK(got == 8);
  CHECK(kdc.tickets == 1);
  CHECK(kdc.logins == 1);
}

TEST_CASE("an attempt that throws is over: who waits and who comes later try themselves") {
  FakeKdc kdc;
  Event first_in;
  Event go_on;
  std::atomic<bool> first{true};
  SourceOptions options = kdc.with_login();
  options.ticket = [&, inner = options.ticket](const ticket::TgsWanted& wanted,
                                               const Credential& tgt, Instant deadline) {
    if (!first.exchange(false))
      return inner(wanted, tgt, deadline);
    first_in.set();
    CHECK(go_on.wait_for(kPatience));
    throw std::bad_alloc();
  };
  CredentialSource source(std::move(options));
  std::thread unlucky([&] {
    CHECK_THROWS_AS(static_cast<void>(source.for_service("fileserver/a", soon())), std::bad_alloc);
  });
  CHECK(first_in.wait_for(kPatience));
  std::thread waiting([&] { CHECK_OK(source.for_service("fileserver/a", soon())); });
  go_on.set();
  unlucky.join();
  waiting.join();
  CHECK_OK(source.for_service("fileserver/a", soon()));
  CHECK(kdc.tickets == 1);
}

TEST_CASE("a failure is everybody's who waited for it, and nobody's after") {
  FakeKdc kdc;
  kdc.down = true;
  CredentialSource source(kdc.with_login());
  CHECK_FAILS(source.for_service("fileserver/a", soon()), ErrorCode::Unavailable);
  kdc.down = false;
  CHECK_OK(source.for_service("fileserver/a", soon()));
}

TEST_CASE("nobody logged in is said, and whoever logs in later is found") {
  CachedKdc kdc;
  CredentialSource source(kdc.options(kdc.cache));
  CHECK_FAILS(source.for_service("fileserver/a", soon()), ErrorCode::NotFound);
  kdc.log_in();
  CHECK_OK(source.for_service("fileserver/a", soon()));
  CHECK_OK(source.cache_trouble());
}

TEST_CASE("tickets are kept in the cache for the next command") {
  CachedKdc kdc;
  kdc.log_in();
  CHECK_OK(CredentialSource(kdc.options(kdc.cache)).for_service("fileserver/a", soon()));
  CHECK(kdc.cache->load().value().size() == 2);
  CHECK_OK(CredentialSource(kdc.options(kdc.cache)).for_service("fileserver/a", soon()));
  CHECK(kdc.tickets == 1);
}

TEST_CASE("a login is renewed in the cache, once for all processes, until it can be no more") {
  CachedKdc kdc;
  kdc.log_in();
  CredentialSource one(kdc.options(kdc.cache));
  CredentialSource other(kdc.options(kdc.cache));
  REQUIRE_OK(one.tgt(soon()));
  REQUIRE_OK(other.tgt(soon()));
  kdc.clock.advance(6h);
  REQUIRE_OK(one.tgt(soon()));
  REQUIRE_OK(other.tgt(soon()));
  CHECK(kdc.renewals == 1);
  CHECK(kdc.cache->load().value().front().kdc_now == ticket::to_time(kdc.clock.wall_now()));

  // Nobody used it for longer than it lasts.
  kdc.clock.advance(10h);
  CHECK_FAILS(one.tgt(soon()), ErrorCode::Expired);
  CHECK_FAILS(CredentialSource(kdc.options(kdc.cache)).for_service("fileserver/a", soon()),
              ErrorCode::Expired);
  CHECK(one.tgt(soon()).error().message.find("troth login") != std::string::npos);
  kdc.log_in();
  CHECK_OK(one.tgt(soon()));
}

TEST_CASE("a login that cannot be renewed is good until its end") {
  CachedKdc kdc;
  kdc.renewable = false;
  kdc.log_in();
  CredentialSource source(kdc.options(kdc.cache));
  REQUIRE_OK(source.tgt(soon()));
  kdc.clock.advance(9h);
  CHECK_OK(source.tgt(soon()));
  CHECK_OK(CredentialSource(kdc.options(kdc.cache)).tgt(soon()));
  CHECK(kdc.renewals == 0);
  kdc.clock.advance(1h);
  CHECK_FAILS(source.tgt(soon()), ErrorCode::Expired);
}

TEST_CASE("another person's login in the cache is not overwritten") {
  CachedKdc kdc;
  kdc.log_in();
  CredentialSource source(kdc.options(kdc.cache));
  REQUIRE_OK(source.tgt(soon()));
  std::vector<Credential> credentials;
  credentials.push_back(kdc.make(ticket::kTgsService));
  credentials.front().client = {"bob", ticket::Kind::User, ticket::PrincipalId{10'001}};
  REQUIRE_OK(kdc.cache->replace(credentials, soon()));
  CHECK_OK(source.for_service("fileserver/a", soon()));
  const auto cached = kdc.cache->load();
  REQUIRE_OK(cached);
  CHECK(cached->size() == 1);
  CHECK(cached->front().client.name == "bob");
}

TEST_CASE("a ticket that a service refused is replaced") {
  FakeKdc kdc;
  CredentialSource source(kdc.with_login());
  const auto first = source.for_service("fileserver/a", soon());
  REQUIRE_OK(first);
  source.forget(*first);
  const auto second = source.for_service("fileserver/a", soon());
  REQUIRE_OK(second);
  CHECK(*second != *first);
  source.forget(*first);  // late, about the old one
  CHECK(source.for_service("fileserver/a", soon()).value() == *second);
}

TEST_CASE("G13: the tickets that are held are bounded") {
  FakeKdc kdc;
  CredentialSource source(kdc.with_login());
  for (std::size_t i = 0; i < kMaxHeldTickets + 10; ++i)
    REQUIRE_OK(source.for_service("fileserver/n" + std::to_string(i), soon()));
  const int before = kdc.tickets;
  REQUIRE_OK(source.tgt(soon()));
  CHECK(kdc.logins == 1);
  REQUIRE_OK(source.for_service("fileserver/n" + std::to_string(kMaxHeldTickets + 9), soon()));
  CHECK(kdc.tickets == before);
}
