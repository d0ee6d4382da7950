#include "common/ticket/seal.hpp"

#include <algorithm>
#include <array>

#include "common/crypto/aead.hpp"
#include "common/crypto/hash.hpp"
#include "common/ticket/keys.hpp"
#include "common/ticket/refuse.hpp"
#include "common/ticket/scratch.hpp"

namespace common::ticket {
namespace {

constexpr std::size_t kMaxTicketBody = kMaxSealedTicket - crypto::kAeadOverhead;
constexpr std::size_t kMaxGrant = kMaxSealedGrant - crypto::kAeadOverhead;

// SHA-256 of the request, then of the ticket: what a grant is tied to.
Result<std::array<std::byte, 64>> grant_context(ByteView request, ByteView ticket) {
  TROTH_TRY(const crypto::Digest of_request, crypto::sha256(request));
  TROTH_TRY(const crypto::Digest of_ticket, crypto::sha256(ticket));
  std::array<std::byte, 64> context;
  std::copy(of_request.begin(), of_request.end(), context.begin());
  std::copy(of_ticket.begin(), of_ticket.end(), context.begin() + of_request.size());
  return context;
}

// What `decode` makes of the opened seal.
template <typename Decode>
auto open_sealed(const crypto::Secret& key, ByteView sealed, ByteView associated, Decode decode)
    -> decltype(decode(ByteView{})) {
  if (sealed.size() < crypto::kAeadOverhead)
    return refused();
  const Scratch plain(sealed.size() - crypto::kAeadOverhead);
  if (auto opened = crypto::open_into(key, sealed, associated, plain.bytes()); !opened)
    return refuse(std::move(opened).error());
  auto decoded = decode(ByteView(plain.bytes()));
  if (!decoded)
    return refuse(std::move(decoded).error());
  return decoded;
}

}  // namespace

tl::unexpected<Error> refused() {
  return fail(ErrorCode::Unauthenticated, "who is calling could not be verified; log in again");
}

tl::unexpected<Error> refuse(Error error) {
  switch (error.code) {
    case ErrorCode::Internal:
    case ErrorCode::Unsupported:
    case ErrorCode::ResourceExhausted:
    case ErrorCode::IoError:
      return tl::unexpected<Error>(std::move(error));
    default:
      return refused();
  }
}

Result<Bytes> seal_ticket(const crypto::Secret& service_key, std::string_view cell,
                          std::string_view service, std::uint32_t kvno, const TicketBody& body) {
  TROTH_TRY(const Bytes head, encode_ticket_head(cell, service, kvno));
  TROTH_TRY(const crypto::Secret key, derive(service_key, Purpose::Ticket, cell, service));
  const Scratch plain(kMaxTicketBody);
  TROTH_TRY(const std::size_t size, encode_ticket_body(body, plain.bytes()));
  TROTH_TRY(const Bytes sealed, crypto::seal(key, ByteView(plain.bytes()).first(size), head));
  return encode_ticket(head, sealed);
}

Status TicketOpener::set_keys(const Keytab& keytab) {
  if (keytab.cell() != cell_ || keytab.principal() != service_) {
    return fail(ErrorCode::InvalidArgument,
                "a keytab of {} in cell {} is of no use to {} in cell {}", keytab.principal(),
                keytab.cell(), service_, cell_);
  }
  auto keys = std::make_shared<KeySet>();
  for (const Keytab::Entry& entry : keytab.entries()) {
    TROTH_TRY(crypto::Secret key, derive(entry.key, Purpose::Ticket, cell_, service_));
    keys->push_back({entry.kvno, entry.not_after, std::move(key)});
  }
  const MutexLock lock(mutex_);
  keys_ = std::move(keys);
  return {};
}

std::shared_ptr<const TicketOpener::KeySet> TicketOpener::keys() const {
  const MutexLock lock(mutex_);
  return keys_;
}

TicketOpener::KeyFate TicketOpener::key_fate(std::uint32_t kvno, Time now) const {
  const auto keys = this->keys();
  if (keys) {
    for (const Key& key : *keys) {
      if (key.kvno == kvno)
        return key.not_after && now >= *key.not_after ? KeyFate::Ended : KeyFate::Good;
    }
  }
  return KeyFate::Missing;
}

Result<TicketBody> TicketOpener::open(ByteView bytes, Time now) const {
  const auto ticket = decode_ticket(bytes);
  if (!ticket || ticket->cell != cell_ || ticket->service != service_)
    return refused();
  const auto keys = this->keys();
  if (!keys)
    return refused();
  const auto key = std::find_if(keys->begin(), keys->end(), [&](const Key& candidate) {
    return candidate.kvno == ticket->kvno;
  });
  if (key == keys->end() || (key->not_after && now >= *key->not_after))
    return refused();
  return open_sealed(key->ticket_key, ticket->sealed, ticket->associated, decode_ticket_body);
}

Status check_times(const Validity& validity, Time now) {
  if (now >= validity.end)
    return fail(ErrorCode::Expired, "the ticket has expired; log in again");
  if (validity.start > now + kMaxSkew) {
    return fail(ErrorCode::Unauthenticated,
                "a clock is wrong: by this server's, the ticket begins {} s from now; compare the "
                "clocks of this server and of the KDC",
                std::chrono::duration_cast<std::chrono::seconds>(validity.start - now).count());
  }
  return {};
}

Result<Bytes> seal_grant(const crypto::Secret& reply_key, ByteView request, ByteView ticket,
                         const Grant& grant) {
  TROTH_TRY(const auto context, grant_context(request, ticket));
  const Scratch plain(kMaxGrant);
  TROTH_TRY(const std::size_t size, encode_grant(grant, plain.bytes()));
  return crypto::seal(reply_key, ByteView(plain.bytes()).first(size), context);
}

Result<Grant> open_grant(const crypto::Secret& reply_key, ByteView request, ByteView ticket,
                         ByteView sealed) {
  TROTH_TRY(const auto context, grant_context(request, ticket));
  return open_sealed(reply_key, sealed, context, decode_grant);
}

}  // namespace common::ticket
