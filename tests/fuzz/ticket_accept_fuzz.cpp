// Verifier::accept against an attacker. The first byte of the input chooses what he has:
//   0  bytes of his own
//   1  a good request, which he changes: pairs of position and what to flip there
//   2  a ticket and session key of a buggy or newer KDC: the rest of the input is the ticket's body
// In the first two nothing is accepted that is not the good request itself, and every refusal is
// the same. In the third anything may come out, but what is accepted says what the body said.

#include <iterator>
#include <memory>

#include "common/clock.hpp"
#include "common/crypto/aead.hpp"
#include "common/ticket/credential.hpp"
#include "common/ticket/verifier.hpp"
#include "tests/fuzz/ticket_fuzz.hpp"

namespace {

using namespace common;
using namespace common::ticket;

constexpr std::string_view kCell = "c0ffee0000000001";
constexpr std::string_view kService = "fileserver/fs1";
constexpr Channel kChannel{std::byte{0xC4}};

template <typename T>
T must(Result<T> result) {
  fuzz::require(result.has_value(), "the target's own preparations");
  return *std::move(result);
}

// One service, and one request that it accepts.
struct World {
  World()
      : key(Bytes(kKeyBytes, std::byte{1})),
        verifier(std::string(kCell), std::string(kService), clock) {
    const auto secret = crypto::Secret::copy_of(key);
    Keytab keytab = must(Keytab::make(kCell, kService));
    fuzz::require(keytab.add(1, secret.clone()).has_value(), "a key");
    fuzz::require(verifier.set_keys(keytab).has_value(), "keys");
    const Time now = to_time(clock.wall_now());
    TicketBody body;
    body.session_key = crypto::Secret::copy_of(Bytes(kKeyBytes, std::byte{2}));
    body.client = {"alice", Kind::User, PrincipalId{10'000}};
    body.client_kvno = 1;
    body.validity = {now, now, now + std::chrono::hours(10), std::nullopt, false};
    body.groups = {kAnyUser, kAuthUser};
    Credential credential;
    credential.cell = kCell;
    credential.service = kService;
    credential.ticket = must(seal_ticket(secret, kCell, kService, 1, body));
    credential.session_key = body.session_key.clone();
    request = must(ApExchange::begin(credential, kChannel)).request();
    head = must(encode_ticket_head(kCell, kService, 1));
    ticket_key =
        std::make_unique<crypto::Secret>(must(derive(secret, Purpose::Ticket, kCell, kService)));
  }
  ManualClock clock;
  Bytes key;
  Verifier verifier;
  Bytes request;
  Bytes head;
  std::unique_ptr<crypto::Secret> ticket_key;
};

World& world() {
  static World the_world;
  return the_world;
}

void check_refused(const Result<Accepted>& result) {
  const auto expected = refused();
  fuzz::require(!result, "nobody is let in without a proof");
  fuzz::require(result.error().code == expected.value().code &&
                    result.error().message == expected.value().message,
                "every refusal is the same");
}

void change_good_request(ByteView changes) {
  Bytes request = world().request;
  for (; changes.size() >= 3; changes = changes.subspan(3)) {
    const auto at =
        (std::to_integer<std::size_t>(changes[0]) << 8 | std::to_integer<std::size_t>(changes[1])) %
        request.size();
    request[at] ^= changes[2];
  }
  if (changes.size() == 1) {
    const auto less = std::to_integer<std::ptrdiff_t>(changes[0]);
    request.erase(request.end() - std::min(less, std::ssize(request)), request.end());
  }
  if (changes.size() == 2)
    request.insert(request.end(), changes.begin(), changes.end());
  const auto result = world().verifier.accept(request, kChannel);
  if (request == world().request)
    fuzz::require(result.has_value(), "the good request is accepted");
  else
    check_refused(result);
}

void present_any_body(ByteView plain) {
  if (plain.size() > kMaxSealedTicket - crypto::kAeadOverhead)
    return;
  Credential credential;
  credential.cell = kCell;
  credential.service = kService;
  credential.ticket = must(
      encode_ticket(world().head, must(crypto::seal(*world().ticket_key, plain, world().head))));
  constexpr std::size_t kSessionKeyAt = 18;  // version, type, id
  credential.session_key = crypto::Secret::copy_of(plain.size() >= kSessionKeyAt + kKeyBytes
                                                       ? plain.subspan(kSessionKeyAt, kKeyBytes)
                                                       : ByteView(Bytes(kKeyBytes)));
  const auto exchange = must(ApExchange::begin(credential, kChannel));
  const auto accepted = world().verifier.accept(exchange.request(), kChannel);
  const auto body = decode_ticket_body(plain);
  if (!body) {
    check_refused(accepted);
    return;
  }
  if (!accepted) {
    fuzz::require(!check_times(body->validity, to_time(world().clock.wall_now())),
                  "a good body is refused for its times only");
    return;
  }
  fuzz::require(accepted->identity.client == body->client &&
                    accepted->identity.groups == body->groups &&
                    accepted->identity.validity == body->validity,
                "the identity is the ticket's");
}

}  // namespace

FUZZ_TARGET(ticket_accept) {
  if (size == 0)
    return 0;
  const ByteView rest = fuzz::bytes(data + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      check_refused(world().verifier.accept(rest, kChannel));
      break;
    case 1:
      change_good_request(rest);
      break;
    default:
      present_any_body(rest);
      break;
  }
  return 0;
}
