#include "common/ticket/exchange.hpp"

#include "small_cell.hpp"

using namespace ticket_test;

namespace {

const Channel kConnection = channel_of(0xC4);

// A KDC reduced to its cryptography.
struct Kdc {
  Kdc() : tgs(std::string(kCell), std::string(kTgsService)) {
    REQUIRE_OK(tgs.set_keys(keytab_of(kTgsService, 7, 4)));
  }
  [[nodiscard]] Time now() const { return to_time(clock.wall_now()); }

  // The reply to a good AS request.
  [[nodiscard]] Bytes as_reply(const crypto::Secret& client_key, ByteView request,
                               const TicketBody& body,
                               std::string_view service = kTgsService) const {
    const auto ticket = seal_ticket(key_of(7), kCell, service, 4, body);
    REQUIRE_OK(ticket);
    auto reply =
        make_as_reply(client_key, request, *ticket, kCell, grant_of(body, service, 4, now()));
    REQUIRE_OK(reply);
    return *std::move(reply);
  }

  // Credentials for kdc/tgs as a login would give them.
  [[nodiscard]] Credential login(const TicketBody& body) const {
    const auto ticket = seal_ticket(key_of(7), kCell, kTgsService, 4, body);
    REQUIRE_OK(ticket);
    return credential_of(body, *ticket, kTgsService, now(), 4);
  }

  ManualClock clock;
  TicketOpener tgs;
};

}  // namespace

TEST_CASE("AS, TGS and AP lead from a long-term key to a session that both sides have proven") {
  Kdc kdc;
  ServiceSide fs;
  const auto alice = key_of(42);

  // AS
  const AsWanted wanted = wanted_by_alice();
  const auto as_request = begin_as(wanted, alice, kConnection);
  REQUIRE_OK(as_request);
  const auto seen = decode_as_request(*as_request);
  REQUIRE_OK(seen);
  CHECK(seen->client == "alice");
  CHECK(seen->service == kTgsService);
  CHECK(seen->life == std::chrono::hours(10));
  REQUIRE_OK(check_as_proof(alice, *seen, *as_request, kConnection));
  const Bytes as_reply = kdc.as_reply(alice, *as_request, body_at(kdc.now(), 50));
  const auto tgt = finish_as(wanted, alice, *as_request, as_reply, kdc.clock.now());
  REQUIRE_OK(tgt);
  CHECK(tgt->client.name == "alice");
  CHECK(tgt->kdc_time(kdc.clock.now()) == kdc.now());

  // TGS
  const TgsWanted for_fs{.service = std::string(kService)};
  const auto tgs_request = begin_tgs(for_fs, *tgt, kConnection);
  REQUIRE_OK(tgs_request);
  const auto accepted = accept_tgs(kdc.tgs, *tgs_request, kConnection, kdc.now());
  REQUIRE_OK(accepted);
  CHECK(accepted->request.service == kService);
  CHECK(accepted->tgt.client.name == "alice");
  const TicketBody body = body_at(kdc.now(), 60);
  const Bytes ticket = fs.seal(body);
  const auto tgs_reply = make_tgs_reply(accepted->tgt, *tgs_request, ticket, kCell,
                                        grant_of(body, kService, 1, kdc.now()));
  REQUIRE_OK(tgs_reply);
  const auto credential = finish_tgs(for_fs, *tgt, *tgs_request, *tgs_reply, kdc.clock.now());
  REQUIRE_OK(credential);
  CHECK(credential->ticket == ticket);

  // AP
  const auto exchange = ApExchange::begin(*credential, kConnection);
  REQUIRE_OK(exchange);
  const auto session = fs.verifier.accept(exchange->request(), kConnection);
  REQUIRE_OK(session);
  CHECK(session->identity.client == body.client);
  CHECK(session->identity.groups == body.groups);
  CHECK(session->identity.in_group(kAuthUser));
  CHECK_FALSE(session->identity.in_group(kAdministrators));
  const auto mine = exchange->finish(session->reply);
  REQUIRE_OK(mine);
  CHECK(std::ranges::equal(mine->connection_key.bytes(), session->connection_key.bytes()));
  CHECK(mine->end == body.validity.end);
  CHECK(mine->service_now == fs.now());
}
