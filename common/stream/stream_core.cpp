#include "common/stream/stream_core.hpp"

#include <algorithm>
#include <utility>

namespace common::stream {

StreamCore::StreamCore(const CoreOptions& options, Instant now)
    : options_(&options),
      role_(Role::Server),
      phase_(Phase::AwaitHello),
      phase_deadline_(now + options.hello_deadline) {}

StreamCore::StreamCore(const CoreOptions& options, Instant now, BytesView credential)
    : options_(&options),
      role_(Role::Mount),
      phase_(Phase::AwaitWelcome),
      phase_deadline_(now + options.hello_deadline),
      write_deadline_(now + options.write_deadline),
      hello_sent_(now) {
  Hello hello;
  hello.credential.assign(credential.begin(), credential.end());
  out_.append(encode_hello(hello));
}

void StreamCore::on_bytes(BytesView input, Instant now, Effects& effects) {
  const bool was_mid_frame = decoder_.mid_frame();
  while (phase_ != Phase::Leaving && phase_ != Phase::Closed) {
    auto frame = decoder_.next(input);
    if (!frame)
      return violation(std::move(frame.error().message), now, effects);
    if (!*frame)
      break;
    on_frame(**frame, now, effects);
    frame_deadline_ = now + options_->frame_deadline;  // the next one begins now at the earliest
  }
  if (!was_mid_frame)
    frame_deadline_ = now + options_->frame_deadline;
}

void StreamCore::on_frame(const Frame& frame, Instant now, Effects& effects) {
  const bool from_mount = role_ == Role::Server;
  if (frame.type == FrameType::Goodbye)
    return on_goodbye(frame.payload, effects);
  if (phase_ == Phase::AwaitHello) {
    if (frame.type == FrameType::Hello)
      return on_hello(frame.payload, now, effects);
    return violation("a frame before the hello", now, effects);
  }
  if (phase_ == Phase::AwaitVerdict) {
    return violation("a frame before the hello was answered", now, effects);
  }
  if (phase_ == Phase::AwaitWelcome) {
    if (frame.type == FrameType::Welcome)
      return on_welcome(frame.payload, now, effects);
    return violation("a frame before the welcome", now, effects);
  }
  if (frame.type == FrameType::Message) {
    effects.push_back({.kind = Effect::Kind::Message,
                       .bytes = Bytes(frame.payload.begin(), frame.payload.end())});
    return;
  }
  if (frame.type == FrameType::Renew && from_mount)
    return on_renew(frame.payload, now, effects);
  if (frame.type == FrameType::Renewed && !from_mount) {
    return on_renewed(frame.payload, now, effects);
  }
  violation("a frame that this side may not send now", now, effects);
}

void StreamCore::on_hello(BytesView payload, Instant now, Effects& effects) {
  auto hello = decode_hello(payload);
  if (!hello)
    return violation(std::move(hello.error().message), now, effects);
  if (hello->lowest_version > kProtocolVersion || hello->highest_version < kProtocolVersion) {
    return goodbye({.reason = GoodbyeReason::Version,
                    .text = "this server speaks version " + std::to_string(kProtocolVersion)},
                   now, effects);
  }
  phase_ = Phase::AwaitVerdict;
  phase_deadline_ = now + options_->hello_deadline;
  effects.push_back({.kind = Effect::Kind::HelloReceived, .bytes = std::move(hello->credential)});
}

void StreamCore::accept(Instant now, Effects& effects) {
  if (phase_ != Phase::AwaitVerdict)
    return;  // it ended while the owner was judging
  phase_ = Phase::Open;
  lease_until_ = now + options_->lease + options_->lease_margin;
  const Welcome welcome{.version = kProtocolVersion,
                        .keep_alive = options_->keep_alive,
                        .lease = options_->lease,
                        .server_epoch = options_->server_epoch};
  if (queue(encode_welcome(welcome), now, effects)) {
    effects.push_back({.kind = Effect::Kind::Opened});
  }
}

void StreamCore::refuse(std::string text, Instant now, Effects& effects) {
  if (phase_ != Phase::AwaitVerdict)
    return;
  goodbye({.reason = GoodbyeReason::Refused, .text = std::move(text)}, now, effects);
}

void StreamCore::on_welcome(BytesView payload, Instant now, Effects& effects) {
  auto welcome = decode_welcome(payload);
  if (!welcome)
    return violation(std::move(welcome.error().message), now, effects);
  if (welcome->version != kProtocolVersion) {
    return violation("a welcome to a version that was not offered", now, effects);
  }
  phase_ = Phase::Open;
  lease_ = welcome->lease;
  keep_alive_ = welcome->keep_alive;
  lease_until_ = hello_sent_ + lease_;
  next_renewal_ = hello_sent_ + keep_alive_;
  effects.push_back({.kind = Effect::Kind::Opened, .number = welcome->server_epoch});
}

void StreamCore::on_renew(BytesView payload, Instant now, Effects& effects) {
  const auto number = decode_number(payload);
  if (!number || *number <= last_number_) {
    return violation("a renewal whose number does not grow", now, effects);
  }
  last_number_ = *number;
  if (options_->hold_renewals) {
    effects.push_back({.kind = Effect::Kind::Renewal, .number = *number});
  } else {
    acknowledge_renewal(*number, now, effects);
  }
}

void StreamCore::acknowledge_renewal(std::uint64_t number, Instant now, Effects& effects) {
  number = std::min(number, last_number_);
  if (phase_ != Phase::Open || role_ != Role::Server || number <= last_answered_)
    return;
  if (now >= lease_until_)
    return on_timer(now, effects);  // too late: it has run out
  last_answered_ = number;
  lease_until_ = now + options_->lease + options_->lease_margin;
  (void)queue(encode_renewed(number), now, effects);  // a failure has closed the stream
}

void StreamCore::on_renewed(BytesView payload, Instant now, Effects& effects) {
  const auto number = decode_number(payload);
  const auto answered = [&](const SentRenewal& sent) { return number && sent.number == *number; };
  const auto found = std::find_if(unanswered_.begin(), unanswered_.end(), answered);
  if (found == unanswered_.end()) {
    return violation("an answer to a renewal that was not sent", now, effects);
  }
  if (now >= lease_until_)
    return on_timer(now, effects);  // a lease does not come back to life
  lease_until_ = found->sent + lease_;
  unanswered_.erase(unanswered_.begin(), found + 1);
  if (unanswered_.empty())
    std::vector<SentRenewal>().swap(unanswered_);
  effects.push_back({.kind = Effect::Kind::Renewed, .number = *number});
}

void StreamCore::on_goodbye(BytesView payload, Effects& effects) {
  auto goodbye = decode_goodbye(payload);
  out_.clear();
  phase_ = Phase::Closed;
  if (!goodbye)
    return close_with({.error = std::move(goodbye.error())}, effects);
  close_with({.error = Error{ErrorCode::Unavailable, "the peer said goodbye: " + goodbye->text,
                             goodbye->retry_after},
              .by_peer_goodbye = true,
              .reason = goodbye->reason,
              .retry_after = goodbye->retry_after},
             effects);
}

void StreamCore::send_renewal(Instant now, Effects& effects) {
  next_renewal_ = now + keep_alive_;
  if (unanswered_.size() >= kMaxUnanswered)
    return;  // the lease's end decides
  ++last_number_;
  unanswered_.push_back({last_number_, now});
  (void)queue(encode_renew(last_number_), now, effects);  // a failure has closed the stream
}

void StreamCore::on_timer(Instant now, Effects& effects) {
  if (phase_ == Phase::Closed)
    return;
  if (phase_ != Phase::Open && now >= phase_deadline_) {
    return cut({ErrorCode::DeadlineExceeded, phase_ == Phase::Leaving
                                                 ? "the goodbye could not be delivered in time"
                                                 : "the peer did not greet in time"},
               effects);
  }
  if (decoder_.mid_frame() && now >= frame_deadline_) {
    return cut({ErrorCode::DeadlineExceeded, "a frame did not arrive whole in time"}, effects);
  }
  if (!out_.empty() && now >= write_deadline_) {
    return cut({ErrorCode::DeadlineExceeded, "the peer does not read"}, effects);
  }
  if (phase_ != Phase::Open)
    return;
  if (now >= lease_until_) {
    goodbye({.reason = GoodbyeReason::Expired, .text = "the lease has run out"}, now, effects);
    return;
  }
  if (now >= next_renewal_)
    send_renewal(now, effects);
}

Instant StreamCore::next_deadline() const {
  if (phase_ == Phase::Closed)
    return Instant::max();
  Instant next = phase_ == Phase::Open ? std::min(lease_until_, next_renewal_) : phase_deadline_;
  if (decoder_.mid_frame())
    next = std::min(next, frame_deadline_);
  if (!out_.empty())
    next = std::min(next, write_deadline_);
  return next;
}

void StreamCore::on_transport_lost(Error error, Effects& effects) {
  cut(std::move(error), effects);
}

Status StreamCore::send(BytesView payload, Instant now, Effects& effects) {
  if (payload.empty() || payload.size() > kMaxMessage) {
    return fail(ErrorCode::InvalidArgument, "a message of {} bytes; at most {} fit", payload.size(),
                kMaxMessage);
  }
  return send_encoded(encode_message(payload), now, effects);
}

Status StreamCore::send_encoded(BytesView frame, Instant now, Effects& effects) {
  if (phase_ != Phase::Open)
    return fail(ErrorCode::Unavailable, "the stream is not open");
  return queue(frame, now, effects);
}

Status StreamCore::queue(BytesView frame, Instant now, Effects& effects) {
  if (out_.size() + frame.size() > options_->out_cap) {
    cut({ErrorCode::ResourceExhausted, "the peer does not read: its queue is full"}, effects);
    return fail(ErrorCode::ResourceExhausted, "the peer does not read: its queue is full");
  }
  if (out_.empty())
    write_deadline_ = now + options_->write_deadline;
  out_.append(frame);
  return {};
}

void StreamCore::goodbye(const Goodbye& goodbye, Instant now, Effects& effects) {
  if (phase_ == Phase::Leaving || phase_ == Phase::Closed)
    return;
  phase_ = Phase::Leaving;
  said_goodbye_ = true;
  phase_deadline_ = now + options_->goodbye_deadline;
  close_with({.error = Error{goodbye.reason == GoodbyeReason::Protocol ? ErrorCode::Protocol
                                                                       : ErrorCode::Cancelled,
                             goodbye.text}},
             effects);
  (void)queue(encode_goodbye(goodbye), now, effects);  // no room: cut, which is all that is left
}

void StreamCore::consume_output(std::size_t n, Instant now) {
  out_.consume(n);
  if (!out_.empty())
    return;
  write_deadline_ = now + options_->write_deadline;
  if (phase_ == Phase::Leaving)
    phase_ = Phase::Closed;
}

void StreamCore::violation(std::string text, Instant now, Effects& effects) {
  goodbye({.reason = GoodbyeReason::Protocol, .text = std::move(text)}, now, effects);
}

void StreamCore::cut(Error error, Effects& effects) {
  out_.clear();
  phase_ = Phase::Closed;
  close_with({.error = std::move(error)}, effects);
}

void StreamCore::close_with(CloseInfo info, Effects& effects) {
  if (std::exchange(closed_given_, true))
    return;
  effects.push_back({.kind = Effect::Kind::Closed, .close = std::move(info)});
}

}  // namespace common::stream
