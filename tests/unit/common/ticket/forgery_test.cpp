// What an attacker can do to bytes that he cannot make himself.

#include <random>

#include "every_message.hpp"

using namespace ticket_test;

TEST_CASE("F39: a single flipped bit anywhere is refused, always alike") {
  const EveryMessage cell;
  for (const Presented& message : cell.all()) {
    CAPTURE(message.name);
    Bytes forged = message.good;
    for (std::size_t bit = 0; bit < forged.size() * 8; ++bit) {
      CAPTURE(bit);
      const auto mask = static_cast<std::byte>(1 << bit % 8);
      forged[bit / 8] ^= mask;
      CHECK_REFUSED(message.read(forged));
      forged[bit / 8] ^= mask;
    }
    // Last, because a proof is accepted once; and it shows that the reader can accept.
    CHECK_OK(message.read(message.good));
  }
}

TEST_CASE("F39: every truncation and every appended byte is refused, always alike") {
  const EveryMessage cell;
  for (const Presented& message : cell.all()) {
    CAPTURE(message.name);
    for (std::size_t size = 0; size < message.good.size(); ++size) {
      CAPTURE(size);
      // An exact copy, so that the sanitizer sees a read beyond the end.
      const Bytes cut(message.good.begin(), message.good.begin() + static_cast<long>(size));
      CHECK_REFUSED(message.read(cut));
      const Bytes tail(message.good.begin() + static_cast<long>(size) + 1, message.good.end());
      CHECK_REFUSED(message.read(tail));
    }
    for (int value = 0; value < 256; ++value) {
      Bytes longer = message.good;
      longer.push_back(static_cast<std::byte>(value));
      CHECK_REFUSED(message.read(longer));
    }
    CHECK_OK(message.read(message.good));
  }
}

TEST_CASE("F39: each decoder by itself refuses what is cut off or longer") {
  const EveryMessage cell;
  const std::pair<const char*, std::function<bool(ByteView)>> decoders[] = {
      {"as-req", [](ByteView b) { return decode_as_request(b).has_value(); }},
      {"as-rep", [](ByteView b) { return decode_as_reply(b).has_value(); }},
      {"tgs-req", [](ByteView b) { return decode_tgs_request(b).has_value(); }},
      {"tgs-rep", [](ByteView b) { return decode_tgs_reply(b).has_value(); }},
      {"ap-req", [](ByteView b) { return decode_ap_request(b).has_value(); }},
      {"ap-rep", [](ByteView b) { return decode_ap_reply(b).has_value(); }},
      {"proof", [](ByteView b) { return decode_travelling_proof(b).has_value(); }},
      {"ticket", [](ByteView b) { return decode_ticket(b).has_value(); }},
  };
  for (const auto& decoder : decoders) {
    CAPTURE(decoder.first);
    const auto& decodes = decoder.second;
    Bytes message = cell.of(decoder.first).good;
    CHECK(decodes(message));
    message.push_back(std::byte{0});
    CHECK_FALSE(decodes(message));
    for (std::size_t size = 0; size + 1 < message.size(); ++size)
      CHECK_FALSE(decodes(ByteView(message).first(size)));
  }
}

TEST_CASE("F39: every byte set to every extreme, runs of bytes, and bytes exchanged are refused") {
  const EveryMessage cell;
  std::mt19937 random(39);
  for (const Presented& message : cell.all()) {
    CAPTURE(message.name);
    const auto refuse_if_changed = [&](const Bytes& forged) {
      if (forged != message.good)
        CHECK_REFUSED(message.read(forged));
    };
    for (std::size_t at = 0; at < message.good.size(); ++at) {
      for (const int value : {0x00, 0x01, 0x7F, 0x80, 0xFF}) {
        Bytes forged = message.good;
        forged[at] = static_cast<std::byte>(value);
        refuse_if_changed(forged);
        for (std::size_t i = at; i < std::min(at + 4, forged.size()); ++i)
          forged[i] = static_cast<std::byte>(value);  // a whole length or number
        refuse_if_changed(forged);
      }
      Bytes swapped = message.good;
      std::swap(swapped[at], swapped[random() % swapped.size()]);
      refuse_if_changed(swapped);
    }
    CHECK_OK(message.read(message.good));
  }
}

TEST_CASE("F42: no message is taken for another, at any reader") {
  const EveryMessage cell;
  for (const Presented& message : cell.all()) {
    for (const Presented& reader : cell.all()) {
      if (message.name == reader.name)
        continue;
      CAPTURE(message.name);
      CAPTURE(reader.name);
      CHECK_REFUSED(reader.read(message.good));
      // Nor when its type byte says that it is.
      Bytes renamed = message.good;
      renamed[1] = reader.good[1];
      CHECK_REFUSED(reader.read(renamed));
    }
  }
}

TEST_CASE("F42: parts of one message do not serve in another") {
  const EveryMessage cell;
  const auto as_reply = decode_as_reply(cell.of("as-rep").good).value();
  const auto tgs_reply = decode_tgs_reply(cell.of("tgs-rep").good).value();
  // The sealed part of a reply in the place of a ticket's, with that ticket's own head.
  for (const ByteView sealed : {as_reply.sealed, tgs_reply.sealed}) {
    const Bytes head = encode_ticket_head(kCell, kService, 1).value();
    CHECK_REFUSED(cell.of("ticket").read(encode_ticket(head, sealed).value()));
  }
  // One reply's ticket beside another's grant, and the other way round.
  CHECK_REFUSED(
      cell.of("as-rep").read(encode_as_reply({tgs_reply.ticket, as_reply.sealed}).value()));
  CHECK_REFUSED(
      cell.of("as-rep").read(encode_as_reply({as_reply.ticket, tgs_reply.sealed}).value()));
  CHECK_REFUSED(
      cell.of("tgs-rep").read(encode_tgs_reply({as_reply.ticket, tgs_reply.sealed}).value()));
  CHECK_REFUSED(
      cell.of("tgs-rep").read(encode_tgs_reply({tgs_reply.ticket, as_reply.sealed}).value()));
  // A TGT where an AP request has a service's ticket, and the other way round.
  CHECK_REFUSED(
      cell.service.verifier.accept(cell.service.request(cell.tgt, cell.channel), cell.channel));
  const auto with_ticket =
      begin_tgs({.service = std::string(kService)}, cell.credential, cell.channel);
  CHECK_REFUSED(accept_tgs(cell.tgs, *with_ticket, cell.channel, cell.service.now()));
}

TEST_CASE("F42: a ticket for one service is refused by every other") {
  // The same key everywhere: the name alone must keep them apart.
  const std::string names[] = {"fileserver/fs1",         "fileserver/fs2",
                               "lockserver/ls1",         "fileserver/fs1x",
                               std::string(kTgsService), std::string(kAdminService)};
  const Channel channel = channel_of(1);
  for (const std::string& issued : names) {
    for (const std::string& shown : names) {
      CAPTURE(issued);
      CAPTURE(shown);
      const ServiceSide from(issued);
      const ServiceSide to(shown);
      const Credential credential = from.credential();
      if (issued == shown) {
        CHECK_OK(to.verifier.accept(to.request(credential, channel), channel));
        continue;
      }
      CHECK_REFUSED(to.verifier.accept(to.request(credential, channel), channel));
      // With the head rewritten, and the client claiming the other service throughout.
      const auto parts = decode_ticket(credential.ticket).value();
      const Bytes head = encode_ticket_head(kCell, shown, 1).value();
      Credential renamed = credential.clone();
      renamed.service = shown;
      renamed.ticket = encode_ticket(head, parts.sealed).value();
      CHECK_REFUSED(to.verifier.accept(to.request(renamed, channel), channel));
    }
  }
}

TEST_CASE("F39: a ticket of another cell is refused, also under the same service key") {
  const ServiceSide here;
  const auto foreign = seal_ticket(here.key, "another-cell", kService, 1, body_at(here.now()));
  REQUIRE_OK(foreign);
  CHECK_REFUSED(here.verifier.opener().open(*foreign, here.now()));
  const auto parts = decode_ticket(*foreign).value();
  const Bytes head = encode_ticket_head(kCell, kService, 1).value();
  CHECK_REFUSED(here.verifier.opener().open(encode_ticket(head, parts.sealed).value(), here.now()));
}

TEST_CASE("AP binding: a request is worth nothing on another connection (F38)") {
  ServiceSide service;
  const Credential credential = service.credential();
  const Bytes request = service.request(credential, channel_of(1));
  CHECK_OK(service.verifier.accept(request, channel_of(1)));
  // Replayed on another channel of the same server,
  CHECK_REFUSED(service.verifier.accept(request, channel_of(2)));
  // where one bit of the exporter value differs,
  for (std::size_t bit = 0; bit < 256; ++bit) {
    Channel other = channel_of(1);
    other[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    CHECK_REFUSED(service.verifier.accept(request, other));
  }
  // at a sibling, also at one that was given the same key by mistake,
  CHECK_REFUSED(ServiceSide("fileserver/fs2", 2).verifier.accept(request, channel_of(1)));
  CHECK_REFUSED(ServiceSide("fileserver/fs2", 1).verifier.accept(request, channel_of(1)));
  // and after a restart, where every connection is new.
  const ServiceSide restarted;
  CHECK_REFUSED(restarted.verifier.accept(request, channel_of(3)));
}

TEST_CASE("AP binding: each end proves the session key to the other") {
  ServiceSide service;
  const Channel channel = channel_of(1);
  Credential stolen = service.credential();
  stolen.session_key = key_of(98);  // a ticket without its session key
  CHECK_REFUSED(service.verifier.accept(service.request(stolen, channel), channel));

  const Credential credential = service.credential();
  const auto exchange = ApExchange::begin(credential, channel).value();
  const auto accepted = service.verifier.accept(exchange.request(), channel);
  REQUIRE_OK(accepted);
  CHECK_OK(exchange.finish(accepted->reply));
  // The reply to another request, though of the same ticket, session and channel.
  const auto again = ApExchange::begin(credential, channel).value();
  CHECK_FAILS(again.finish(accepted->reply), ErrorCode::Unauthenticated);
  // A machine that holds the TLS key only: it can make neither a reply of its own,
  const Bytes made =
      encode_ap_reply({.now = service.now(), .end = credential.validity.end}).value();
  CHECK_FAILS(exchange.finish(made), ErrorCode::Unauthenticated);
  // nor use the client's own proof as its answer.
  Bytes reflected = accepted->reply;
  std::copy_n(exchange.request().end() - 32, 32, reflected.end() - 32);
  CHECK_FAILS(exchange.finish(reflected), ErrorCode::Unauthenticated);
}

TEST_CASE("AP: a service that proves its key and says something else is not believed") {
  ServiceSide service;
  const Channel channel = channel_of(1);
  const Credential credential = service.credential();
  const auto exchange = ApExchange::begin(credential, channel).value();
  const Nonce nonce = decode_ap_request(exchange.request())->nonce;
  const auto reply = [&](const Nonce& with, Time end, const Channel& over) {
    Bytes bytes = encode_ap_reply({.nonce = with, .now = service.now(), .end = end}).value();
    const auto key = derive(credential.session_key, Purpose::ApReply, kCell, kService).value();
    const auto of_request = crypto::sha256(exchange.request()).value();
    const auto proof =
        crypto::hmac_sha256(key.bytes(), {over, of_request, before_proof(bytes)}).value();
    std::ranges::copy(proof, bytes.end() - 32);
    return exchange.finish(bytes);
  };
  const Time end = credential.validity.end;
  CHECK_OK(reply(nonce, end, channel));
  CHECK_FAILS(reply(Nonce{}, end, channel), ErrorCode::Unauthenticated);
  CHECK_FAILS(reply(nonce, end + Milliseconds{1}, channel), ErrorCode::Unauthenticated);
  CHECK_FAILS(reply(nonce, end, channel_of(2)), ErrorCode::Unauthenticated);
}

TEST_CASE("AS: a request is worth nothing on another connection or for another key") {
  const EveryMessage cell;
  const Bytes& request = cell.of("as-req").good;
  const auto decoded = decode_as_request(request).value();
  CHECK_OK(check_as_proof(cell.client_key, decoded, request, cell.channel));
  CHECK_REFUSED(check_as_proof(cell.client_key, decoded, request, channel_of(9)));
  CHECK_REFUSED(check_as_proof(key_of(43), decoded, request, cell.channel));
}

TEST_CASE("TGS: a request is worth nothing on another connection or without the session key") {
  const EveryMessage cell;
  const Bytes& request = cell.of("tgs-req").good;
  CHECK_REFUSED(accept_tgs(cell.tgs, request, channel_of(9), cell.service.now()));
  Credential stolen = cell.tgt.clone();
  stolen.session_key = key_of(98);
  const auto forged = begin_tgs({.service = std::string(kService)}, stolen, cell.channel);
  CHECK_REFUSED(accept_tgs(cell.tgs, *forged, cell.channel, cell.service.now()));
}

TEST_CASE("AS: a client takes only the grant and ticket that it asked for") {
  const EveryMessage cell;
  const AsWanted wanted{.cell = std::string(kCell), .client = "alice"};
  const Bytes request = begin_as(wanted, cell.client_key, cell.channel).value();
  const Time now = cell.service.now();
  const TicketBody body = body_at(now, 50);
  const auto finish = [&](std::string_view service, std::uint32_t kvno, const Grant& grant,
                          std::string_view cell_of_ticket = kCell) {
    const auto ticket = seal_ticket(key_of(7), cell_of_ticket, service, kvno, body).value();
    // With the context of alice's key whatever name the grant has.
    const auto reply_key = derive(cell.client_key, Purpose::AsReply, kCell, "alice").value();
    const auto sealed = seal_grant(reply_key, request, ticket, grant).value();
    return finish_as(wanted, cell.client_key, request, encode_as_reply({ticket, sealed}).value(),
                     Instant{});
  };
  CHECK_OK(finish(kTgsService, 4, grant_of(body, kTgsService, 4, now)));
  CHECK_REFUSED(finish(kAdminService, 4, grant_of(body, kTgsService, 4, now)));
  CHECK_REFUSED(finish(kAdminService, 4, grant_of(body, kAdminService, 4, now)));
  CHECK_REFUSED(finish(kTgsService, 4, grant_of(body, kAdminService, 4, now)));
  CHECK_REFUSED(finish(kTgsService, 4, grant_of(body, kTgsService, 5, now)));
  CHECK_REFUSED(finish(kTgsService, 4, grant_of(body, kTgsService, 4, now), "another-cell"));
  Grant for_bob = grant_of(body, kTgsService, 4, now);
  for_bob.client.name = "bob";
  CHECK_REFUSED(finish(kTgsService, 4, for_bob));
}
