#include "common/sim/example/lease_grantor.hpp"

#include <algorithm>

namespace common::sim::example {

using Kind = LeaseMessage::Kind;

void LeaseGrantor::on(const Event& event, Instant now, Effects& effects) {
  if (const auto* started = std::get_if<Started>(&event))
    return start(*started, now);
  if (const auto* received = std::get_if<Received>(&event)) {
    switch (received->message.kind) {
      case Kind::Acquire:
        return acquire(*received, now, effects);
      case Kind::Renew:
        return renew(*received, now, effects);
      case Kind::Release:
        return release(*received, now, effects);
      default:
        return;  // not for a grantor
    }
  }
  grant_next(now, effects);
}

void LeaseGrantor::start(const Started& event, Instant now) {
  stable_ = event.stable;
  next_token_ = stable_.reserved;
  quiet_until_ = now;
  // When the former life gave its last lease is unknown; that it was before now is certain.
  if (stable_.longest_ttl.count() > 0 && !options_.bugs.has(LeaseBug::NoGrace)) {
    quiet_until_ = now + stable_.longest_ttl + options_.margin();
  }
}

void LeaseGrantor::answer_grant(const Holder& holder, Effects& effects) const {
  effects.push_back(Send{holder.wish.client, LeaseMessage{.kind = Kind::Granted,
                                                          .token = holder.token,
                                                          .op = holder.wish.op,
                                                          .sent_at = holder.wish.sent_at}});
}

void LeaseGrantor::acquire(const Received& event, Instant now, Effects& effects) {
  const Wish wish{event.from, event.message.op, event.message.sent_at};
  if (options_.bugs.has(LeaseBug::DuplicateGrant)) {
    const auto old = std::find_if(granted_.begin(), granted_.end(),
                                  [&](const Holder& h) { return h.wish.op == wish.op; });
    if (old != granted_.end()) {
      old->wish.sent_at = wish.sent_at;
      return answer_grant(*old, effects);
    }
  }
  if (holder_ && holder_->wish.client == wish.client && holder_->wish.op == wish.op) {
    // Asked again: the answer was lost, or this request is old. Either way the lease may now be
    // counted from it.
    holder_->wish.sent_at = wish.sent_at;
    holder_->expires = std::max(holder_->expires, now + options_.ttl);
    return answer_grant(*holder_, effects);
  }
  const auto same = std::find_if(waiting_.begin(), waiting_.end(),
                                 [&](const Wish& w) { return w.client == wish.client; });
  if (same != waiting_.end()) {
    *same = wish;
  } else if (waiting_.size() < kMaxWaiting) {
    waiting_.push_back(wish);
  }
  grant_next(now, effects);
}

void LeaseGrantor::renew(const Received& event, Instant now, Effects& effects) {
  LeaseMessage answer{
      .kind = Kind::Renewed, .token = event.message.token, .sent_at = event.message.sent_at};
  const bool holds =
      holder_ && holder_->token == answer.token && holder_->wish.client == event.from;
  if (holds) {
    // Also when it had run out: nobody else has been given the lock, so nothing has happened.
    holder_->expires = std::max(holder_->expires, now + options_.ttl);
  } else if (!options_.bugs.has(LeaseBug::RenewWithoutCheck)) {
    answer.kind = Kind::Lost;
  }
  effects.push_back(Send{event.from, answer});
}

void LeaseGrantor::release(const Received& event, Instant now, Effects& effects) {
  const bool holds = holder_ && holder_->token == event.message.token;
  if (holds || options_.bugs.has(LeaseBug::ReleaseWithoutCheck))
    holder_.reset();
  grant_next(now, effects);
}

void LeaseGrantor::grant_next(Instant now, Effects& effects) {
  if (waiting_.empty())
    return;
  Instant free_at = quiet_until_;
  if (holder_) {
    const bool margin = !options_.bugs.has(LeaseBug::NoMargin);
    free_at = std::max(free_at, holder_->expires + (margin ? options_.margin() : Duration{0}));
  }
  if (now < free_at)
    return effects.push_back(WakeAt{free_at});

  holder_ = Holder{.wish = waiting_.front(), .token = next_token_++, .expires = now + options_.ttl};
  waiting_.pop_front();
  const bool reserve =
      holder_->token >= stable_.reserved || buggify(options_.buggify, "lease-reserve-early");
  if (reserve || stable_.longest_ttl < options_.ttl) {
    stable_.reserved = std::max(stable_.reserved, holder_->token + options_.token_chunk);
    stable_.longest_ttl = std::max(stable_.longest_ttl, options_.ttl);
    Stable written = stable_;
    if (options_.bugs.has(LeaseBug::TokenNotReserved))
      written.reserved = 1;
    effects.push_back(Persist{written});
  }
  if (options_.bugs.has(LeaseBug::DuplicateGrant))
    granted_.push_back(*holder_);
  answer_grant(*holder_, effects);
}

}  // namespace common::sim::example
