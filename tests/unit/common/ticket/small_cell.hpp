#pragma once

// A cell small enough for one test: a clock, keys, a user, and the messages between them made the
// way the KDC makes them.

#include <string>
#include <string_view>
#include <vector>

#include "common/clock.hpp"
#include "common/ticket/credential.hpp"
#include "common/ticket/exchange.hpp"
#include "common/ticket/keytab.hpp"
#include "common/ticket/verifier.hpp"
#include "tests/support/test.hpp"

namespace ticket_test {

using namespace common;
using namespace common::ticket;

inline constexpr std::string_view kCell = "c0ffee0000000001";
inline constexpr std::string_view kService = "fileserver/fs1";
// A moment for tests that need no clock.
inline constexpr Time kNow{Milliseconds{1'700'000'000'000}};

inline crypto::Secret key_of(int seed) {
  return crypto::Secret::copy_of(Bytes(kKeyBytes, static_cast<std::byte>(seed)));
}

inline AsWanted wanted_by_alice() {
  return {.cell = std::string(kCell), .client = "alice", .life = std::chrono::hours(10)};
}

inline Channel channel_of(int seed) {
  Channel channel;
  channel.fill(static_cast<std::byte>(seed));
  return channel;
}

inline Keytab keytab_of(std::string_view principal, int seed, std::uint32_t kvno = 1,
                        std::string_view cell = kCell) {
  Keytab keytab = Keytab::make(cell, principal).value();
  REQUIRE_OK(keytab.add(kvno, key_of(seed)));
  return keytab;
}

// A body that every service of the cell would take at `now`.
inline TicketBody body_at(Time now, int session_seed = 99) {
  TicketBody body;
  body.id.fill(std::byte{0x1D});
  body.session_key = key_of(session_seed);
  body.client = {"alice", Kind::User, PrincipalId{10'000}};
  body.client_kvno = 3;
  body.validity = {.authenticated = now,
                   .start = now,
                   .end = now + std::chrono::hours(10),
                   .renew_till = std::nullopt,
                   .initial = false};
  body.directory = 7;
  body.groups = {kAnyUser, kAuthUser, PrincipalId{10'001}, PrincipalId{20'000}};
  return body;
}

inline Grant grant_of(const TicketBody& body, std::string_view service, std::uint32_t kvno,
                      Time now) {
  return {.session_key = body.session_key.clone(),
          .client = body.client,
          .service = std::string(service),
          .kvno = kvno,
          .validity = body.validity,
          .kdc_now = now};
}

// What a client would hold after the KDC sealed `body` for `service`.
inline Credential credential_of(const TicketBody& body, Bytes ticket, std::string_view service,
                                Time now, std::uint32_t kvno = 1) {
  Credential credential;
  credential.cell = kCell;
  credential.client = body.client;
  credential.service = service;
  credential.kvno = kvno;
  credential.validity = body.validity;
  credential.ticket = std::move(ticket);
  credential.session_key = body.session_key.clone();
  credential.kdc_now = now;
  return credential;
}

// One service with its verifier, and credentials for it.
struct ServiceSide {
  explicit ServiceSide(std::string_view name = kService, int seed = 1, std::uint32_t key_number = 1)
      : service(name),
        key(key_of(seed)),
        kvno(key_number),
        verifier(std::string(kCell), service, clock) {
    REQUIRE_OK(verifier.set_keys(keytab_of(service, seed, key_number)));
  }

  [[nodiscard]] Time now() const { return to_time(clock.wall_now()); }
  [[nodiscard]] Bytes seal(const TicketBody& body) const {
    auto ticket = seal_ticket(key, kCell, service, kvno, body);
    REQUIRE_OK(ticket);
    return *std::move(ticket);
  }
  [[nodiscard]] Credential credential(const TicketBody& body) const {
    return credential_of(body, seal(body), service, now(), kvno);
  }
  [[nodiscard]] Credential credential() const { return credential(body_at(now())); }

  // An AP request on that channel.
  [[nodiscard]] Bytes request(const Credential& with, const Channel& channel) const {
    auto exchange = ApExchange::begin(with, channel);
    REQUIRE_OK(exchange);
    return exchange->request();
  }

  ManualClock clock;
  std::string service;
  crypto::Secret key;
  std::uint32_t kvno;
  Verifier verifier;
};

// The one refusal: code and sentence.
inline bool is_refused(const test_support::Outcome& outcome) {
  const auto expected = refused();
  return outcome.failed_with(expected.value().code) &&
         outcome.error->message == expected.value().message;
}

#define CHECK_REFUSED(expression)                                                                \
  do {                                                                                           \
    const test_support::Outcome check_refused_outcome = test_support::outcome_of((expression));  \
    CHECK_MESSAGE(ticket_test::is_refused(check_refused_outcome), check_refused_outcome.text()); \
  } while (false)

}  // namespace ticket_test
