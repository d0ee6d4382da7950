// What wrong clocks do, and what keys that come and go do, each exactly at its millisecond.

#include <atomic>
#include <thread>

#include "every_message.hpp"

using namespace ticket_test;
using namespace std::chrono_literals;

namespace {

const Channel kChannel = channel_of(5);

}  // namespace

TEST_CASE("a ticket is good up to its last millisecond, and a session as long") {
  ServiceSide service;
  const Credential credential = service.credential();
  const Bytes request = service.request(credential, kChannel);
  const auto session = service.verifier.accept(request, kChannel);
  REQUIRE_OK(session);
  service.clock.advance(10h - 1ms);
  CHECK_OK(service.verifier.accept(request, kChannel));
  CHECK_OK(service.verifier.check_session(session->identity));
  service.clock.advance(1ms);
  CHECK_FAILS(service.verifier.accept(request, kChannel), ErrorCode::Expired);
  CHECK_FAILS(service.verifier.check_session(session->identity), ErrorCode::Expired);
  // "Expired" is for those who can prove the session key.
  Credential stolen = credential.clone();
  stolen.session_key = key_of(98);
  CHECK_REFUSED(service.verifier.accept(service.request(stolen, kChannel), kChannel));
}

TEST_CASE("4.1 Time: a ticket may begin five minutes ahead of the service's clock, and no more") {
  ServiceSide service;
  const auto accept = [&](Milliseconds ahead) {
    const Credential credential = service.credential(body_at(service.now() + ahead));
    return service.verifier.accept(service.request(credential, kChannel), kChannel);
  };
  CHECK_OK(accept(5min));
  const auto beyond = accept(5min + 1ms);
  CHECK_FAILS(beyond, ErrorCode::Unauthenticated);
  CHECK(beyond.error().message.find("a clock is wrong") == 0);
}

TEST_CASE(
    "F27: a service whose clock is an hour or ten years off gives nobody more than that offset") {
  for (const Duration offset : {Duration(1h), Duration(24h * 3653)}) {
    SUBCASE("slow: new tickets are refused, naming a clock; sessions go on") {
      ServiceSide service;
      const TicketBody body = body_at(service.now());
      const Credential credential = service.credential(body);
      const auto session = service.verifier.accept(service.request(credential, kChannel), kChannel);
      REQUIRE_OK(session);
      service.clock.jump_wall(-offset);
      const auto refused = service.verifier.accept(service.request(credential, kChannel), kChannel);
      CHECK_FAILS(refused, ErrorCode::Unauthenticated);
      CHECK(refused.error().message.find("a clock is wrong") == 0);
      CHECK_OK(service.verifier.check_session(session->identity));
      service.clock.jump_wall(offset);
      CHECK_OK(service.verifier.accept(service.request(credential, kChannel), kChannel));
    }
    SUBCASE("fast: sessions end that much earlier") {
      ServiceSide service;
      const Credential credential = service.credential();
      const auto session = service.verifier.accept(service.request(credential, kChannel), kChannel);
      REQUIRE_OK(session);
      service.clock.jump_wall(offset);
      const bool over = offset > Duration(10h);
      CHECK(service.verifier.check_session(session->identity).has_value() == !over);
      CHECK(service.verifier.accept(service.request(credential, kChannel), kChannel).has_value() ==
            !over);
    }
  }
}

TEST_CASE("F27: a TGT is measured by the KDC's clock, and no clock makes it crash") {
  EveryMessage cell;
  const Bytes request =
      begin_tgs({.service = std::string(kService)}, cell.tgt, cell.channel).value();
  const Time now = cell.service.now();
  const auto at = [&](Milliseconds offset) {
    return accept_tgs(cell.tgs, request, cell.channel, now + offset);
  };
  CHECK_OK(at(0ms));
  CHECK_OK(at(1h));
  CHECK_FAILS(at(-1h), ErrorCode::Unauthenticated);
  CHECK_FAILS(at(10h), ErrorCode::Expired);
  CHECK_FAILS(at(24h * 3653), ErrorCode::Expired);
  CHECK_FAILS(at(-24h * 3653), ErrorCode::Unauthenticated);
  CHECK_FAILS(at(-now.time_since_epoch()), ErrorCode::Unauthenticated);      // 1970
  CHECK_FAILS(at(-2 * now.time_since_epoch()), ErrorCode::Unauthenticated);  // before it
  CHECK_FAILS(at(kLatestTime - now), ErrorCode::Expired);
}

TEST_CASE("4.1 Time: the client's wall clock matters nowhere") {
  ServiceSide service;
  ManualClock mine;
  Credential credential = service.credential();
  credential.kdc_now_at = mine.now();
  mine.jump_wall(-24h * 3653);
  CHECK(credential.kdc_time(mine.now()) == service.now());
  mine.advance(5h - 1ms);
  CHECK_FALSE(credential.should_be_renewed(mine.now()));
  mine.advance(1ms);
  CHECK(credential.should_be_renewed(mine.now()));
  CHECK_FALSE(credential.ended(mine.now()));
  mine.jump_wall(24h * 7306);
  mine.advance(5h - 1ms);
  CHECK_FALSE(credential.ended(mine.now()));
  mine.advance(1ms);
  CHECK(credential.ended(mine.now()));
}

TEST_CASE("4.1 kvno: only the key that a ticket names is tried") {
  ServiceSide service;  // its verifier is given other keytabs below
  const Time now = service.now();
  const TicketBody body = body_at(now);
  Keytab keytab = Keytab::make(kCell, kService).value();
  REQUIRE_OK(keytab.add(1, key_of(1)));
  REQUIRE_OK(keytab.add(2, key_of(2)));
  REQUIRE_OK(service.verifier.set_keys(keytab));
  const auto sealed_as = [&](int seed, std::uint32_t kvno) {
    return seal_ticket(key_of(seed), kCell, kService, kvno, body).value();
  };
  const auto open = [&](const Bytes& ticket) {
    return service.verifier.opener().open(ticket, service.now());
  };
  CHECK_OK(open(sealed_as(1, 1)));
  CHECK_OK(open(sealed_as(2, 2)));
  CHECK_REFUSED(open(sealed_as(1, 2)));
  CHECK_REFUSED(open(sealed_as(2, 1)));
  CHECK_REFUSED(open(sealed_as(1, 3)));
  // The number rewritten in a good ticket.
  const Bytes good = sealed_as(1, 1);
  const auto parts = decode_ticket(good).value();
  for (const std::uint32_t other : {2U, 3U, 0xFFFF'FFFFU}) {
    const Bytes head = encode_ticket_head(kCell, kService, other).value();
    CHECK_REFUSED(open(encode_ticket(head, parts.sealed).value()));
  }
}

TEST_CASE("4.1 kvno: an old key is good up to its last millisecond, and what is destroyed never") {
  ServiceSide service;
  const Time now = service.now();
  const Credential credential = service.credential();  // under key 1
  const Bytes request = service.request(credential, kChannel);
  Keytab keytab = keytab_of(kService, 1);
  REQUIRE_OK(keytab.add(2, key_of(2)));
  REQUIRE_OK(keytab.retire(1, now + 1h));
  REQUIRE_OK(service.verifier.set_keys(keytab));
  CHECK_OK(service.verifier.accept(request, kChannel));
  service.clock.advance(1h - 1ms);
  CHECK_OK(service.verifier.accept(request, kChannel));
  service.clock.advance(1ms);
  CHECK_REFUSED(service.verifier.accept(request, kChannel));
  service.clock.jump_wall(-1ms);
  CHECK_OK(service.verifier.accept(request, kChannel));

  // rotate --now: gone at once.
  REQUIRE_OK(keytab.remove(1));
  REQUIRE_OK(service.verifier.set_keys(keytab));
  CHECK_REFUSED(service.verifier.accept(request, kChannel));
}

TEST_CASE("a verifier without keys, or with those of somebody else, accepts nothing") {
  ManualClock clock;
  Verifier verifier{std::string(kCell), std::string(kService), clock};
  const ServiceSide service;
  const Bytes request = service.request(service.credential(), kChannel);
  CHECK_REFUSED(verifier.accept(request, kChannel));
  CHECK_FAILS(verifier.set_keys(keytab_of("fileserver/fs2", 1)), ErrorCode::InvalidArgument);
  CHECK_FAILS(verifier.set_keys(keytab_of(kService, 1, 1, "another-cell")),
              ErrorCode::InvalidArgument);
  CHECK_REFUSED(verifier.accept(request, kChannel));
  CHECK_OK(verifier.set_keys(keytab_of(kService, 1)));
  CHECK_OK(verifier.accept(request, kChannel));
}

TEST_CASE("a connection speaks for one principal; a later ticket moves the session's end") {
  ServiceSide service;
  const auto accept = [&](const TicketBody& body, const Identity* current) {
    const Bytes request = service.request(service.credential(body), kChannel);
    return current == nullptr ? service.verifier.accept(request, kChannel)
                              : service.verifier.accept_again(request, kChannel, *current);
  };
  const TicketBody first = body_at(service.now());
  const auto session = accept(first, nullptr);
  REQUIRE_OK(session);
  CHECK_OK(accept(first, &session->identity));

  TicketBody later = body_at(service.now(), 97);
  later.validity.end += 1h;
  const auto moved = accept(later, &session->identity);
  REQUIRE_OK(moved);
  CHECK(moved->identity.validity.end == later.validity.end);
  CHECK_FAILS(accept(first, &moved->identity), ErrorCode::Stale);

  TicketBody other = body_at(service.now());
  other.client = {"bob", Kind::User, PrincipalId{10'002}};
  CHECK_FAILS(accept(other, &session->identity), ErrorCode::PermissionDenied);
  // Who was deleted and made again under the same name is somebody else.
  TicketBody reborn = body_at(service.now());
  reborn.client.id = PrincipalId{10'009};
  CHECK_FAILS(accept(reborn, &session->identity), ErrorCode::PermissionDenied);
  // And a bad proof learns none of this.
  Bytes forged = service.request(service.credential(other), kChannel);
  forged.back() ^= std::byte{1};
  CHECK_REFUSED(service.verifier.accept_again(forged, kChannel, session->identity));
}

TEST_CASE("keys may be replaced while others verify") {
  ServiceSide service;
  const Bytes request = service.request(service.credential(), kChannel);
  Keytab both = keytab_of(kService, 1);
  REQUIRE_OK(both.add(2, key_of(2)));
  const Keytab one = keytab_of(kService, 1);
  std::atomic<int> wrong{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      while (!stop)
        wrong += service.verifier.accept(request, kChannel) ? 0 : 1;
    });
  }
  for (int i = 0; i < 300; ++i) {
    if (!service.verifier.set_keys(i % 2 == 0 ? both : one))
      ++wrong;
  }
  stop = true;
  for (auto& thread : threads)
    thread.join();
  CHECK(wrong == 0);
}
