#include "common/ticket/messages.hpp"

#include <algorithm>
#include <functional>

#include "common/ticket/codec.hpp"
#include "common/wire/binary.hpp"

namespace common::ticket {
namespace {

using codec::Type;
using wire::BinaryReader;
using wire::BinaryWriter;

constexpr std::uint32_t kFlagRenewable = 1;
constexpr std::uint32_t kFlagInitial = 2;
constexpr std::uint8_t kHintRaise = 1;
constexpr std::uint8_t kHintPasswordEnds = 2;
constexpr std::uint8_t kNoExtensions = 0;

tl::unexpected<Error> not_encodable(const char* what) {
  return fail(ErrorCode::InvalidArgument, "a {} that nobody would accept", what);
}

// ---- parts that several messages have

Status check_validity(const Validity& validity) {
  const bool times = codec::encodable(validity.authenticated) && codec::encodable(validity.start) &&
                     codec::encodable(validity.end) && codec::encodable(validity.renew_till);
  if (!times || validity.start >= validity.end ||
      (validity.renew_till && *validity.renew_till < validity.end)) {
    return fail(ErrorCode::Protocol, "a ticket whose times contradict each other");
  }
  return {};
}

template <typename Writer>
void put_validity(Writer& out, const Validity& validity) {
  out.u64(codec::number(validity.authenticated))
      .u64(codec::number(validity.start))
      .u64(codec::number(validity.end))
      .u64(codec::number(validity.renew_till))
      .u32((validity.renew_till ? kFlagRenewable : 0) | (validity.initial ? kFlagInitial : 0));
}

Result<Validity> take_validity(BinaryReader& in) {
  Validity validity;
  TROTH_TRY(validity.authenticated, codec::take_time(in));
  TROTH_TRY(validity.start, codec::take_time(in));
  TROTH_TRY(validity.end, codec::take_time(in));
  TROTH_TRY(validity.renew_till, codec::take_optional_time(in));
  TROTH_TRY(const std::uint32_t flags, in.u32());
  if ((flags & ~(kFlagRenewable | kFlagInitial)) != 0)
    return fail(ErrorCode::Protocol, "an unknown flag");
  if (((flags & kFlagRenewable) != 0) != validity.renew_till.has_value())
    return fail(ErrorCode::Protocol, "renewable without an end to it, or the other way round");
  validity.initial = (flags & kFlagInitial) != 0;
  TROTH_TRY_VOID(check_validity(validity));
  return validity;
}

Status check_principal(const Principal& principal) {
  if (principal.id == kNobody || principal.id > kHighestId)
    return fail(ErrorCode::Protocol, "a principal's id that is nobody's");
  return check_name(principal.kind, principal.name);
}

template <typename Writer>
void put_principal(Writer& out, const Principal& principal) {
  out.text(principal.name).u8(static_cast<std::uint8_t>(principal.kind)).u32(principal.id.value);
}

Result<Principal> take_principal(BinaryReader& in) {
  TROTH_TRY(const std::string_view name, codec::take_text(in, kMaxPrincipalName));
  TROTH_TRY(const std::uint8_t kind, in.u8());
  TROTH_TRY(const std::uint32_t id, in.u32());
  Principal principal{std::string(name), static_cast<Kind>(kind), PrincipalId(id)};
  TROTH_TRY_VOID(codec::as_protocol(check_principal(principal)));
  return principal;
}

Result<crypto::Secret> take_key(BinaryReader& in) {
  TROTH_TRY(const ByteView key, in.fixed(kKeyBytes));
  return crypto::Secret::copy_of(key);
}

Status check_groups(const std::vector<PrincipalId>& groups) {
  if (groups.size() > kMaxGroups)
    return fail(ErrorCode::Protocol, "more than {} groups", kMaxGroups);
  // Ascending without repetition: each is greater than the one before.
  const bool ascending =
      std::adjacent_find(groups.begin(), groups.end(), std::greater_equal<>()) == groups.end();
  if (!ascending || (!groups.empty() && (groups.front() == kNobody || groups.back() > kHighestId)))
    return fail(ErrorCode::Protocol, "groups out of order, repeated or nobody's");
  return {};
}

Result<std::vector<PrincipalId>> take_groups(BinaryReader& in) {
  TROTH_TRY(const std::uint32_t count, in.u32());
  if (count > kMaxGroups)
    return fail(ErrorCode::Protocol, "more than {} groups", kMaxGroups);
  TROTH_TRY(const ByteView raw, in.fixed(std::size_t{count} * 4));
  std::vector<PrincipalId> groups;
  groups.reserve(count);
  BinaryReader each(raw);
  for (std::uint32_t i = 0; i < count; ++i) {
    TROTH_TRY(const std::uint32_t id, each.u32());
    groups.push_back(PrincipalId(id));
  }
  TROTH_TRY_VOID(check_groups(groups));
  return groups;
}

Result<KdcReply> decode_kdc_reply(ByteView input, Type type) {
  BinaryReader in(input);
  TROTH_TRY_VOID(codec::take_header(in, kVersion, type));
  KdcReply reply;
  TROTH_TRY(reply.ticket, in.bytes(kMaxTicketBytes));
  TROTH_TRY(reply.sealed, in.bytes(kMaxSealedGrant));
  TROTH_TRY_VOID(in.finish());
  return reply;
}

Result<Bytes> encode_kdc_reply(const KdcReply& reply, Type type) {
  if (reply.ticket.size() > kMaxTicketBytes || reply.sealed.size() > kMaxSealedGrant)
    return not_encodable("reply");
  BinaryWriter out;
  codec::put_header(out, kVersion, type);
  out.bytes(reply.ticket).bytes(reply.sealed);
  return out.take();
}

}  // namespace

// ---- tickets

Result<TicketView> decode_ticket(ByteView input) {
  if (input.size() > kMaxTicketBytes)
    return fail(ErrorCode::Protocol, "a ticket of {} bytes", input.size());
  BinaryReader in(input);
  TROTH_TRY_VOID(codec::take_header(in, kVersion, Type::Ticket));
  TicketView ticket;
  TROTH_TRY(ticket.cell, codec::take_cell(in));
  TROTH_TRY(ticket.service, codec::take_service(in));
  TROTH_TRY(ticket.kvno, in.u32());
  if (ticket.kvno == 0)
    return fail(ErrorCode::Protocol, "a key without a number");
  ticket.associated = input.first(input.size() - in.remaining());
  TROTH_TRY(ticket.sealed, in.bytes(kMaxSealedTicket));
  TROTH_TRY_VOID(in.finish());
  return ticket;
}

Result<Bytes> encode_ticket_head(std::string_view cell, std::string_view service,
                                 std::uint32_t kvno) {
  TROTH_TRY_VOID(check_cell_id(cell));
  TROTH_TRY_VOID(check_service_name(service));
  if (kvno == 0)
    return not_encodable("ticket");
  BinaryWriter out;
  codec::put_header(out, kVersion, Type::Ticket);
  out.text(cell).text(service).u32(kvno);
  return out.take();
}

Result<Bytes> encode_ticket(ByteView head, ByteView sealed) {
  if (sealed.size() > kMaxSealedTicket)
    return not_encodable("ticket");
  BinaryWriter out;
  out.fixed(head).bytes(sealed);
  return out.take();
}

Result<TicketBody> decode_ticket_body(ByteView input) {
  BinaryReader in(input);
  TROTH_TRY_VOID(codec::take_header(in, kVersion, Type::TicketBody));
  TicketBody body;
  TROTH_TRY(body.id, codec::take_array<TicketId>(in));
  TROTH_TRY(body.session_key, take_key(in));
  TROTH_TRY(body.client, take_principal(in));
  TROTH_TRY(body.client_kvno, in.u32());
  TROTH_TRY(body.validity, take_validity(in));
  TROTH_TRY(body.directory, in.u64());
  TROTH_TRY(body.groups, take_groups(in));
  TROTH_TRY(const std::uint8_t extensions, in.u8());
  if (extensions != kNoExtensions || body.client_kvno == 0)
    return fail(ErrorCode::Protocol, "an extension, or a key without a number");
  TROTH_TRY_VOID(in.finish());
  return body;
}

Result<std::size_t> encode_ticket_body(const TicketBody& body, std::span<std::byte> out) {
  if (body.session_key.size() != kKeyBytes || body.client_kvno == 0 ||
      !check_principal(body.client) || !check_validity(body.validity) ||
      !check_groups(body.groups)) {
    return not_encodable("ticket");
  }
  codec::SecretWriter writer(out);
  codec::put_header(writer, kVersion, Type::TicketBody);
  writer.fixed(body.id).fixed(body.session_key.bytes());
  put_principal(writer, body.client);
  writer.u32(body.client_kvno);
  put_validity(writer, body.validity);
  writer.u64(body.directory).u32(static_cast<std::uint32_t>(body.groups.size()));
  for (const PrincipalId group : body.groups)
    writer.u32(group.value);
  writer.u8(kNoExtensions);
  return writer.size();
}

// ---- what the KDC seals for the client

Result<Grant> decode_grant(ByteView input) {
  BinaryReader in(input);
  TROTH_TRY_VOID(codec::take_header(in, kVersion, Type::Grant));
  Grant grant;
  TROTH_TRY(grant.session_key, take_key(in));
  TROTH_TRY(grant.client, take_principal(in));
  TROTH_TRY(grant.service, codec::take_service(in));
  TROTH_TRY(grant.kvno, in.u32());
  TROTH_TRY(grant.validity, take_validity(in));
  TROTH_TRY(grant.kdc_now, codec::take_time(in));
  TROTH_TRY(grant.password_end, codec::take_optional_time(in));
  TROTH_TRY(const std::uint8_t hints, in.u8());
  if ((hints & ~(kHintRaise | kHintPasswordEnds)) != 0 || grant.kvno == 0)
    return fail(ErrorCode::Protocol, "an unknown hint, or a key without a number");
  grant.raise_parameters = (hints & kHintRaise) != 0;
  grant.password_ends_soon = (hints & kHintPasswordEnds) != 0;
  TROTH_TRY_VOID(in.finish());
  return grant;
}

Result<std::size_t> encode_grant(const Grant& grant, std::span<std::byte> out) {
  if (grant.session_key.size() != kKeyBytes || grant.kvno == 0 || !check_principal(grant.client) ||
      !check_service_name(grant.service) || !check_validity(grant.validity) ||
      !codec::encodable(grant.kdc_now) || !codec::encodable(grant.password_end)) {
    return not_encodable("grant");
  }
  codec::SecretWriter writer(out);
  codec::put_header(writer, kVersion, Type::Grant);
  writer.fixed(grant.session_key.bytes());
  put_principal(writer, grant.client);
  writer.text(grant.service).u32(grant.kvno);
  put_validity(writer, grant.validity);
  writer.u64(codec::number(grant.kdc_now))
      .u64(codec::number(grant.password_end))
      .u8(static_cast<std::uint8_t>((grant.raise_parameters ? kHintRaise : 0) |
                                    (grant.password_ends_soon ? kHintPasswordEnds : 0)));
  return writer.size();
}

// ---- AS and TGS

Result<AsRequest> decode_as_request(ByteView input) {
  BinaryReader in(input);
  TROTH_TRY_VOID(codec::take_header(in, kVersion, Type::AsRequest));
  AsRequest request;
  TROTH_TRY(request.cell, codec::take_cell(in));
  TROTH_TRY(request.client, codec::take_text(in, kMaxPrincipalName));
  if (!kind_of(request.client))
    return fail(ErrorCode::Protocol, "an ill-formed client name");
  TROTH_TRY(request.service, codec::take_service(in));
  TROTH_TRY(request.client_kvno, in.u32());
  TROTH_TRY(request.life, codec::take_milliseconds(in));
  TROTH_TRY(request.renew, codec::take_milliseconds(in));
  TROTH_TRY(request.nonce, codec::take_array<Nonce>(in));
  TROTH_TRY(request.proof, codec::take_array<Mac>(in));
  TROTH_TRY_VOID(in.finish());
  return request;
}

Result<Bytes> encode_as_request(const AsRequest& request) {
  TROTH_TRY_VOID(check_cell_id(request.cell));
  TROTH_TRY_VOID(kind_of(request.client));
  TROTH_TRY_VOID(check_service_name(request.service));
  if (!codec::encodable(request.life) || !codec::encodable(request.renew))
    return not_encodable("request");
  BinaryWriter out;
  codec::put_header(out, kVersion, Type::AsRequest);
  out.text(request.cell).text(request.client).text(request.service).u32(request.client_kvno);
  out.u64(codec::number(request.life)).u64(codec::number(request.renew));
  out.fixed(request.nonce).fixed(request.proof);
  return out.take();
}

Result<TgsRequest> decode_tgs_request(ByteView input) {
  BinaryReader in(input);
  TROTH_TRY_VOID(codec::take_header(in, kVersion, Type::TgsRequest));
  TgsRequest request;
  TROTH_TRY(request.ticket, in.bytes(kMaxTicketBytes));
  TROTH_TRY(request.service, codec::take_service(in));
  TROTH_TRY(request.life, codec::take_milliseconds(in));
  TROTH_TRY(request.renew, in.boolean());
  TROTH_TRY(request.nonce, codec::take_array<Nonce>(in));
  TROTH_TRY(request.proof, codec::take_array<Mac>(in));
  TROTH_TRY_VOID(in.finish());
  if (request.renew && request.service != kTgsService)
    return fail(ErrorCode::Protocol, "only a TGT is renewed");
  return request;
}

Result<Bytes> encode_tgs_request(const TgsRequest& request) {
  TROTH_TRY_VOID(check_service_name(request.service));
  if (!codec::encodable(request.life) || request.ticket.size() > kMaxTicketBytes ||
      (request.renew && request.service != kTgsService)) {
    return not_encodable("request");
  }
  BinaryWriter out;
  codec::put_header(out, kVersion, Type::TgsRequest);
  out.bytes(request.ticket).text(request.service).u64(codec::number(request.life));
  out.boolean(request.renew).fixed(request.nonce).fixed(request.proof);
  return out.take();
}

Result<KdcReply> decode_as_reply(ByteView input) {
  return decode_kdc_reply(input, Type::AsReply);
}
Result<KdcReply> decode_tgs_reply(ByteView input) {
  return decode_kdc_reply(input, Type::TgsReply);
}
Result<Bytes> encode_as_reply(const KdcReply& reply) {
  return encode_kdc_reply(reply, Type::AsReply);
}
Result<Bytes> encode_tgs_reply(const KdcReply& reply) {
  return encode_kdc_reply(reply, Type::TgsReply);
}

// ---- AP

Result<ApRequest> decode_ap_request(ByteView input) {
  BinaryReader in(input);
  TROTH_TRY_VOID(codec::take_header(in, kVersion, Type::ApRequest));
  ApRequest request;
  TROTH_TRY(request.ticket, in.bytes(kMaxTicketBytes));
  TROTH_TRY(request.nonce, codec::take_array<Nonce>(in));
  TROTH_TRY(request.proof, codec::take_array<Mac>(in));
  TROTH_TRY_VOID(in.finish());
  return request;
}

Result<Bytes> encode_ap_request(const ApRequest& request) {
  if (request.ticket.size() > kMaxTicketBytes)
    return not_encodable("request");
  BinaryWriter out;
  codec::put_header(out, kVersion, Type::ApRequest);
  out.bytes(request.ticket).fixed(request.nonce).fixed(request.proof);
  return out.take();
}

Result<ApReply> decode_ap_reply(ByteView input) {
  BinaryReader in(input);
  TROTH_TRY_VOID(codec::take_header(in, kVersion, Type::ApReply));
  ApReply reply;
  TROTH_TRY(reply.nonce, codec::take_array<Nonce>(in));
  TROTH_TRY(reply.now, codec::take_time(in));
  TROTH_TRY(reply.end, codec::take_time(in));
  TROTH_TRY(reply.proof, codec::take_array<Mac>(in));
  TROTH_TRY_VOID(in.finish());
  return reply;
}

Result<Bytes> encode_ap_reply(const ApReply& reply) {
  if (!codec::encodable(reply.now) || !codec::encodable(reply.end))
    return not_encodable("reply");
  BinaryWriter out;
  codec::put_header(out, kVersion, Type::ApReply);
  out.fixed(reply.nonce).u64(codec::number(reply.now)).u64(codec::number(reply.end));
  out.fixed(reply.proof);
  return out.take();
}

// ---- proofs that travel

Result<TravellingProof> decode_travelling_proof(ByteView input) {
  BinaryReader in(input);
  TROTH_TRY_VOID(codec::take_header(in, kVersion, Type::Proof));
  TravellingProof proof;
  TROTH_TRY(proof.ticket, in.bytes(kMaxTicketBytes));
  TROTH_TRY(proof.made, codec::take_time(in));
  TROTH_TRY(proof.nonce, codec::take_array<Nonce>(in));
  TROTH_TRY(proof.content, codec::take_array<crypto::Digest>(in));
  TROTH_TRY(proof.mac, codec::take_array<Mac>(in));
  TROTH_TRY_VOID(in.finish());
  return proof;
}

Result<Bytes> encode_travelling_proof(const TravellingProof& proof) {
  if (proof.ticket.size() > kMaxTicketBytes || !codec::encodable(proof.made))
    return not_encodable("proof");
  BinaryWriter out;
  codec::put_header(out, kVersion, Type::Proof);
  out.bytes(proof.ticket).u64(codec::number(proof.made)).fixed(proof.nonce);
  out.fixed(proof.content).fixed(proof.mac);
  return out.take();
}

}  // namespace common::ticket
