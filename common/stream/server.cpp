#include "common/stream/server.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "common/log/log.hpp"
#include "common/stream/address.hpp"
#include "common/stream/loop.hpp"
#include "common/stream/message_frame.hpp"
#include "common/sync/mutex.hpp"

namespace common::stream {
namespace {

// A restarted server is dialled by everybody at once.
constexpr int kBacklog = 4096;
// Connections taken before the streams get their turn.
constexpr int kAcceptsPerTurn = 64;
// Out of descriptors or memory: trying again at once would spin.
constexpr std::chrono::milliseconds kAcceptPause{100};
// Refusals and accept errors come in thousands; people need to read of them once.
constexpr std::chrono::seconds kLogPause{60};
// Stopping is to be over within two seconds, with the second of the goodbye deadline in it.
constexpr std::chrono::milliseconds kStopWait{1'500};

Result<UniqueFd> listen_on(const SocketAddress& address, const std::string& text) {
  UniqueFd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int one = 1;
  if (!fd.valid() || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
      ::bind(fd.get(), address.get(), address.size) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    return fail_errno(errno, "cannot listen for streams on {} port {}", text, port_of(address));
  }
  return fd;
}

}  // namespace

class StreamServer::Impl final : public LoopOwner {
 public:
  Impl(StreamServerOptions options, ServerHandler& handler, const Clock& clock)
      : options_(std::move(options)),
        handler_(handler),
        clock_(clock),
        admission_(options_.admission),
        loop_(*this, clock) {}

  Status start() {
    TROTH_TRY(const auto address, parse_address(options_.address, options_.port));
    TROTH_TRY(listener_, listen_on(address, options_.address));
    SocketAddress bound;
    bound.size = sizeof bound.storage;
    if (::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) !=
        0) {
      return fail_errno(errno, "cannot learn the port that was bound");
    }
    port_ = port_of(bound);
    return loop_.start("streams");  // its first turn begins to listen
  }

  void stop() {
    const Status asked = loop_.post({.call = [this](Instant now) { begin_stop(now); }});
    if (asked) {
      MutexLock lock(stop_mutex_);
      const Instant give_up = clock_.now() + kStopWait;
      while (!all_gone_ && clock_.now() < give_up) {
        stop_cv_.wait_for(stop_mutex_, give_up - clock_.now());
      }
    }
    loop_.stop();
    listener_.reset();
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] const StreamServerStats& stats() const { return stats_; }
  Status post(Command command) { return loop_.post(std::move(command)); }

  void on_secured(Link& link, Instant now) override {
    admission_.handshake_ended(link.id());
    link.begin(StreamCore(options_.core, now));
  }

  void on_effect(Link& link, Effect effect, Instant now, Effects& more) override {
    const StreamId stream(link.id());
    switch (effect.kind) {
      case Effect::Kind::HelloReceived:
        return judge(link, effect.bytes, now, more);
      case Effect::Kind::Opened:
        return handler_.on_open(stream);
      case Effect::Kind::Message:
        ++stats_.messages_in;
        return handler_.on_message(stream, effect.bytes);
      case Effect::Kind::Renewal:
        return handler_.on_renewal(stream, effect.number);
      case Effect::Kind::Renewed:
        return;  // a mount's
      case Effect::Kind::Closed:
        if (effect.close.error.code == ErrorCode::ResourceExhausted)
          ++stats_.broken_by_cap;
        if (!accepted_.contains(link.id()))
          return;
        ++stats_.closed;  // whoever hears of it finds it counted
        try {
          handler_.on_close(stream, effect.close);
        } catch (const std::bad_alloc&) {
          --stats_.closed;  // on_gone() tries again
          throw;
        }
        accepted_.erase(link.id());
        return;
    }
  }

  void on_gone(Link& link, Instant now) override {
    if (!link.has_core())
      ++stats_.handshakes_failed;
    addresses_.erase(link.id());
    admission_.left(link.id());
    if (accepted_.erase(link.id()) != 0) {  // the loop itself is ending, or memory was short
      ++stats_.closed;
      handler_.on_close(StreamId(link.id()),
                        {.error = {ErrorCode::Cancelled, "the server stopped"}});
    }
    (void)now;
  }

  void on_command(Command command, Instant now) override {
    if (command.kind == Command::Kind::Broadcast) {
      loop_.for_each([&](Link& link) { deliver(link, command, now); });
    } else if (Link* link = loop_.find(command.id)) {
      deliver(*link, command, now);
    }
  }

  void on_watched(Instant now) override {
    for (int i = 0; i < kAcceptsPerTurn && listening_; ++i) {
      if (const auto old = admission_.evict(now)) {
        ++stats_.handshakes_evicted;
        loop_.drop(*old, now);
      }
      if (admission_.must_wait(now))
        return set_listening(false);
      SocketAddress peer;
      peer.size = sizeof peer.storage;
      UniqueFd socket(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer.storage),
                                &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!socket.valid()) {
        if (errno == EAGAIN)
          return;
        on_accept_error(errno, now);
        continue;
      }
      admit(std::move(socket), peer, now);
    }
  }

  Instant on_turn(Instant now) override {
    if (stopping_) {
      if (loop_.links() == 0)
        announce_gone();
      return Instant::max();
    }
    if (listening_)
      return Instant::max();
    if (now >= paused_until_ && !admission_.must_wait(now)) {
      set_listening(true);
      return Instant::max();
    }
    return std::max(paused_until_, std::min(admission_.patience_ends(), now + kAcceptPause));
  }

 private:
  void set_listening(bool on) {
    if (stopping_ || listening_ == on)
      return;
    listening_ = on;
    loop_.watch(listener_.get(), on);
  }

  void admit(UniqueFd socket, const SocketAddress& peer, Instant now) {
    const AddressKey key = address_key(peer);
    const Verdict verdict = admission_.judge(key, now);
    if (verdict != Verdict::Admit) {
      ++(verdict == Verdict::RefuseAddress ? stats_.refused_address : stats_.refused_full);
      if (now < next_log_)
        return;
      next_log_ = now + kLogPause;
      log::warn("refused a stream",
                {{"peer", host_text(peer)},
                 {"streams", admission_.connections()},
                 {"reason", verdict == Verdict::RefuseAddress ? "too many from its address"
                                                              : "too many in all"}});
      return;
    }
    set_stream_options(socket.get());
    auto session = tls::Connection::accept(options_.tls->current(), socket.get());
    if (!session) {
      ++stats_.accept_errors;
      return;
    }
    const std::uint64_t id = next_id_++;
    auto link = std::make_unique<Link>(id, std::move(socket), *std::move(session),
                                       Link::Phase::Handshake, now + options_.handshake_deadline);
    Status added;
    try {
      admission_.handshake_begins(id, key, now);
      addresses_.emplace(id, host_text(peer));
      added = loop_.add(std::move(link), now);
    } catch (const std::bad_alloc&) {
      added = tl::unexpected(Error{ErrorCode::ResourceExhausted, {}});
    }
    if (added) {
      ++stats_.accepted;
      return;
    }
    ++stats_.accept_errors;
    addresses_.erase(id);
    admission_.left(id);
  }

  // Whatever accept() says, the listener lives on: a server that runs and does not serve is the
  // worst of both.
  void on_accept_error(int error, Instant now) {
    if (error == EINTR || error == ECONNABORTED || error == EPROTO)
      return;
    ++stats_.accept_errors;
    paused_until_ = now + kAcceptPause;
    set_listening(false);
    if (now < next_log_)
      return;
    next_log_ = now + kLogPause;
    log::error("cannot accept streams for the moment",
               {{"errno", error}, {"streams", admission_.connections()}});
  }

  void judge(Link& link, BytesView credential, Instant now, Effects& more) {
    const auto binding = link.tls().export_key(kTlsBindingLabel);
    const auto address = addresses_.find(link.id());
    PeerInfo peer;
    if (address != addresses_.end()) {
      peer.address = std::move(address->second);
      addresses_.erase(address);
    }
    peer.certificate = link.tls().peer_certificate();
    Status verdict = tl::unexpected(Error{ErrorCode::Internal, "no binding to the connection"});
    if (binding) {
      peer.tls_binding = *binding;
      // Before the handler hears of it: what he has accepted will end for him, whatever happens.
      const auto accepted = accepted_.insert(link.id()).first;
      try {
        verdict = handler_.on_hello(StreamId(link.id()), peer, credential);
      } catch (const std::bad_alloc&) {
        accepted_.erase(accepted);
        throw;
      }
      if (!verdict)
        accepted_.erase(accepted);
    }
    if (!verdict)
      return link.core().refuse(verdict.error().message, now, more);
    ++stats_.opened;
    link.core().accept(now, more);
  }

  void deliver(Link& link, const Command& command, Instant now) {
    if (link.phase() != Link::Phase::Streaming || !link.has_core())
      return;
    Effects effects;
    switch (command.kind) {
      case Command::Kind::Send:
      case Command::Kind::Broadcast:
        // A stream that is not open, or breaks here, tells by its Closed effect.
        if (link.core().send_encoded(*command.frame, now, effects))
          ++stats_.messages_out;
        break;
      case Command::Kind::Goodbye:
        link.core().goodbye(command.goodbye, now, effects);
        break;
      case Command::Kind::Acknowledge:
        link.core().acknowledge_renewal(command.number, now, effects);
        break;
      case Command::Kind::Call:
        return;
    }
    loop_.settle(link, effects, now);
  }

  void begin_stop(Instant now) {
    set_listening(false);
    stopping_ = true;
    const Command farewell{.kind = Command::Kind::Goodbye,
                           .goodbye = {.text = "the server is stopping"}};
    loop_.for_each([&](Link& link) {
      if (!link.has_core())
        return loop_.drop(link.id(), now);
      deliver(link, farewell, now);
    });
  }

  void announce_gone() {
    MutexLock lock(stop_mutex_);
    all_gone_ = true;
    stop_cv_.notify_all();
  }

  const StreamServerOptions options_;
  ServerHandler& handler_;
  const Clock& clock_;
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  StreamServerStats stats_;

  Mutex stop_mutex_;
  CondVar stop_cv_;
  bool all_gone_ GUARDED_BY(stop_mutex_) = false;

  // Only the loop's thread touches what follows.
  Admission admission_;
  std::unordered_map<std::uint64_t, std::string> addresses_;  // until the hello is judged
  std::unordered_set<std::uint64_t> accepted_;
  std::uint64_t next_id_ = Loop::kFirstId;
  Instant paused_until_;
  Instant next_log_;
  bool listening_ = false;
  bool stopping_ = false;

  Loop loop_;  // last: its thread uses all of the above
};

StreamServer::StreamServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StreamServer::~StreamServer() {
  stop();
}

Result<std::unique_ptr<StreamServer>> StreamServer::start(StreamServerOptions options,
                                                          ServerHandler& handler,
                                                          const Clock& clock) {
  if (!options.tls)
    return fail(ErrorCode::InvalidArgument, "streams need a TLS context");
  const CoreOptions& core = options.core;
  if (core.keep_alive.count() <= 0 || core.keep_alive * 3 > core.lease) {
    return fail(ErrorCode::InvalidArgument,
                "a keep-alive of {} ms for a lease of {} ms: it must be a third at most",
                core.keep_alive.count(), core.lease.count());
  }
  auto impl = std::make_unique<Impl>(std::move(options), handler, clock);
  TROTH_TRY_VOID(impl->start());
  return std::unique_ptr<StreamServer>(new StreamServer(std::move(impl)));
}

std::uint16_t StreamServer::port() const {
  return impl_->port();
}
const StreamServerStats& StreamServer::stats() const {
  return impl_->stats();
}
void StreamServer::stop() {
  impl_->stop();
}

Status StreamServer::send(StreamId stream, BytesView message) {
  TROTH_TRY(auto frame, message_frame(message));
  return impl_->post({.kind = Command::Kind::Send, .id = stream.value, .frame = std::move(frame)});
}

Status StreamServer::broadcast(BytesView message) {
  TROTH_TRY(auto frame, message_frame(message));
  return impl_->post({.kind = Command::Kind::Broadcast, .frame = std::move(frame)});
}

Status StreamServer::goodbye(StreamId stream, Goodbye goodbye) {
  return impl_->post(
      {.kind = Command::Kind::Goodbye, .id = stream.value, .goodbye = std::move(goodbye)});
}

Status StreamServer::acknowledge(StreamId stream, std::uint64_t number) {
  return impl_->post({.kind = Command::Kind::Acknowledge, .id = stream.value, .number = number});
}

}  // namespace common::stream
