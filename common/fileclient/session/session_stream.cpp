// What is said on the session's stream.

#include "common/fileclient/session/mount_session.hpp"
#include "common/log/log.hpp"

namespace common::fileclient {

stream::Bytes MountSession::credential(stream::StreamId, const std::array<std::byte, 32>& binding) {
  SessionKeyPtr session;
  {
    const MutexLock lock(mutex_);
    if (state_ != SessionState::Open)
      return {};
    session = session_;
    binding_ = binding;
  }
  const auto proof =
      fileproto::session_proof(session->key, fileproto::kStreamLabel, binding, session->opener);
  return proof ? fileproto::encode_stream_credential({session->id, *proof}) : stream::Bytes{};
}

void MountSession::on_open(stream::StreamId stream, std::uint64_t, Instant lease_until) {
  const MutexLock lock(mutex_);
  if (stream != stream_)
    return;
  proved_ = false;
  welcome_until_ = lease_until;
}

void MountSession::on_renewed(stream::StreamId stream, Instant until) {
  {
    const MutexLock lock(mutex_);
    if (stream == stream_ && proved_ && state_ == SessionState::Open)
      lease_until(until);
  }
  deliver();
}

// The lease counts from when it was asked for. What has lapsed meanwhile is withdrawn first.
void MountSession::lease_until(Instant until) {
  step();
  BookEffects effects;
  book_.hello_sent(until - session_->lease);
  book_.on_welcome(session_->lease, clock_.now(), effects);
  act(effects);
}

void MountSession::on_close(stream::StreamId stream, const stream::CloseInfo& why) {
  const MutexLock lock(mutex_);
  if (stream != stream_)
    return;
  proved_ = false;
  book_.stream_down();
  // Its Hello was refused: the way back is another session, or the same one resumed.
  if (why.by_peer_goodbye && why.reason == stream::GoodbyeReason::Refused)
    lost_locked();
}

void MountSession::on_message(stream::StreamId stream, stream::BytesView bytes) {
  const auto message = fileproto::decode_server_message(bytes);
  {
    const MutexLock lock(mutex_);
    if (stream != stream_ || state_ != SessionState::Open)
      return;
    if (!message) {
      log::error("what a server says on its stream cannot be read",
                 {{"server", options_.name}, {"why", message.error().message}});
      lost_locked();
    } else if (proved_ || std::holds_alternative<fileproto::ServerProof>(*message)) {
      std::visit([this](const auto& one) NO_THREAD_SAFETY_ANALYSIS { hear(one); }, *message);
    }
  }
  deliver();
}

void MountSession::hear(const fileproto::ServerProof& message) {
  if (!fileproto::is_session_proof(session_->key, fileproto::kServerLabel, binding_,
                                   session_->opener, message.proof)) {
    log::error("the server of a stream has not proved itself", {{"server", options_.name}});
    return lost_locked();
  }
  proved_ = true;
  down_ = false;
  lease_until(welcome_until_);
}

void MountSession::hear(const fileproto::Break& message) {
  std::vector<BrokenNode> nodes;
  nodes.reserve(message.nodes.size());
  for (const auto& node : message.nodes)
    nodes.push_back({node.fid, node.what});
  BookEffects effects;
  book_.on_break(message.number, message.grant_clock, nodes, effects);
  act(effects);
}

void MountSession::hear(const fileproto::Update& message) {
  std::vector<Taken> taken;
  taken.reserve(message.nodes.size());
  for (const fileproto::UpdatedNode& node : message.nodes) {
    // Without attributes there is nothing that a grant could be for.
    taken.push_back(node.attributes
                        ? book_.take_update(message.grant_clock, {message.volume, node.node},
                                            {message.epoch, node.attributes->version}, node.granted)
                        : Taken::Known);
  }
  tell([this, message, taken = std::move(taken)] { listener_.updated(*this, message, taken); });
}

void MountSession::hear(const fileproto::Stable& message) {
  tell([this, message] { listener_.stable(*this, message); });
}

void MountSession::hear(const fileproto::GiveBack& message) {
  tell([this, message] { listener_.give_back(*this, message); });
}

void MountSession::hear(const fileproto::Ended& message) {
  if (message.volume != VolumeId{}) {
    tell([this, message] { listener_.volume_ended(*this, message.volume, message.why); });
  } else if (message.why == fileproto::EndedWhy::Replaced) {
    replaced_locked(
        "another mount with the same mount id has taken over the session with " + options_.name +
        ": the cache directory has been copied or is used twice; give this mount a cache directory "
        "of its own and mount again");
  } else {
    lost_locked();
  }
}

void MountSession::send_locked(const fileproto::MountMessage& message) {
  const auto bytes = fileproto::encode_message(message);
  // Dropped while there is no stream: the server says its breaks again on the next.
  if (bytes && stream_ != stream::StreamId{})
    static_cast<void>(streams_->send(stream_, *bytes));
}

}  // namespace common::fileclient
