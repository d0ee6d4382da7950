#pragma once

// Tickets and what the KDC answers, sealed and opened: the service's and the KDC's half of a
// ticket's life. Which messages these travel in: exchange.hpp (AS, TGS), credential.hpp and
// verifier.hpp (AP), proof.hpp.
//
// Whatever is wrong with something sealed or proven, the failure is refused(): one code, one
// sentence. Only a failure of this machine itself (no memory, a restricted OpenSSL) is told apart.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.hpp"
#include "common/result.hpp"
#include "common/sync/mutex.hpp"
#include "common/ticket/keytab.hpp"
#include "common/ticket/messages.hpp"

namespace common::ticket {

// Unauthenticated, always with the same sentence.
[[nodiscard]] tl::unexpected<Error> refused();

// A ticket for `service`, sealed with that service's key number `kvno`. For the KDC. Fails with
// InvalidArgument if the body is not one that a service would take (groups unsorted, end before
// start, an ill-formed name).
Result<Bytes> seal_ticket(const crypto::Secret& service_key, std::string_view cell,
                          std::string_view service, std::uint32_t kvno, const TicketBody& body);

// Opens tickets for one service. Keys are derived once, when they are set. Safe from any thread;
// keys may be replaced while others open.
class TicketOpener {
 public:
  TicketOpener(std::string cell, std::string service)
      : cell_(std::move(cell)), service_(std::move(service)) {}

  // Takes the place of all keys before. InvalidArgument, and nothing changes, if the keytab is of
  // another cell or principal. The keys a ticket may name are those of the keytab that have not
  // ended when it is opened.
  Status set_keys(const Keytab& keytab);

  // The ticket's content if it is for this cell and service and opens under the one key that it
  // names. Does not look at the ticket's own times: those mean nothing until its session key has
  // been proven (check_times). No access to anything but memory.
  [[nodiscard]] Result<TicketBody> open(ByteView ticket, Time now) const;

  // What became of the key that a ticket for this service names. For this service's own log:
  // callers are told none of it.
  enum class KeyFate : std::uint8_t { Good, Ended, Missing };
  [[nodiscard]] KeyFate key_fate(std::uint32_t kvno, Time now) const;

  [[nodiscard]] const std::string& cell() const { return cell_; }
  [[nodiscard]] const std::string& service() const { return service_; }

 private:
  struct Key {
    std::uint32_t kvno = 0;
    std::optional<Time> not_after;
    crypto::Secret ticket_key;
  };
  using KeySet = std::vector<Key>;
  [[nodiscard]] std::shared_ptr<const KeySet> keys() const;

  const std::string cell_;
  const std::string service_;
  mutable Mutex mutex_;
  std::shared_ptr<const KeySet> keys_ GUARDED_BY(mutex_);
};

// Whether a ticket is good at `now` by this machine's clock: it has not ended (else Expired) and
// starts at most kMaxSkew ahead (else Unauthenticated: a clock is wrong). Only for tickets whose
// session key has been proven.
Status check_times(const Validity& validity, Time now);

// A grant in the reply of the KDC to `request`, beside `ticket`; and back. `reply_key` is derived
// for Purpose::AsReply or TgsReply. A grant opens with the very request and ticket it was sealed
// for.
Result<Bytes> seal_grant(const crypto::Secret& reply_key, ByteView request, ByteView ticket,
                         const Grant& grant);
Result<Grant> open_grant(const crypto::Secret& reply_key, ByteView request, ByteView ticket,
                         ByteView sealed);

}  // namespace common::ticket
