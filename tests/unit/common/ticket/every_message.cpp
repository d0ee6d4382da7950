#include "every_message.hpp"

#include <algorithm>

namespace ticket_test {
namespace {

constexpr std::uint32_t kTgsKvno = 4;

template <typename T>
Status outcome(const Result<T>& result) {
  if (!result)
    return tl::unexpected<Error>(result.error());
  return {};
}

Bytes copy(ByteView view) {
  return {view.begin(), view.end()};
}

}  // namespace

EveryMessage::EveryMessage() : tgs(std::string(kCell), std::string(kTgsService)) {
  REQUIRE_OK(tgs.set_keys(keytab_of(kTgsService, 7, kTgsKvno)));
  // Opened long ago, so that its floor is no reason to refuse.
  auto cache = ReplayCache::open({.path = (directory_ / "proofs").string(), .capacity = 1024},
                                 now() - std::chrono::hours(1));
  REQUIRE_OK(cache);
  cache_ = *std::move(cache);
  proofs_ = std::make_unique<ProofVerifier>(service.verifier.opener(), *cache_, service.clock);
  add_as();
  add_tgs();
  add_ap();
  add("keytab", copy(encode_keytab(keytab_of(kService, 1)).value().bytes()),
      [](ByteView bytes) { return decode_keytab(bytes) ? Status() : Status(refused()); });
}

void EveryMessage::add(std::string name, Bytes good, std::function<Status(ByteView)> read) {
  all_.push_back({std::move(name), std::move(good), std::move(read)});
}

const Presented& EveryMessage::of(std::string_view name) const {
  const auto found = std::ranges::find(all_, name, &Presented::name);
  REQUIRE(found != all_.end());
  return *found;
}

void EveryMessage::add_as() {
  const AsWanted wanted = wanted_by_alice();
  const Bytes request = begin_as(wanted, client_key, channel).value();
  add("as-req", request, [this](ByteView bytes) -> Status {
    const auto decoded = decode_as_request(bytes);
    // As the KDC answers: alike, whether it is ill-formed or not proven.
    if (!decoded)
      return refused();
    return check_as_proof(client_key, *decoded, bytes, channel);
  });
  const TicketBody body = body_at(now(), 50);
  const Bytes ticket = seal_ticket(key_of(7), kCell, kTgsService, kTgsKvno, body).value();
  tgt = credential_of(body, ticket, kTgsService, now(), kTgsKvno);
  add("tgt", ticket, [this](ByteView bytes) { return outcome(tgs.open(bytes, now())); });
  add("as-rep",
      make_as_reply(client_key, request, ticket, kCell,
                    grant_of(body, kTgsService, kTgsKvno, now()))
          .value(),
      [this, wanted, request](ByteView bytes) {
        return outcome(finish_as(wanted, client_key, request, bytes, service.clock.now()));
      });
}

void EveryMessage::add_tgs() {
  const TgsWanted wanted{.service = std::string(kService), .life = std::chrono::hours(1)};
  const Bytes request = begin_tgs(wanted, tgt, channel).value();
  add("tgs-req", request,
      [this](ByteView bytes) { return outcome(accept_tgs(tgs, bytes, channel, now())); });
  const TicketBody body = body_at(now(), 60);
  credential = service.credential(body);
  add("ticket", credential.ticket,
      [this](ByteView bytes) { return outcome(service.verifier.opener().open(bytes, now())); });
  const auto accepted = accept_tgs(tgs, request, channel, now());
  REQUIRE_OK(accepted);
  add("tgs-rep",
      make_tgs_reply(accepted->tgt, request, credential.ticket, kCell,
                     grant_of(body, kService, 1, now()))
          .value(),
      [this, wanted, request](ByteView bytes) {
        return outcome(finish_tgs(wanted, tgt, request, bytes, service.clock.now()));
      });
}

void EveryMessage::add_ap() {
  exchange_ = std::make_unique<ApExchange>(ApExchange::begin(credential, channel).value());
  add("ap-req", exchange_->request(),
      [this](ByteView bytes) { return outcome(service.verifier.accept(bytes, channel)); });
  add("ap-rep", service.verifier.accept(exchange_->request(), channel).value().reply,
      [this](ByteView bytes) -> Status {
        // The client has a sentence of its own, always the same one.
        const auto session = exchange_->finish(bytes);
        if (session)
          return {};
        const auto other = exchange_->finish(ByteView{});
        CHECK(session.error().code == ErrorCode::Unauthenticated);
        CHECK(session.error().message == other.error().message);
        return refused();
      });
  add("proof", make_travelling_proof(credential, head, content, now()).value(),
      [this](ByteView bytes) { return outcome(proofs_->accept(bytes, head)); });
}

}  // namespace ticket_test
