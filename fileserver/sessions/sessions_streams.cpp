// Streams of sessions: what mounts say there, and what promises say to them.

#include <algorithm>
#include <utility>

#include "common/fileproto/sessions.hpp"
#include "fileserver/sessions/session_messages.hpp"
#include "fileserver/sessions/sessions_impl.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::MutexLock;
using common::stream::GoodbyeReason;
using fileproto::kServerLabel;
using fileproto::kStreamLabel;

// A stream's renewals, as the core sees them: the stream in the high half, so that an answer for
// one that was replaced is known for what it is.
constexpr unsigned kStreamShift = 32;

std::uint64_t renewal_of(StreamId stream, std::uint64_t number) {
  return stream.value << kStreamShift | number;
}

GoodbyeReason reason_of(SessionOver::Why why) {
  switch (why) {
    case SessionOver::Why::Closed:
      return GoodbyeReason::Leaving;
    case SessionOver::Why::Replaced:
      return GoodbyeReason::Replaced;
    case SessionOver::Why::Lease:
      return GoodbyeReason::Expired;
    case SessionOver::Why::Misbehaved:
      return GoodbyeReason::Protocol;
    case SessionOver::Why::Revoked:
      return GoodbyeReason::Refused;
  }
  return GoodbyeReason::Leaving;
}

fileproto::EndedWhy ended_why(SessionOver::Why why) {
  switch (why) {
    case SessionOver::Why::Lease:
      return fileproto::EndedWhy::Lease;
    case SessionOver::Why::Revoked:
      return fileproto::EndedWhy::Revoked;
    default:
      return fileproto::EndedWhy::Replaced;
  }
}

}  // namespace

// --- streams ---

Status Sessions::Impl::on_hello(StreamId stream, const common::stream::PeerInfo& peer,
                                common::stream::BytesView credential) {
  TROTH_TRY(const auto greeting, fileproto::decode_stream_credential(credential));
  FileSessionPtr session;
  {
    const MutexLock lock(mutex_);
    const auto* const entry = table_.find(greeting.session);
    if (entry == nullptr)
      return fail(ErrorCode::Stale, "the session is over: open another");
    if (entry->absent)
      return fail(ErrorCode::Stale, "the server has been started anew: resume the session");
    session = entry->session;
  }
  if (!fileproto::is_session_proof(session->key->bytes(), kStreamLabel, peer.tls_binding,
                                   session->opener_name, greeting.proof))
    return tl::unexpected(not_yours());
  TROTH_TRY(const Proof ours, fileproto::session_proof(session->key->bytes(), kServerLabel,
                                                       peer.tls_binding, session->opener_name));
  greeting_ = Greeting{stream, greeting.session, ours};
  return {};
}

// Right after its Hello was accepted, in the same thread.
void Sessions::Impl::on_open(StreamId stream) {
  const auto greeting = std::exchange(greeting_, std::nullopt);
  if (!greeting || greeting->stream != stream)
    return break_stream(stream, "the stream was opened out of turn");
  keeper_->stream_down(greeting->session);
  std::optional<StreamId> old;
  {
    const MutexLock lock(mutex_);
    auto* const entry = table_.find(greeting->session);
    if (entry != nullptr) {
      old = table_.set_stream(*entry, stream);
      // Before anything else is sent: until it has it the mount believes nothing, not even that its
      // lease has begun.
      send_to(stream, fileproto::ServerProof{greeting->proof});
      for (const auto& [when, volume] : deleted_)
        send_to(stream, fileproto::Ended{fileproto::EndedWhy::VolumeDeleted, volume});
    }
  }
  if (old)
    static_cast<void>(streams_->goodbye(*old, {GoodbyeReason::Replaced, {}, "a newer stream"}));
  if (const Status up = keeper_->stream_up(greeting->session); !up) {
    const MutexLock lock(mutex_);
    table_.drop_stream(stream);
    static_cast<void>(streams_->goodbye(stream, {GoodbyeReason::Refused, {}, up.error().message}));
  }
}

void Sessions::Impl::on_message(StreamId stream, common::stream::BytesView message) {
  const auto session = session_of(stream);
  if (!session)
    return;  // its end is on the way
  const auto decoded = fileproto::decode_mount_message(message);
  Status done;
  if (!decoded)
    done = tl::unexpected(decoded.error());
  else if (const auto* const flushing = std::get_if<fileproto::Flushing>(&*decoded))
    done = keeper_->on_flushing(*session, flushing->number, flushing->more,
                                may_write(*session, flushing->number));
  else
    done = on_acknowledge(*session, std::get<fileproto::Acknowledge>(*decoded).number);
  if (!done && done.error().code != ErrorCode::Stale)
    break_stream(stream, done.error().message);
}

Status Sessions::Impl::on_acknowledge(SessionId session, std::uint64_t number) {
  {
    const MutexLock lock(mutex_);
    if (auto* const entry = table_.find(session))
      entry->breaks.erase(entry->breaks.begin(), entry->breaks.upper_bound(number));
  }
  return keeper_->on_acknowledge(session, number);
}

// Whoever may only read must not delay others' changes.
bool Sessions::Impl::may_write(SessionId session, std::uint64_t number) {
  const MutexLock lock(mutex_);
  const auto* const entry = table_.find(session);
  if (entry == nullptr)
    return false;
  const auto broken = entry->breaks.find(number);
  if (broken == entry->breaks.end())
    return false;
  auto held = entry->session->held.lock();
  return std::any_of(held->handles.begin(), held->handles.end(), [&](const auto& one) {
    return one.second.write && std::find(broken->second.begin(), broken->second.end(),
                                         one.second.fid) != broken->second.end();
  });
}

void Sessions::Impl::on_renewal(StreamId stream, std::uint64_t number) {
  const auto session = session_of(stream);
  if (!session)
    return;
  if (number >= (std::uint64_t{1} << kStreamShift))
    return break_stream(stream, "a stream does not live for that many renewals");
  keeper_->on_renewal(*session, renewal_of(stream, number));
}

void Sessions::Impl::on_close(StreamId stream, const common::stream::CloseInfo&) {
  const auto session = session_of(stream);
  if (!session)
    return;
  {
    const MutexLock lock(mutex_);
    table_.drop_stream(stream);
  }
  keeper_->stream_down(*session);
}

std::optional<SessionId> Sessions::Impl::session_of(StreamId stream) {
  const MutexLock lock(mutex_);
  const auto* const entry = table_.of_stream(stream);
  return entry == nullptr ? std::nullopt : std::optional(entry->session->id);
}

void Sessions::Impl::send_to(StreamId stream, const fileproto::ServerMessage& message) {
  if (const auto encoded = fileproto::encode_message(message))
    static_cast<void>(streams_->send(stream, *encoded));
}

void Sessions::Impl::break_stream(StreamId stream, std::string why) {
  static_cast<void>(streams_->goodbye(stream, {GoodbyeReason::Protocol, {}, std::move(why)}));
}

// --- effects ---

void Sessions::Impl::send(SessionId session, const std::vector<common::Bytes>& messages) {
  std::optional<StreamId> stream;
  {
    const MutexLock lock(mutex_);
    if (const auto* const entry = table_.find(session))
      stream = entry->stream;
  }
  if (!stream)
    return;  // it hears of breaks again when it is back
  for (const common::Bytes& message : messages)
    static_cast<void>(streams_->send(*stream, message));
}

void Sessions::Impl::send_break(const SendBreak& message) {
  {
    const MutexLock lock(mutex_);
    ++breaks_sent_;
    auto* const entry = table_.find(message.session);
    if (entry == nullptr)
      return;
    auto& nodes = entry->breaks[message.number];
    nodes.clear();
    for (const Touched& touched : message.nodes)
      nodes.push_back(touched.node);
  }
  send(message.session, {encode_break(message)});
}

void Sessions::Impl::send_update(const SendUpdate& message, const ChangeNews& news) {
  send(message.session, encode_update(message, news));
  const MutexLock lock(mutex_);
  ++updates_sent_;
}

void Sessions::Impl::acknowledge_renewal(const AcknowledgeRenewal& message) {
  std::optional<StreamId> stream;
  {
    const MutexLock lock(mutex_);
    if (const auto* const entry = table_.find(message.session))
      stream = entry->stream;
  }
  if (stream && stream->value == message.number >> kStreamShift)
    static_cast<void>(
        streams_->acknowledge(*stream, message.number & ((std::uint64_t{1} << kStreamShift) - 1)));
}

void Sessions::Impl::session_over(const SessionOver& message) {
  std::optional<StreamId> stream;
  {
    const MutexLock lock(mutex_);
    auto* const entry = table_.find(message.session);
    if (entry == nullptr)
      return;
    entry->session->over.store(true);
    stream = entry->stream;
    table_.remove(message.session);
    ended_.push_back(message.session);
  }
  wake_.notify_all();
  if (!stream)
    return;
  send_to(*stream, fileproto::Ended{ended_why(message.why), VolumeId{}});
  static_cast<void>(
      streams_->goodbye(*stream, {reason_of(message.why), {}, "the session is over"}));
}

// Not before: until then somebody may trust it, also after a crash of ours (R10).
void Sessions::Impl::forget_session(const ForgetSession& message) {
  {
    const MutexLock lock(mutex_);
    forgotten_.push_back(message.session);
  }
  wake_.notify_all();
}

void Sessions::Impl::close_stream(const CloseStream& message) {
  std::optional<StreamId> stream;
  {
    const MutexLock lock(mutex_);
    if (const auto* const entry = table_.find(message.session))
      stream = entry->stream;
  }
  if (stream)
    static_cast<void>(streams_->goodbye(*stream, {GoodbyeReason::Overloaded, {}, message.text}));
}

}  // namespace fileserver
