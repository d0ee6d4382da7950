#pragma once

// Who may connect: caps in all, per address, and on handshakes under way. Decided before any byte
// of TLS is spent. Pure; not thread-safe; owned by the loop.

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>

#include "common/clock.hpp"

namespace common::stream {

// An address without its port; IPv4 in the mapped form, IPv6 cut to its /64, which is what one
// site holds.
using AddressKey = std::array<std::uint8_t, 16>;

struct AddressKeyHash {
  std::size_t operator()(const AddressKey& key) const noexcept;
};

struct AdmissionOptions {
  std::size_t streams = 20'000;
  // A machine has one mount or a few; a site behind one address has some hundred machines.
  std::size_t streams_per_address = 1'024;
  // One that is silent costs some 10 KiB and no CPU.
  std::size_t handshakes = 1'000;
  std::size_t handshakes_per_address = 50;
  // An honest handshake takes two round trips. When all slots are taken an older one makes room for
  // a newcomer: with these figures a full backlog of 4,096 silent dials is through in a second.
  std::chrono::milliseconds patience{250};
};

enum class Verdict : std::uint8_t {
  Admit,
  RefuseFull,     // the cap in all
  RefuseAddress,  // a cap of this address
  Wait,           // all handshakes busy and young: leave it in the backlog
};

// Counts connections by id. Ids are chosen by the caller and unique.
class Admission {
 public:
  explicit Admission(AdmissionOptions options) : options_(options) {}

  // True when accepting is useless now: every handshake slot is taken and none may be evicted.
  [[nodiscard]] bool must_wait(Instant now) const;
  // When must_wait() may change by time alone.
  [[nodiscard]] Instant patience_ends() const;
  // The handshake that has to go so that another may begin, if one is due.
  [[nodiscard]] std::optional<std::uint64_t> evict(Instant now) const;

  Verdict judge(const AddressKey& address, Instant now) const;
  // Precondition: judged Admit just now.
  void handshake_begins(std::uint64_t id, const AddressKey& address, Instant now);
  void handshake_ended(std::uint64_t id);
  // The connection is gone, in whatever phase.
  void left(std::uint64_t id);

  [[nodiscard]] std::size_t connections() const { return connections_.size(); }
  [[nodiscard]] std::size_t handshakes() const { return handshakes_.size(); }

 private:
  struct Young {
    std::uint64_t id;
    Instant since;
  };
  struct Counts {
    std::uint32_t connections = 0;
    std::uint32_t handshakes = 0;
  };
  struct Connection {
    AddressKey address;
    std::optional<std::list<Young>::iterator> handshake;
  };

  AdmissionOptions options_;
  std::unordered_map<AddressKey, Counts, AddressKeyHash> addresses_;
  std::unordered_map<std::uint64_t, Connection> connections_;
  std::list<Young> handshakes_;  // oldest first
};

}  // namespace common::stream
