#include "common/stream/client.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <deque>
#include <random>
#include <unordered_map>
#include <utility>

#include "common/stream/address.hpp"
#include "common/stream/loop.hpp"
#include "common/stream/message_frame.hpp"
#include "common/sync/mutex.hpp"
#include "common/timer_queue.hpp"

namespace common::stream {
namespace {

constexpr std::chrono::milliseconds kHangUpWait{1'500};

struct Target {
  SocketAddress to;
  std::optional<SocketAddress> from;
  std::string server_name;
  Redial redial{RedialOptions{}};
  std::uint64_t link = 0;  // 0: none at the moment
  bool opened = false;
  bool told = false;  // on_close() was called for this attempt
  bool hung_up = false;
  std::chrono::milliseconds retry_after{0};
};

Result<UniqueFd> begin_connect(const Target& target) {
  UniqueFd fd(::socket(target.to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid())
    return fail_errno(errno, "cannot make a socket");
  set_stream_options(fd.get());
  if (target.from && ::bind(fd.get(), target.from->get(), target.from->size) != 0) {
    return fail_errno(errno, "cannot dial from {}", host_text(*target.from));
  }
  if (::connect(fd.get(), target.to.get(), target.to.size) != 0 && errno != EINPROGRESS) {
    return fail_errno(errno, "cannot dial {}", host_text(target.to));
  }
  return fd;
}

}  // namespace

class StreamClient::Impl final : public LoopOwner {
 public:
  Impl(StreamClientOptions options, ClientHandler& handler, const Clock& clock)
      : options_(std::move(options)),
        handler_(handler),
        clock_(clock),
        random_(options_.seed != 0
                    ? options_.seed
                    : static_cast<std::uint64_t>(clock.wall_now().time_since_epoch().count()) ^
                          std::random_device{}()),
        loop_(*this, clock) {}

  Status start() { return loop_.start("stream-client"); }
  Status post(Command command) { return loop_.post(std::move(command)); }

  Result<StreamId> dial(DialOptions to) {
    Target target;
    TROTH_TRY(target.to, parse_address(to.address, to.port));
    if (!to.from_address.empty()) {
      TROTH_TRY(target.from, parse_address(to.from_address, 0));
    }
    target.server_name = to.server_name.empty() ? to.address : to.server_name;
    target.redial = Redial(options_.redial);
    std::uint64_t id = 0;
    {
      MutexLock lock(mutex_);
      if (streams_ >= options_.streams) {
        return fail(ErrorCode::ResourceExhausted, "{} streams are open or being dialled", streams_);
      }
      ++streams_;
      id = next_id_++;
    }
    TROTH_TRY_VOID(loop_.post({.call = [this, id, target = std::move(target)](Instant) mutable {
      targets_.emplace(id, std::move(target));
      waiting_.push_back(id);
    }}));
    return StreamId(id);
  }

  Status hang_up(StreamId stream) {
    return loop_.post({.call = [this, stream](Instant now) { end(stream.value, now); }});
  }

  void stop() {
    const Status asked = loop_.post({.call = [this](Instant now) { begin_stop(now); }});
    if (asked) {
      MutexLock lock(mutex_);
      const Instant give_up = clock_.now() + kHangUpWait;
      while (!all_gone_ && clock_.now() < give_up) {
        stop_cv_.wait_for(mutex_, give_up - clock_.now());
      }
    }
    loop_.stop();
  }

  void on_secured(Link& link, Instant now) override {
    --dialling_;
    const std::uint64_t id = target_of_[link.id()];
    const auto binding = link.tls().export_key(kTlsBindingLabel);
    // Without a binding the hello carries no credential, and the server refuses it.
    Bytes credential = binding ? handler_.credential(StreamId(id), *binding) : Bytes();
    if (credential.size() > kMaxCredential)
      credential.clear();
    link.begin(StreamCore(options_.core, now, credential));
  }

  void on_effect(Link& link, Effect effect, Instant, Effects&) override {
    const auto found = target_of_.find(link.id());
    if (found == target_of_.end())
      return;
    const StreamId stream(found->second);
    Target& target = targets_.at(stream.value);
    switch (effect.kind) {
      case Effect::Kind::Opened:
        target.opened = true;
        target.redial.succeeded();
        return handler_.on_open(stream, effect.number, link.core().lease_until());
      case Effect::Kind::Message:
        return handler_.on_message(stream, effect.bytes);
      case Effect::Kind::Renewed:
        return handler_.on_renewed(stream, link.core().lease_until());
      case Effect::Kind::Closed:
        target.retry_after = effect.close.retry_after;
        target.told = true;
        return handler_.on_close(stream, effect.close);
      case Effect::Kind::HelloReceived:
      case Effect::Kind::Renewal:
        return;  // a server's
    }
  }

  void on_gone(Link& link, Instant now) override {
    if (!link.has_core())
      --dialling_;
    const auto found = target_of_.find(link.id());
    if (found == target_of_.end())
      return;
    const std::uint64_t id = found->second;
    target_of_.erase(found);
    Target& target = targets_.at(id);
    target.link = 0;
    if (!target.told)
      handler_.on_close(StreamId(id), {.error = link.failure()});
    retry(id, target, now);
  }

  void on_command(Command command, Instant now) override {
    const auto found = targets_.find(command.id);
    if (found == targets_.end() || found->second.link == 0)
      return;
    Link* link = loop_.find(found->second.link);
    if (link == nullptr || link->phase() != Link::Phase::Streaming || !link->has_core())
      return;
    Effects effects;
    (void)link->core().send_encoded(*command.frame, now, effects);  // Closed tells of a failure
    loop_.settle(*link, effects, now);
  }

  void on_watched(Instant) override {}

  Instant on_turn(Instant now) override {
    if (stopping_) {
      if (loop_.links() == 0)
        announce_gone();
      return Instant::max();
    }
    while (const auto due = pauses_.expired(now))
      waiting_.push_back(*due);
    while (!waiting_.empty() && dialling_ < options_.dials_at_once) {
      const std::uint64_t id = waiting_.front();
      waiting_.pop_front();
      if (const auto found = targets_.find(id); found != targets_.end()) {
        attempt(id, found->second, now);
      }
    }
    return pauses_.next();
  }

 private:
  void attempt(std::uint64_t id, Target& target, Instant now) {
    target.opened = false;
    target.told = false;
    target.retry_after = {};
    if (const Status begun = try_attempt(id, target, now); !begun) {
      handler_.on_close(StreamId(id), {.error = begun.error()});
      retry(id, target, now);
    }
  }

  Status try_attempt(std::uint64_t id, Target& target, Instant now) {
    TROTH_TRY(auto socket, begin_connect(target));
    TROTH_TRY(auto session,
              tls::Connection::connect(options_.tls->current(), socket.get(), target.server_name));
    const std::uint64_t link_id = next_link_++;
    TROTH_TRY_VOID(
        loop_.add(std::make_unique<Link>(link_id, std::move(socket), std::move(session),
                                         Link::Phase::Connecting, now + options_.dial_deadline),
                  now));
    ++dialling_;
    target.link = link_id;
    target_of_.emplace(link_id, id);
    return {};
  }

  void retry(std::uint64_t id, Target& target, Instant now) {
    if (target.hung_up || stopping_)
      return forget(id);
    pauses_.set(id, now + target.redial.failed(random_(), target.retry_after));
  }

  void forget(std::uint64_t id) {
    pauses_.forget(id);
    if (targets_.erase(id) == 0)
      return;
    MutexLock lock(mutex_);
    --streams_;
  }

  void end(std::uint64_t id, Instant now) {
    const auto found = targets_.find(id);
    if (found == targets_.end())
      return;
    found->second.hung_up = true;
    Link* link = found->second.link == 0 ? nullptr : loop_.find(found->second.link);
    if (link == nullptr)
      return forget(id);
    if (!link->has_core()) {
      found->second.told = true;  // an attempt that is given up is not news
      return loop_.drop(link->id(), now);
    }
    Effects effects;
    link->core().goodbye({.text = "the mount hangs up"}, now, effects);
    loop_.settle(*link, effects, now);
  }

  void begin_stop(Instant now) {
    stopping_ = true;
    std::vector<std::uint64_t> ids;
    for (const auto& [id, target] : targets_)
      ids.push_back(id);
    for (const std::uint64_t id : ids)
      end(id, now);
  }

  void announce_gone() {
    MutexLock lock(mutex_);
    all_gone_ = true;
    stop_cv_.notify_all();
  }

  const StreamClientOptions options_;
  ClientHandler& handler_;
  const Clock& clock_;

  Mutex mutex_;
  CondVar stop_cv_;
  bool all_gone_ GUARDED_BY(mutex_) = false;
  std::size_t streams_ GUARDED_BY(mutex_) = 0;
  std::uint64_t next_id_ GUARDED_BY(mutex_) = 1;

  // Only the loop's thread touches what follows.
  std::unordered_map<std::uint64_t, Target> targets_;
  std::unordered_map<std::uint64_t, std::uint64_t> target_of_;  // by link
  std::deque<std::uint64_t> waiting_;                           // to be dialled as soon as may be
  TimerQueue<std::uint64_t> pauses_;                            // to be dialled later
  std::mt19937_64 random_;
  std::uint64_t next_link_ = Loop::kFirstId;
  std::size_t dialling_ = 0;
  bool stopping_ = false;

  Loop loop_;  // last: its thread uses all of the above
};

StreamClient::StreamClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StreamClient::~StreamClient() {
  stop();
}

Result<std::unique_ptr<StreamClient>> StreamClient::start(StreamClientOptions options,
                                                          ClientHandler& handler,
                                                          const Clock& clock) {
  if (!options.tls)
    return fail(ErrorCode::InvalidArgument, "streams need a TLS context");
  auto impl = std::make_unique<Impl>(std::move(options), handler, clock);
  TROTH_TRY_VOID(impl->start());
  return std::unique_ptr<StreamClient>(new StreamClient(std::move(impl)));
}

Result<StreamId> StreamClient::dial(DialOptions to) {
  return impl_->dial(std::move(to));
}
Status StreamClient::hang_up(StreamId stream) {
  return impl_->hang_up(stream);
}
void StreamClient::stop() {
  impl_->stop();
}

Status StreamClient::send(StreamId stream, BytesView message) {
  TROTH_TRY(auto frame, message_frame(message));
  return impl_->post({.kind = Command::Kind::Send, .id = stream.value, .frame = std::move(frame)});
}

}  // namespace common::stream
