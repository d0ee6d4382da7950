#pragma once

#include <deque>
#include <variant>
#include <vector>

#include "common/sim/example/lease_protocol.hpp"

namespace common::sim::example {

// Takes the lock, adds one to the counter for each of its user's requests, gives the lock back. A
// pure core.
class LeaseClient {
 public:
  struct Wanted {
    std::uint64_t ticket = 0;  // the user's request: one addition
  };
  struct Received {
    PeerId from = 0;
    LeaseMessage message;
  };
  struct Woken {};
  using Event = std::variant<Wanted, Received, Woken>;

  // The user is told that the addition is done and stable.
  struct Acknowledged {
    std::uint64_t ticket = 0;
    std::uint64_t version = 0;
  };
  using Effect = std::variant<Send, WakeAt, Acknowledged>;
  using Effects = std::vector<Effect>;

  // `op_seed` differs in every life of every client: ops are made from it.
  LeaseClient(const LeaseOptions& options, std::uint64_t op_seed)
      : options_(options), op_seed_(op_seed) {}

  void on(const Event& event, Instant now, Effects& effects);

  // Whether this client would act on the lock at `now`.
  [[nodiscard]] bool holds(Instant now) const;
  [[nodiscard]] bool idle() const { return state_ == State::Idle && tickets_.empty(); }

 private:
  // Requests of users beyond this are refused by dropping them: they see no acknowledgement.
  static constexpr std::size_t kMaxTickets = 1024;
  // Additions under one grant, so that others get their turn.
  static constexpr int kMaxPerGrant = 3;

  enum class State : std::uint8_t { Idle, Acquiring, Fencing, Writing };

  void received(const LeaseMessage& message, Instant now, Effects& effects);
  void granted(const LeaseMessage& message, Instant now, Effects& effects);
  void fenced(const LeaseMessage& message, Instant now, Effects& effects);
  void written(const LeaseMessage& message, Instant now, Effects& effects);
  void begin(Instant now, Effects& effects);
  void next_write(std::uint64_t version, std::uint64_t value, Effects& effects);
  void give_back(Instant now, Effects& effects);
  void lose(Instant now, Effects& effects);
  void repeat(Instant now, Effects& effects);
  void plan_wake(Instant now, Effects& effects) const;
  void acknowledge(std::uint64_t version, Effects& effects);
  [[nodiscard]] Instant lease_end(std::int64_t sent_at, Instant now) const;
  [[nodiscard]] bool has_lock() const {
    return state_ == State::Fencing || state_ == State::Writing;
  }
  LeaseOp new_op();

  LeaseOptions options_;
  std::uint64_t op_seed_;
  std::uint64_t ops_ = 0;
  State state_ = State::Idle;
  std::deque<std::uint64_t> tickets_;
  LeaseOp acquire_op_ = 0;
  Instant asked_at_;  // when the newest Acquire or Renew was sent
  Instant repeat_at_;
  Instant renew_at_;
  Token token_ = 0;
  Instant expires_;
  int done_under_grant_ = 0;
  LeaseMessage write_;  // in flight; op 0: none. Outlives a lost lock: it may have taken effect
};

}  // namespace common::sim::example
