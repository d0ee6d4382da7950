// The messages of kdc/PROTOCOL.md, byte by byte. What is sealed or proven is put together here a
// second time, from the document's words and bare cryptography, and must be what common/ticket
// takes.

#include "common/crypto/aead.hpp"
#include "common/crypto/hash.hpp"
#include "common/crypto/hkdf.hpp"
#include "common/ticket/exchange.hpp"
#include "common/ticket/keytab.hpp"
#include "common/ticket/proof.hpp"
#include "common/ticket/verifier.hpp"
#include "common/wire/binary.hpp"
#include "common/wire/hex.hpp"
#include "golden.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

using namespace common;
using namespace common::ticket;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view kCell = "c0ffee0000000001";
constexpr std::string_view kService = "fileserver/fs1";
const Time kNow{Milliseconds{1'700'000'000'000}};

Bytes filled(std::size_t size, int value) {
  return Bytes(size, static_cast<std::byte>(value));
}

crypto::Secret key_of(int value) {
  return crypto::Secret::copy_of(filled(32, value));
}

template <typename Array>
Array array_of(int value) {
  Array array;
  array.fill(static_cast<std::byte>(value));
  return array;
}

const Channel kChannel = array_of<Channel>(0xC4);
const crypto::Digest kHead = array_of<crypto::Digest>(0x4E);

// "HKDF-SHA256 … over the info troth/v1/, label, NUL, context", context being cell, NUL, name.
crypto::Secret derived(const crypto::Secret& master, const std::string& of, std::string_view name,
                       ByteView more = {}) {
  std::string info = "troth/v1/" + of;
  info.push_back('\0');
  info.append(kCell).push_back('\0');
  info.append(name);
  if (!more.empty())
    info.append(1, '\0').append(as_text(more));
  return crypto::hkdf_sha256(master.bytes(), {}, as_bytes(info), 32).value();
}

Bytes joined(std::initializer_list<ByteView> pieces) {
  Bytes all;
  for (const ByteView piece : pieces)
    all.insert(all.end(), piece.begin(), piece.end());
  return all;
}

Bytes with_proof(const crypto::Secret& key, std::initializer_list<ByteView> before,
                 const Bytes& message, std::initializer_list<ByteView> after = {}) {
  const Bytes covered = joined({joined(before), message, joined(after)});
  const auto mac = crypto::hmac_sha256(key.bytes(), covered).value();
  return joined({message, mac});
}

Bytes sealed(const crypto::Secret& key, const Bytes& plain, const Bytes& associated) {
  return crypto::seal_with_nonce_for_test(key, filled(12, 0x55), plain, associated).value();
}

Bytes ticket_head(std::string_view service, std::uint32_t kvno) {
  wire::BinaryWriter out;
  out.u8(1).u8(7).text(kCell).text(service).u32(kvno);
  return out.take();
}

// A renewable initial ticket of alice's, with three groups.
Bytes body(int session_key) {
  wire::BinaryWriter out;
  out.u8(1).u8(17).fixed(filled(16, 0x1D)).fixed(filled(32, session_key));
  out.text("alice").u8(1).u32(10'000).u32(3);
  out.u64(1'700'000'000'000).u64(1'700'000'000'000).u64(1'700'036'000'000).u64(1'700'604'800'000);
  out.u32(3).u64(7).u32(3).u32(1).u32(2).u32(10'001).u8(0);
  return out.take();
}

Bytes ticket_for(std::string_view service, int service_key, std::uint32_t kvno, int session_key) {
  const Bytes head = ticket_head(service, kvno);
  wire::BinaryWriter out;
  out.fixed(head).bytes(
      sealed(derived(key_of(service_key), "troth ticket v1", service), body(session_key), head));
  return out.take();
}

Bytes grant(std::string_view service, std::uint32_t kvno, int session_key) {
  wire::BinaryWriter out;
  out.u8(1).u8(18).fixed(filled(32, session_key)).text("alice").u8(1).u32(10'000);
  out.text(service).u32(kvno);
  out.u64(1'700'000'000'000).u64(1'700'000'000'000).u64(1'700'036'000'000).u64(1'700'604'800'000);
  out.u32(3).u64(1'700'000'000'000).u64(1'700'864'000'000).u8(3);
  return out.take();
}

Bytes reply(int type, const crypto::Secret& key, const Bytes& request, const Bytes& with_ticket,
            const Bytes& with_grant) {
  const auto of_request = crypto::sha256(request).value();
  const auto of_ticket = crypto::sha256(with_ticket).value();
  wire::BinaryWriter out;
  out.u8(1).u8(static_cast<std::uint8_t>(type)).bytes(with_ticket);
  out.bytes(sealed(key, with_grant, joined({of_request, of_ticket})));
  return out.take();
}

Keytab keytab_of(std::string_view name, int key, std::uint32_t kvno) {
  Keytab keytab = Keytab::make(kCell, name).value();
  REQUIRE_OK(keytab.add(kvno, key_of(key)));
  return keytab;
}

}  // namespace

TEST_CASE("tickets keep their form") {
  const Bytes bytes = golden("ticket_ticket.hex", ticket_for(kService, 1, 5, 0x60));
  TicketOpener opener{std::string(kCell), std::string(kService)};
  REQUIRE_OK(opener.set_keys(keytab_of(kService, 1, 5)));
  const auto opened = opener.open(bytes, kNow);
  REQUIRE_OK(opened);
  CHECK(opened->client == Principal{"alice", Kind::User, PrincipalId{10'000}});
  CHECK(opened->client_kvno == 3);
  CHECK(opened->id == array_of<TicketId>(0x1D));
  CHECK(opened->validity == Validity{kNow, kNow, kNow + 10h, kNow + 168h, true});
  CHECK(opened->directory == 7);
  CHECK(opened->groups == std::vector{kAnyUser, kAuthUser, PrincipalId{10'001}});
  CHECK(as_text(opened->session_key.bytes()) == as_text(filled(32, 0x60)));
  golden("ticket_body.hex", body(0x60));
  Bytes room(kMaxSealedTicket);
  room.resize(encode_ticket_body(*opened, room).value());
  CHECK(room == body(0x60));
}

TEST_CASE("the AS exchange keeps its form") {
  const auto alice = key_of(42);
  wire::BinaryWriter out;
  out.u8(1).u8(1).text(kCell).text("alice").text("kdc/tgs").u32(3);
  out.u64(36'000'000).u64(604'800'000).fixed(filled(16, 0xA5));
  const Bytes request =
      golden("ticket_as_request.hex",
             with_proof(derived(alice, "troth as-req v1", "alice"), {kChannel}, out.take()));
  const auto decoded = decode_as_request(request);
  REQUIRE_OK(decoded);
  CHECK(decoded->life == 10h);
  CHECK(decoded->renew == 168h);
  CHECK(decoded->client_kvno == 3);
  CHECK(encode_as_request(*decoded).value() == request);
  CHECK_OK(check_as_proof(alice, *decoded, request, kChannel));

  const Bytes tgt = ticket_for(kTgsService, 7, 4, 0x50);
  const Bytes bytes = golden("ticket_as_reply.hex",
                             reply(2, derived(alice, "troth as-rep v1", "alice"), request, tgt,
                                   golden("ticket_grant.hex", grant(kTgsService, 4, 0x50))));
  const auto credential =
      finish_as({.cell = std::string(kCell), .client = "alice"}, alice, request, bytes, Instant{});
  REQUIRE_OK(credential);
  CHECK(credential->ticket == tgt);
  CHECK(credential->kvno == 4);
  CHECK(credential->validity == Validity{kNow, kNow, kNow + 10h, kNow + 168h, true});
  CHECK(credential->kdc_now == kNow);
  CHECK(credential->password_end == kNow + 240h);
  CHECK(credential->raise_parameters);
  CHECK(credential->password_ends_soon);
}

TEST_CASE("the TGS exchange keeps its form") {
  const auto session = key_of(0x50);
  wire::BinaryWriter out;
  out.u8(1).u8(3).bytes(ticket_for(kTgsService, 7, 4, 0x50)).text(kService).u64(3'600'000).u8(0);
  out.fixed(filled(16, 0xA5));
  const Bytes request =
      golden("ticket_tgs_request.hex",
             with_proof(derived(session, "troth tgs-req v1", "kdc/tgs"), {kChannel}, out.take()));
  TicketOpener tgs{std::string(kCell), std::string(kTgsService)};
  REQUIRE_OK(tgs.set_keys(keytab_of(kTgsService, 7, 4)));
  const auto accepted = accept_tgs(tgs, request, kChannel, kNow);
  REQUIRE_OK(accepted);
  CHECK(accepted->request.service == kService);
  CHECK(accepted->request.life == 1h);
  CHECK_FALSE(accepted->request.renew);

  const Bytes bytes = golden("ticket_tgs_reply.hex",
                             reply(4, derived(session, "troth tgs-rep v1", "kdc/tgs"), request,
                                   ticket_for(kService, 1, 5, 0x60), grant(kService, 5, 0x60)));
  Credential tgt;
  tgt.cell = kCell;
  tgt.client.name = "alice";
  tgt.session_key = key_of(0x50);
  CHECK_OK(finish_tgs({.service = std::string(kService)}, tgt, request, bytes, Instant{}));
}

TEST_CASE("the AP exchange keeps its form") {
  const auto session = key_of(0x60);
  wire::BinaryWriter out;
  out.u8(1).u8(5).bytes(ticket_for(kService, 1, 5, 0x60)).fixed(filled(16, 0xA5));
  const Bytes request =
      golden("ticket_ap_request.hex",
             with_proof(derived(session, "troth ap-req v1", kService), {kChannel}, out.take()));
  const ManualClock clock;
  REQUIRE(to_time(clock.wall_now()) == kNow);
  Verifier verifier{std::string(kCell), std::string(kService), clock};
  REQUIRE_OK(verifier.set_keys(keytab_of(kService, 1, 5)));
  const auto accepted = verifier.accept(request, kChannel);
  REQUIRE_OK(accepted);
  CHECK(as_text(accepted->connection_key.bytes()) ==
        as_text(derived(session, "troth connection v1", kService, kChannel).bytes()));

  wire::BinaryWriter answer;
  answer.u8(1).u8(6).fixed(filled(16, 0xA5)).u64(1'700'000'000'000).u64(1'700'036'000'000);
  const auto of_request = crypto::sha256(request).value();
  CHECK(accepted->reply ==
        golden("ticket_ap_reply.hex", with_proof(derived(session, "troth ap-rep v1", kService),
                                                 {kChannel, of_request}, answer.take())));
}

TEST_CASE("proofs that travel keep their form") {
  wire::BinaryWriter out;
  out.u8(1).u8(8).bytes(ticket_for(kService, 1, 5, 0x60)).u64(1'700'000'000'000);
  out.fixed(filled(16, 0xA5)).fixed(filled(32, 0xC0));
  const Bytes bytes = golden(
      "ticket_proof.hex",
      with_proof(derived(key_of(0x60), "troth proof v1", kService), {}, out.take(), {kHead}));
  const ManualClock clock;
  REQUIRE(to_time(clock.wall_now()) == kNow);
  TicketOpener opener{std::string(kCell), std::string(kService)};
  REQUIRE_OK(opener.set_keys(keytab_of(kService, 1, 5)));
  const test_support::TempDir directory;
  const auto cache =
      ReplayCache::open({.path = (directory / "proofs").string(), .capacity = 1024}, kNow - 1h);
  REQUIRE_OK(cache);
  const auto proven = ProofVerifier(opener, **cache, clock).accept(bytes, kHead);
  REQUIRE_OK(proven);
  CHECK(proven->content == array_of<crypto::Digest>(0xC0));
}

TEST_CASE("keytabs keep their form") {
  wire::BinaryWriter out;
  out.u8(1).u8(9).text(kCell).text(kService).u32(2);
  out.u32(4).u64(1'700'000'000'000).fixed(filled(32, 1));
  out.u32(5).u64(0).fixed(filled(32, 2));
  const Bytes content = out.take();
  const auto checksum = crypto::sha256(content).value();
  const Bytes bytes = golden("ticket_keytab.hex", joined({content, checksum}));
  const auto keytab = decode_keytab(bytes);
  REQUIRE_OK(keytab);
  CHECK(keytab->find(4, kNow - 1ms) != nullptr);
  CHECK(keytab->find(4, kNow) == nullptr);
  CHECK(keytab->find(5, kNow) != nullptr);
  CHECK(as_text(encode_keytab(*keytab).value().bytes()) == as_text(bytes));
}
