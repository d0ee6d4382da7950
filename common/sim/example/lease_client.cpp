#include "common/sim/example/lease_client.hpp"

#include <algorithm>

namespace common::sim::example {

using Kind = LeaseMessage::Kind;

bool LeaseClient::holds(Instant now) const {
  if (!has_lock())
    return false;
  return now < expires_ || options_.bugs.has(LeaseBug::NoExpiryCheck);
}

LeaseOp LeaseClient::new_op() {
  return make_op(op_seed_, ++ops_);
}

void LeaseClient::on(const Event& event, Instant now, Effects& effects) {
  const bool late = std::holds_alternative<Woken>(event) && now >= expires_;
  if (has_lock() && (!holds(now) || late))
    lose(now, effects);
  if (const auto* wanted = std::get_if<Wanted>(&event)) {
    if (tickets_.size() < kMaxTickets)
      tickets_.push_back(wanted->ticket);
  } else if (const auto* message = std::get_if<Received>(&event)) {
    received(message->message, now, effects);
  } else {
    repeat(now, effects);
  }
  if (state_ == State::Idle && !tickets_.empty())
    begin(now, effects);
  plan_wake(now, effects);
}

void LeaseClient::received(const LeaseMessage& message, Instant now, Effects& effects) {
  switch (message.kind) {
    case Kind::Granted:
      return granted(message, now, effects);
    case Kind::Renewed:
      if (has_lock() && message.token == token_) {
        expires_ = std::max(expires_, lease_end(message.sent_at, now));
      }
      return;
    case Kind::Lost:
    case Kind::Stale:
      if (has_lock() && message.token == token_)
        lose(now, effects);
      return;
    case Kind::Value:
      return fenced(message, now, effects);
    case Kind::Written:
      return written(message, now, effects);
    default:
      return;  // not for a client
  }
}

// The lease began, at the latest, when the grantor received what was sent at `sent_at`; so counting
// from then is safe however long the answer took.
Instant LeaseClient::lease_end(std::int64_t sent_at, Instant now) const {
  if (options_.bugs.has(LeaseBug::LeaseFromReplyTime))
    return now + options_.ttl;
  if (options_.bugs.has(LeaseBug::ReplyToAnyAttempt))
    return asked_at_ + options_.ttl;
  return Instant{Duration{sent_at}} + options_.ttl;
}

void LeaseClient::begin(Instant now, Effects& effects) {
  state_ = State::Acquiring;
  acquire_op_ = new_op();
  repeat_at_ = now;
  repeat(now, effects);
}

void LeaseClient::granted(const LeaseMessage& message, Instant now, Effects& effects) {
  if (has_lock() && message.token == token_) {
    expires_ = std::max(expires_, lease_end(message.sent_at, now));
    return;
  }
  if (state_ != State::Acquiring || message.op != acquire_op_) {
    // An answer to a wish that is no more. Without this the lock would lie idle for its lease.
    effects.push_back(Send{kGrantor, {.kind = Kind::Release, .token = message.token}});
    return;
  }
  const Instant end = lease_end(message.sent_at, now);
  if (now >= end)
    return;  // ran out on the way; the wish stands and is repeated
  state_ = State::Fencing;
  token_ = message.token;
  expires_ = end;
  renew_at_ = asked_at_ + options_.ttl / 3;
  done_under_grant_ = 0;
  repeat_at_ = now;
  repeat(now, effects);
}

void LeaseClient::fenced(const LeaseMessage& message, Instant now, Effects& effects) {
  if (state_ != State::Fencing || message.token != token_)
    return;
  // What was in flight when the last lock was lost either took effect before this read, or, the
  // floor being raised, never will.
  const bool took_effect = write_.op != 0 && message.op == write_.op;
  if (took_effect)
    acknowledge(message.version, effects);
  write_ = LeaseMessage{};
  if (tickets_.empty())
    return give_back(now, effects);
  state_ = State::Writing;
  repeat_at_ = now + options_.retry;
  next_write(message.version, message.value, effects);
}

void LeaseClient::next_write(std::uint64_t version, std::uint64_t value, Effects& effects) {
  write_ = LeaseMessage{.kind = Kind::Write,
                        .token = token_,
                        .op = new_op(),
                        .version = version,
                        .value = value + 1,
                        .ticket = tickets_.front()};
  // Now, or with the next repetition.
  if (!buggify(options_.buggify, "lease-write-late"))
    effects.push_back(Send{kStore, write_});
}

void LeaseClient::acknowledge(std::uint64_t version, Effects& effects) {
  effects.push_back(Acknowledged{write_.ticket, version});
  if (!tickets_.empty() && tickets_.front() == write_.ticket)
    tickets_.pop_front();
}

void LeaseClient::written(const LeaseMessage& message, Instant now, Effects& effects) {
  if (state_ != State::Writing || message.op != write_.op)
    return;
  const LeaseMessage done = write_;
  acknowledge(message.version, effects);
  write_ = LeaseMessage{};
  const bool enough =
      ++done_under_grant_ >= kMaxPerGrant || buggify(options_.buggify, "lease-release-early");
  if (tickets_.empty() || enough)
    return give_back(now, effects);
  repeat_at_ = now + options_.retry;
  next_write(message.version, done.value, effects);
}

void LeaseClient::give_back(Instant now, Effects& effects) {
  effects.push_back(Send{kGrantor, {.kind = Kind::Release, .token = token_}});
  state_ = State::Idle;
  token_ = 0;
  repeat_at_ = now;
}

void LeaseClient::lose(Instant now, Effects& effects) {
  state_ = State::Idle;
  token_ = 0;
  if (!tickets_.empty())
    begin(now, effects);
}

// Sends again whatever is unanswered, and renews.
void LeaseClient::repeat(Instant now, Effects& effects) {
  if (has_lock() && now >= renew_at_) {
    asked_at_ = now;
    renew_at_ = now + options_.ttl / 3;
    effects.push_back(
        Send{kGrantor,
             {.kind = Kind::Renew, .token = token_, .sent_at = now.time_since_epoch().count()}});
  }
  if (state_ == State::Idle || now < repeat_at_)
    return;
  repeat_at_ = now + options_.retry;
  if (state_ == State::Acquiring) {
    asked_at_ = now;
    effects.push_back(Send{
        kGrantor,
        {.kind = Kind::Acquire, .op = acquire_op_, .sent_at = now.time_since_epoch().count()}});
  } else if (state_ == State::Fencing) {
    effects.push_back(Send{kStore, {.kind = Kind::Fence, .token = token_}});
  } else {
    effects.push_back(Send{kStore, write_});
  }
}

void LeaseClient::plan_wake(Instant now, Effects& effects) const {
  if (state_ == State::Idle)
    return;
  Instant next = repeat_at_;
  if (has_lock())
    next = std::min({next, renew_at_, expires_});
  effects.push_back(WakeAt{std::max(next, now)});
}

}  // namespace common::sim::example
