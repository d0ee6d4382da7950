#pragma once

#include <deque>
#include <optional>
#include <variant>
#include <vector>

#include "common/sim/example/lease_protocol.hpp"

namespace common::sim::example {

// Gives the lock to one client at a time. A pure core: what it needs comes in with the event, what
// it wants done goes out as effects, to be carried out in order; if a Persist fails, nothing after
// it may be done, and the process must end.
class LeaseGrantor {
 public:
  // What survives. Every token below `reserved` may have been granted.
  struct Stable {
    Token reserved = 1;
    Duration longest_ttl{};  // of any lease ever granted; zero: none
  };

  struct Started {
    Stable stable;
  };
  struct Received {
    PeerId from = 0;
    LeaseMessage message;
  };
  struct Woken {};
  using Event = std::variant<Started, Received, Woken>;

  struct Persist {
    Stable stable;
  };
  using Effect = std::variant<Send, WakeAt, Persist>;
  using Effects = std::vector<Effect>;

  explicit LeaseGrantor(const LeaseOptions& options) : options_(options) {}

  // Appends to `effects`.
  void on(const Event& event, Instant now, Effects& effects);

 private:
  // Beyond this, requests are dropped; clients ask again.
  static constexpr std::size_t kMaxWaiting = 64;
  struct Wish {
    PeerId client = 0;
    LeaseOp op = 0;
    std::int64_t sent_at = 0;
  };
  struct Holder {
    Wish wish;
    Token token = 0;
    Instant expires;
  };

  void start(const Started& event, Instant now);
  void acquire(const Received& event, Instant now, Effects& effects);
  void renew(const Received& event, Instant now, Effects& effects);
  void release(const Received& event, Instant now, Effects& effects);
  void grant_next(Instant now, Effects& effects);
  void answer_grant(const Holder& holder, Effects& effects) const;

  LeaseOptions options_;
  Stable stable_;
  Token next_token_ = 1;
  Instant quiet_until_;  // leases of a former life may be alive until then
  std::optional<Holder> holder_;
  std::vector<Holder> granted_;  // only for DuplicateGrant
  std::deque<Wish> waiting_;
};

}  // namespace common::sim::example
