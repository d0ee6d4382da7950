#include "common/ticket/messages.hpp"

#include <random>

#include "common/crypto/aead.hpp"
#include "small_cell.hpp"

using namespace ticket_test;

namespace {

Bytes plain_of(const TicketBody& body) {
  Bytes room(kMaxSealedTicket);
  const auto size = encode_ticket_body(body, room);
  REQUIRE_OK(size);
  room.resize(*size);
  return room;
}

Bytes plain_of(const Grant& grant) {
  Bytes room(kMaxSealedGrant);
  const auto size = encode_grant(grant, room);
  REQUIRE_OK(size);
  room.resize(*size);
  return room;
}

// Where the fields lie behind the client's name in a body.
struct BodyLayout {
  explicit BodyLayout(const TicketBody& body)
      : kind(2 + 16 + 32 + 4 + body.client.name.size()),
        id(kind + 1),
        client_kvno(id + 4),
        start(client_kvno + 4 + 8),
        renew_till(start + 16),
        flags(renew_till + 8),
        count(flags + 4 + 8),
        groups(count + 4) {}
  std::size_t kind, id, client_kvno, start, renew_till, flags, count, groups;
};

void put(Bytes& bytes, std::size_t at, std::uint32_t value) {
  for (unsigned i = 0; i < 4; ++i)
    bytes[at + i] = static_cast<std::byte>(value >> (24 - 8 * i));
}

std::uint32_t get(const Bytes& bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i)
    value = value << 8 | std::to_integer<std::uint32_t>(bytes[at + i]);
  return value;
}

// Seals any plaintext as a ticket, as the KDC would with a bug or a later version.
Bytes ticket_with(const ServiceSide& service, ByteView plain) {
  const Bytes head = encode_ticket_head(kCell, service.service, service.kvno).value();
  const auto key = derive(service.key, Purpose::Ticket, kCell, service.service).value();
  return encode_ticket(head, crypto::seal(key, plain, head).value()).value();
}

}  // namespace

TEST_CASE(
    "4.1 Ticket content: an unknown flag, kind, extension, version or type refuses the ticket") {
  const ServiceSide service;
  const TicketBody body = body_at(service.now());
  const Bytes good = plain_of(body);
  const BodyLayout at(body);
  REQUIRE(get(good, at.count) == body.groups.size());
  const auto open = [&](const Bytes& plain) {
    return service.verifier.opener().open(ticket_with(service, plain), service.now());
  };
  REQUIRE_OK(open(good));
  const auto with_byte = [&](std::size_t where, int value) {
    Bytes changed = good;
    changed[where] = static_cast<std::byte>(value);
    return changed;
  };
  const auto with_number = [&](std::size_t where, std::uint32_t value) {
    Bytes changed = good;
    put(changed, where, value);
    return changed;
  };

  for (unsigned bit = 2; bit < 32; ++bit)
    CHECK_REFUSED(open(with_number(at.flags, 1U << bit)));
  CHECK_OK(open(with_number(at.flags, 2)));
  for (int kind = 0; kind < 256; ++kind) {
    CAPTURE(kind);
    if (kind != 1)  // "alice" has the form of a user's name only
      CHECK_REFUSED(open(with_byte(at.kind, kind)));
  }
  for (int count = 1; count < 256; ++count)
    CHECK_REFUSED(open(with_byte(good.size() - 1, count)));
  for (int version = 0; version < 256; ++version) {
    if (version != 1)
      CHECK_REFUSED(open(with_byte(0, version)));
    if (version != 17)
      CHECK_REFUSED(open(with_byte(1, version)));
  }
  Bytes longer = good;
  longer.push_back(std::byte{0});
  CHECK_REFUSED(open(longer));
}

TEST_CASE("4.1 Ticket content: numbers out of their range refuse the ticket") {
  const ServiceSide service;
  const TicketBody body = body_at(service.now());
  const Bytes good = plain_of(body);
  const BodyLayout at(body);
  const auto open_with = [&](std::size_t where, std::uint32_t value) {
    Bytes changed = good;
    put(changed, where, value);
    return service.verifier.opener().open(ticket_with(service, changed), service.now());
  };
  CHECK_REFUSED(open_with(at.id, 0));
  CHECK_REFUSED(open_with(at.id, 0x8000'0000));
  CHECK_REFUSED(open_with(at.client_kvno, 0));
  // Times beyond the year 9999, where sums would overflow.
  for (std::size_t time = at.start - 8; time <= at.renew_till; time += 8) {
    CHECK_REFUSED(open_with(time, 0x8000'0000));
    CHECK_REFUSED(open_with(time, 0x7FFF'FFFF));
    CHECK_REFUSED(open_with(time, 0xFFFF'FFFF));
  }
  // Renewable without an end to it, and the other way round.
  CHECK_REFUSED(open_with(at.flags, 1));
  CHECK_REFUSED(open_with(at.renew_till, 1));
  // Counts that the bytes do not bear out.
  for (const std::uint32_t count : {0U, 3U, 5U, 1024U, 1025U, 0x4000'0000U, 0xFFFF'FFFFU})
    CHECK_REFUSED(open_with(at.count, count));
}

TEST_CASE("4.1 Ticket content: groups unsorted, repeated or nobody's refuse the ticket") {
  const ServiceSide service;
  TicketBody body = body_at(service.now());
  body.groups = {PrincipalId{10}, PrincipalId{20}, PrincipalId{30}};
  const Bytes good = plain_of(body);
  const BodyLayout at(body);
  const auto open = [&](std::uint32_t a, std::uint32_t b, std::uint32_t c) {
    Bytes changed = good;
    put(changed, at.groups, a);
    put(changed, at.groups + 4, b);
    put(changed, at.groups + 8, c);
    return service.verifier.opener().open(ticket_with(service, changed), service.now());
  };
  CHECK_OK(open(10, 20, 30));
  CHECK_REFUSED(open(20, 10, 30));
  CHECK_REFUSED(open(10, 30, 20));
  CHECK_REFUSED(open(10, 10, 30));
  CHECK_REFUSED(open(10, 30, 30));
  CHECK_REFUSED(open(0, 20, 30));
  CHECK_REFUSED(open(10, 20, 0x8000'0000));
  // And the KDC does not make one.
  Bytes room(kMaxSealedTicket);
  body.groups = {PrincipalId{20}, PrincipalId{10}};
  CHECK_FAILS(encode_ticket_body(body, room), ErrorCode::InvalidArgument);
  body.groups = {PrincipalId{10}, PrincipalId{10}};
  CHECK_FAILS(encode_ticket_body(body, room), ErrorCode::InvalidArgument);
}

TEST_CASE("1,024 groups and the longest names fit, one more does not") {
  const std::string longest_service = std::string(32, 's') + "/" + std::string(64, 'I');
  const ServiceSide service(longest_service);
  TicketBody body = body_at(service.now());
  body.client = {std::string(32, 'c') + "/" + std::string(64, 'Z'), Kind::Service, kHighestId};
  body.groups.clear();
  for (std::uint32_t i = 1; i <= kMaxGroups; ++i)
    body.groups.push_back(PrincipalId{i});
  const Credential credential = service.credential(body);
  const auto accepted =
      service.verifier.accept(service.request(credential, channel_of(1)), channel_of(1));
  REQUIRE_OK(accepted);
  CHECK(accepted->identity.groups == body.groups);
  body.groups.push_back(PrincipalId{5000});
  CHECK_FAILS(seal_ticket(service.key, kCell, longest_service, 1, body),
              ErrorCode::InvalidArgument);
}

TEST_CASE("what no service would take is not sealed") {
  Bytes room(kMaxSealedTicket);
  const auto encoded = [&](auto change) {
    TicketBody body = body_at(kNow);
    change(body);
    return encode_ticket_body(body, room);
  };
  CHECK_OK(encoded([](TicketBody&) {}));
  CHECK_FAILS(encoded([](TicketBody& b) { b.session_key = crypto::Secret(31); }),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(encoded([](TicketBody& b) { b.client.name = "Alice"; }), ErrorCode::InvalidArgument);
  CHECK_FAILS(encoded([](TicketBody& b) { b.client.kind = Kind::Host; }),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(encoded([](TicketBody& b) { b.client.id = kNobody; }), ErrorCode::InvalidArgument);
  CHECK_FAILS(encoded([](TicketBody& b) { b.client_kvno = 0; }), ErrorCode::InvalidArgument);
  CHECK_FAILS(encoded([](TicketBody& b) { b.validity.end = b.validity.start; }),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(encoded([](TicketBody& b) { b.validity.start = Time{Milliseconds{-1}}; }),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(encoded([](TicketBody& b) { b.validity.end = kLatestTime + Milliseconds{1}; }),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(encoded([](TicketBody& b) { b.validity.renew_till = b.validity.start; }),
              ErrorCode::InvalidArgument);
  const TicketBody body = body_at(kNow);
  CHECK_FAILS(encode_ticket_body(body, std::span(room).first(100)), ErrorCode::InvalidArgument);
}

TEST_CASE(
    "any ticket body that decodes encodes back to the same bytes, whatever bits are flipped") {
  const TicketBody body = body_at(kNow);
  const Bytes good = plain_of(body);
  int decoded = 0;
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes changed = good;
    changed[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    if (const auto other = decode_ticket_body(changed)) {
      ++decoded;
      CHECK(plain_of(*other) == changed);
    }
  }
  CHECK(decoded > 0);
}

TEST_CASE("any grant that decodes encodes back to the same bytes, whatever bits are flipped") {
  Grant grant = grant_of(body_at(kNow), kService, 9, kNow);
  grant.validity.renew_till = kNow + std::chrono::days(7);
  grant.validity.initial = true;
  grant.password_end = kNow + std::chrono::days(3);
  grant.raise_parameters = true;
  const Bytes good = plain_of(grant);
  const auto back = decode_grant(good);
  REQUIRE_OK(back);
  CHECK(back->validity == grant.validity);
  CHECK(back->password_end == grant.password_end);
  CHECK(back->raise_parameters);
  CHECK_FALSE(back->password_ends_soon);
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes changed = good;
    changed[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    if (const auto other = decode_grant(changed))
      CHECK(plain_of(*other) == changed);
  }
  for (int hints = 4; hints < 256; ++hints) {
    Bytes changed = good;
    changed.back() = static_cast<std::byte>(hints);
    CHECK_FAILS(decode_grant(changed), ErrorCode::Protocol);
  }
}

TEST_CASE("random requests come back as they were") {
  std::mt19937_64 random(4);
  const auto random_bytes = [&](auto& into) {
    for (std::byte& b : into)
      b = static_cast<std::byte>(random());
  };
  for (int i = 0; i < 2000; ++i) {
    const std::string client(1 + random() % 64, static_cast<char>('a' + random() % 26));
    AsRequest request{.cell = kCell,
                      .client = client,
                      .service = random() % 2 == 0 ? kTgsService : kAdminService,
                      .client_kvno = static_cast<std::uint32_t>(random()),
                      .life = Milliseconds{static_cast<std::int64_t>(random() % 100'000'000'000)},
                      .renew = Milliseconds{static_cast<std::int64_t>(random() % 2)}};
    random_bytes(request.nonce);
    random_bytes(request.proof);
    const auto bytes = encode_as_request(request);
    REQUIRE_OK(bytes);
    const auto back = decode_as_request(*bytes);
    REQUIRE_OK(back);
    CHECK(*back == request);
    CHECK(encode_as_request(*back).value() == *bytes);
  }
}

TEST_CASE("lengths over their limit are refused before anything is allocated or copied") {
  // A length field that claims 4 GiB in each message that begins with one.
  for (const int type : {1, 2, 3, 4, 5, 7, 8}) {
    Bytes claim{std::byte{1},    static_cast<std::byte>(type),
                std::byte{0xFF}, std::byte{0xFF},
                std::byte{0xFF}, std::byte{0xFF}};
    claim.resize(claim.size() + kMaxMessageBytes);
    CHECK_FAILS(decode_as_request(claim), ErrorCode::Protocol);
    CHECK_FAILS(decode_as_reply(claim), ErrorCode::Protocol);
    CHECK_FAILS(decode_tgs_request(claim), ErrorCode::Protocol);
    CHECK_FAILS(decode_tgs_reply(claim), ErrorCode::Protocol);
    CHECK_FAILS(decode_ap_request(claim), ErrorCode::Protocol);
    CHECK_FAILS(decode_ticket(claim), ErrorCode::Protocol);
    CHECK_FAILS(decode_travelling_proof(claim), ErrorCode::Protocol);
  }
  const Bytes too_long(kMaxTicketBytes + 1);
  CHECK_FAILS(encode_ap_request({.ticket = too_long}), ErrorCode::InvalidArgument);
  CHECK_FAILS(encode_as_reply({too_long, {}}), ErrorCode::InvalidArgument);
  CHECK_FAILS(encode_tgs_request({.ticket = too_long, .service = kService}),
              ErrorCode::InvalidArgument);
  CHECK_FAILS(encode_ticket({}, Bytes(kMaxSealedTicket + 1)), ErrorCode::InvalidArgument);
  CHECK_FAILS(decode_ticket(too_long), ErrorCode::Protocol);
}

TEST_CASE("only a TGT is renewed") {
  CHECK_FAILS(encode_tgs_request({.service = kService, .renew = true}), ErrorCode::InvalidArgument);
  Bytes request = encode_tgs_request({.service = kService}).value();
  request[request.size() - 32 - 16 - 1] = std::byte{1};
  CHECK_FAILS(decode_tgs_request(request), ErrorCode::Protocol);
  request[request.size() - 32 - 16 - 1] = std::byte{2};
  CHECK_FAILS(decode_tgs_request(request), ErrorCode::Protocol);
  CHECK_OK(encode_tgs_request({.service = kTgsService, .renew = true}));
}
