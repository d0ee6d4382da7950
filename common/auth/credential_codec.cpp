#include "common/auth/credential_codec.hpp"

#include <algorithm>

#include "common/crypto/hash.hpp"
#include "common/wire/binary.hpp"

namespace common::auth {
namespace {

using ticket::Credential;

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kType = 10;
constexpr std::uint8_t kRenewable = 1;
constexpr std::uint8_t kInitial = 2;
constexpr std::uint8_t kRaise = 1;
constexpr std::uint8_t kEndsSoon = 2;

std::uint64_t number(ticket::Time time) {
  return static_cast<std::uint64_t>(time.time_since_epoch().count());
}
std::uint64_t number(const std::optional<ticket::Time>& time) {
  return time ? number(*time) : 0;
}

void put(wire::BinaryWriter& out, const Credential& credential) {
  const ticket::Validity& validity = credential.validity;
  out.text(credential.client.name).u8(static_cast<std::uint8_t>(credential.client.kind));
  out.u32(credential.client.id.value).text(credential.service).u32(credential.kvno);
  out.u64(number(validity.authenticated)).u64(number(validity.start)).u64(number(validity.end));
  out.u64(number(validity.renew_till));
  out.u8(static_cast<std::uint8_t>((validity.renew_till ? kRenewable : 0) |
                                   (validity.initial ? kInitial : 0)));
  out.u64(number(credential.password_end));
  out.u8(static_cast<std::uint8_t>((credential.raise_parameters ? kRaise : 0) |
                                   (credential.password_ends_soon ? kEndsSoon : 0)));
  out.u64(number(credential.kdc_now));
  out.u64(static_cast<std::uint64_t>(credential.kdc_now_at.time_since_epoch().count()));
  out.bytes(credential.ticket);
}

Result<ticket::Time> take_time(wire::BinaryReader& in) {
  TROTH_TRY(const std::uint64_t value, in.u64());
  if (value > number(ticket::kLatestTime))
    return fail(ErrorCode::Protocol, "a time beyond the year 9999");
  return ticket::Time(ticket::Milliseconds(static_cast<std::int64_t>(value)));
}

// 0 is none.
Result<std::optional<ticket::Time>> take_optional_time(wire::BinaryReader& in) {
  TROTH_TRY(const ticket::Time time, take_time(in));
  return time == ticket::Time{} ? std::optional<ticket::Time>() : time;
}

Result<std::uint8_t> take_bits(wire::BinaryReader& in, std::uint8_t known) {
  TROTH_TRY(const std::uint8_t bits, in.u8());
  if ((bits & ~known) != 0)
    return fail(ErrorCode::Protocol, "an unknown flag");
  return bits;
}

Result<ticket::Principal> take_client(wire::BinaryReader& in) {
  ticket::Principal client;
  TROTH_TRY(client.name, in.text(ticket::kMaxPrincipalName));
  TROTH_TRY(const std::uint8_t kind, in.u8());
  if (kind < 1 || kind > 3)
    return fail(ErrorCode::Protocol, "an unknown kind of principal");
  client.kind = static_cast<ticket::Kind>(kind);
  TROTH_TRY_VOID(ticket::check_name(client.kind, client.name));
  TROTH_TRY(const std::uint32_t id, in.u32());
  client.id = ticket::PrincipalId{id};
  return client;
}

Result<ticket::Validity> take_validity(wire::BinaryReader& in) {
  ticket::Validity validity;
  TROTH_TRY(validity.authenticated, take_time(in));
  TROTH_TRY(validity.start, take_time(in));
  TROTH_TRY(validity.end, take_time(in));
  TROTH_TRY(validity.renew_till, take_optional_time(in));
  TROTH_TRY(const std::uint8_t flags, take_bits(in, kRenewable | kInitial));
  if (((flags & kRenewable) != 0) != validity.renew_till.has_value() ||
      validity.start >= validity.end)
    return fail(ErrorCode::Protocol, "times that contradict each other");
  validity.initial = (flags & kInitial) != 0;
  return validity;
}

Result<Credential> take(wire::BinaryReader& in, std::string_view cell) {
  Credential credential;
  credential.cell = cell;
  TROTH_TRY(credential.client, take_client(in));
  TROTH_TRY(credential.service, in.text(ticket::kMaxPrincipalName));
  TROTH_TRY_VOID(ticket::check_service_name(credential.service));
  TROTH_TRY(credential.kvno, in.u32());
  TROTH_TRY(credential.validity, take_validity(in));
  TROTH_TRY(credential.password_end, take_optional_time(in));
  TROTH_TRY(const std::uint8_t hints, take_bits(in, kRaise | kEndsSoon));
  credential.raise_parameters = (hints & kRaise) != 0;
  credential.password_ends_soon = (hints & kEndsSoon) != 0;
  TROTH_TRY(credential.kdc_now, take_time(in));
  TROTH_TRY(const std::uint64_t at, in.u64());
  if (at > static_cast<std::uint64_t>(Instant::max().time_since_epoch().count()))
    return fail(ErrorCode::Protocol, "an impossible instant");
  credential.kdc_now_at = Instant(Duration(static_cast<std::int64_t>(at)));
  TROTH_TRY(const ByteView ticket, in.bytes(ticket::kMaxTicketBytes));
  credential.ticket.assign(ticket.begin(), ticket.end());
  return credential;
}

struct Decoded {
  std::string cell;
  BootId boot{};
  std::vector<Credential> credentials;
};

Result<Decoded> decode_checked(ByteView content) {
  wire::BinaryReader in(content);
  TROTH_TRY(const std::uint8_t version, in.u8());
  TROTH_TRY(const std::uint8_t type, in.u8());
  if (version != kVersion || type != kType)
    return fail(ErrorCode::Protocol, "unknown version or another file");
  Decoded decoded;
  TROTH_TRY(decoded.cell, in.text(ticket::kMaxCellId));
  TROTH_TRY_VOID(ticket::check_cell_id(decoded.cell));
  TROTH_TRY_VOID(in.fixed(std::span<std::byte>(decoded.boot)));
  TROTH_TRY(const std::uint32_t count, in.u32());
  if (count > kMaxCachedCredentials)
    return fail(ErrorCode::Protocol, "{} credentials", count);
  for (std::uint32_t i = 0; i < count; ++i) {
    TROTH_TRY(Credential credential, take(in, decoded.cell));
    decoded.credentials.push_back(std::move(credential));
  }
  for (Credential& credential : decoded.credentials) {
    TROTH_TRY(const ByteView key, in.fixed(ticket::kKeyBytes));
    credential.session_key = crypto::Secret::copy_of(key);
  }
  TROTH_TRY_VOID(in.finish());
  return decoded;
}

}  // namespace

Result<crypto::Secret> encode_credentials(std::string_view cell, const BootId& boot,
                                          const std::vector<Credential>& credentials) {
  if (credentials.size() > kMaxCachedCredentials)
    return fail(ErrorCode::InvalidArgument, "{} credentials are too many", credentials.size());
  wire::BinaryWriter out;
  out.u8(kVersion).u8(kType).text(cell).fixed(boot);
  out.u32(static_cast<std::uint32_t>(credentials.size()));
  for (const Credential& credential : credentials) {
    if (credential.cell != cell || credential.session_key.size() != ticket::kKeyBytes)
      return fail(ErrorCode::InvalidArgument, "not a credential of the cell {}", cell);
    put(out, credential);
  }
  // The keys come last, so that none was ever in a buffer that grew.
  const std::size_t content = out.view().size() + credentials.size() * ticket::kKeyBytes;
  if (content + sizeof(crypto::Digest) > kMaxCacheBytes)
    return fail(ErrorCode::TooLarge, "the tickets are too large to be kept together");
  crypto::Secret bytes(content + sizeof(crypto::Digest));
  auto at = std::copy(out.view().begin(), out.view().end(), bytes.writable().begin());
  for (const Credential& credential : credentials) {
    const ByteView key = credential.session_key.bytes();
    at = std::copy(key.begin(), key.end(), at);
  }
  TROTH_TRY(const crypto::Digest checksum, crypto::sha256(bytes.bytes().first(content)));
  std::copy(checksum.begin(), checksum.end(), at);
  return bytes;
}

Result<std::vector<Credential>> decode_credentials(ByteView bytes, std::string_view cell,
                                                   const BootId& boot) {
  constexpr std::size_t kChecksum = sizeof(crypto::Digest);
  if (bytes.size() < kChecksum || bytes.size() > kMaxCacheBytes)
    return fail(ErrorCode::Corrupt, "cut off or too long");
  const ByteView content = bytes.first(bytes.size() - kChecksum);
  TROTH_TRY(const crypto::Digest expected, crypto::sha256(content));
  if (!crypto::constant_time_equal(expected, bytes.last(kChecksum)))
    return fail(ErrorCode::Corrupt, "cut off or damaged");
  auto decoded = decode_checked(content);
  if (!decoded)
    return fail(ErrorCode::Corrupt, "not a credential file ({})", decoded.error().message);
  if (decoded->cell != cell) {
    return fail(ErrorCode::InvalidArgument, "for the cell {}, not for {}", decoded->cell, cell);
  }
  if (decoded->boot != boot)
    return fail(ErrorCode::Expired, "from before this machine was started anew");
  return std::move(decoded->credentials);
}

}  // namespace common::auth
