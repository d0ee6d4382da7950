#include "common/fileclient/session/mount_session.hpp"

#include <pthread.h>

#include <algorithm>

#include "common/auth/authenticate.hpp"
#include "common/crypto/random.hpp"
#include "common/fileclient/session/session_caller.hpp"
#include "common/log/log.hpp"

namespace common::fileclient {
namespace {

using namespace std::chrono_literals;

// Opening or resuming, from dialling to the answer.
constexpr auto kOpeningPatience = 5s;
// A mount may open one session a second (PROTOCOL.md 7).
constexpr auto kBetweenOpenings = 1s;
// The keeper looks after everything at least so often.
constexpr auto kRound = 1s;

}  // namespace

void SessionListener::updated(MountSession&, const fileproto::Update&, std::span<const Taken>) {}
void SessionListener::stable(MountSession&, const fileproto::Stable&) {}
void SessionListener::give_back(MountSession&, const fileproto::GiveBack&) {}
void SessionListener::volume_ended(MountSession&, VolumeId, fileproto::EndedWhy) {}
void SessionListener::begun(MountSession&, const SessionBegun&) {}
void SessionListener::replaced(MountSession&, const Error&) {}

// --- beginning and ending ---

MountSession::MountSession(MountSessionOptions options, SessionListener& listener,
                           const Clock& clock)
    : options_(std::move(options)),
      listener_(listener),
      clock_(clock),
      opener_(std::make_shared<SessionCaller>(*this, options_.opener)),
      budget_(options_.repeats_of_call, options_.repeats_beyond),
      book_(options_.book) {}

Result<std::unique_ptr<MountSession>> MountSession::start(MountSessionOptions options,
                                                          SessionListener& listener,
                                                          const Clock& clock) {
  std::unique_ptr<MountSession> session(new MountSession(std::move(options), listener, clock));
  stream::StreamClientOptions how;
  how.tls = session->options_.connection.tls;
  how.redial = session->options_.redial;
  TROTH_TRY(session->streams_, stream::StreamClient::start(std::move(how), *session, clock));
  session->keeper_ = std::thread([s = session.get()] { s->keeper_main(); });
  return session;
}

MountSession::~MountSession() {
  {
    const MutexLock lock(mutex_);
    stopped_ = true;
  }
  stopping_.cancel();
  changed_.notify_all();
  if (keeper_.joinable())
    keeper_.join();
  if (streams_)
    streams_->stop();
}

Status MountSession::close(Instant deadline) {
  SessionKeyPtr session;
  {
    const MutexLock lock(mutex_);
    closing_ = true;
    if (state_ == SessionState::Open)
      session = session_;
    lost_locked();
    // The keeper tells the listener.
    while (!may_open_ && clock_.now() < deadline)
      changed_.wait_for(mutex_, deadline - clock_.now());
    if (!may_open_)
      return fail(ErrorCode::DeadlineExceeded,
                  "what {} has promised could not be withdrawn in time", options_.name);
  }
  if (!session)
    return {};
  const std::string args = fileproto::encode(fileproto::SessionCloseArgs{session->id});
  rpc::Request request;
  request.service = "file";
  request.operation = "session-close";
  request.args = args;
  request.deadline = deadline;
  const auto closed = opener_->call(session, request, rpc::Lane::Calls).answer;
  if (!closed)
    return tl::unexpected(closed.error());
  return {};
}

std::shared_ptr<SessionCaller> MountSession::caller(
    std::shared_ptr<auth::CredentialSource> tickets) {
  return std::make_shared<SessionCaller>(*this, std::move(tickets));
}

rpc::ClientOptions MountSession::client_options(
    const std::shared_ptr<auth::CredentialSource>& tickets) const {
  rpc::ClientOptions options = options_.connection;
  options.authenticate = auth::authenticate_with(tickets, options_.service);
  return options;
}

// --- keeping it ---

void MountSession::keeper_main() {
  ::pthread_setname_np(::pthread_self(), "session");
  stream::Redial redial(options_.redial);
  Instant next_attempt{};
  bool had_one = false;
  const auto pause = [&](std::chrono::milliseconds at_least) {
    const auto random = crypto::random_u64();
    return redial.failed(random ? *random : 0, at_least);
  };
  for (;;) {
    bool attempt = false;
    {
      const MutexLock lock(mutex_);
      if (stopped_)
        return;
      step();
      const Instant now = clock_.now();
      const bool wanted = state_ == SessionState::Opening && may_open_ && !closing_;
      // All mounts of a server that starts anew come to this point together.
      if (wanted && std::exchange(had_one, false))
        next_attempt = std::max(next_attempt, now + pause(0ms));
      attempt = wanted && now >= next_attempt;
      if (!attempt && events_.empty()) {
        const Instant until =
            std::min({now + kRound, book_.next_deadline(), wanted ? next_attempt : Instant::max()});
        if (until > now)
          changed_.wait_for(mutex_, until - now);
      }
    }
    deliver();
    if (!attempt)
      continue;
    Status begun = begin();
    next_attempt = clock_.now() + kBetweenOpenings;
    if (begun) {
      had_one = true;
      redial.succeeded();
      deliver();
      continue;
    }
    const auto at_least = std::chrono::ceil<std::chrono::milliseconds>(begun.error().retry_after);
    next_attempt = clock_.now() + pause(at_least);
    const MutexLock lock(mutex_);
    why_not_ = std::move(begun).error();
    changed_.notify_all();
  }
}

Result<rpc::Answer> MountSession::open_or_resume(rpc::Client& client, const SessionKeyPtr& old,
                                                 const std::string& opener_name) {
  const Instant deadline = clock_.now() + kOpeningPatience;
  fileproto::SessionOpenArgs args{.mount = options_.mount, .resume = {}};
  TROTH_TRY_VOID(client.connected() ? Status{} : client.connect(deadline, &stopping_));
  if (old) {
    TROTH_TRY(const auto binding, client.channel_binding());
    TROTH_TRY(const auto proof,
              fileproto::session_proof(old->key, fileproto::kResumeLabel, binding, opener_name));
    args.resume = {old->id, proof};
  }
  rpc::Request request;
  request.service = "file";
  request.operation = "session-open";
  request.args = fileproto::encode(args);
  request.deadline = deadline;
  request.cancellation = &stopping_;
  return client.call(request).answer;
}

Status MountSession::begin() {
  SessionKeyPtr old;
  {
    const MutexLock lock(mutex_);
    old = session_;
  }
  TROTH_TRY(const auto ticket,
            options_.opener->for_service(options_.service, clock_.now() + kOpeningPatience));
  rpc::Client client(client_options(options_.opener));
  auto answer = open_or_resume(client, old, ticket->client.name);
  const bool resumed = old != nullptr && answer.has_value();
  if (!answer && old && answer.error().code == ErrorCode::Stale)
    answer = open_or_resume(client, nullptr, ticket->client.name);
  if (!answer)
    return tl::unexpected(std::move(answer).error());
  TROTH_TRY(auto opened, fileproto::decode<fileproto::SessionOpenResult>(answer->result()));
  auto session = std::make_shared<SessionKey>();
  session->id = opened.session;
  session->key = opened.key;
  crypto::wipe(opened.key);
  session->opener = ticket->client.name;
  session->lease = opened.lease;
  session->stream_port = opened.stream_port;
  session->server_epoch = answer->epoch;
  TROTH_TRY(const auto address, client.peer_address());
  return began(std::move(session), address, {opened.session, resumed, std::move(opened.volumes)});
}

Status MountSession::began(SessionKeyPtr session, const std::string& address, SessionBegun begun) {
  const auto& connection = options_.connection;
  // At the very address that opened it: a name may stand for several.
  stream::DialOptions to{
      .address = options_.stream_address.empty() ? address : options_.stream_address,
      .port = session->stream_port,
      .server_name = connection.server_name.empty() ? connection.host : connection.server_name,
      .from_address = {}};
  const MutexLock lock(mutex_);
  session_ = std::move(session);
  TROTH_TRY(stream_, streams_->dial(std::move(to)));
  book_.opened();
  state_ = SessionState::Open;
  may_open_ = false;
  proved_ = false;
  down_ = false;
  why_not_.reset();
  tell([this, begun = std::move(begun)] { listener_.begun(*this, begun); });
  return {};
}

SessionKeyPtr MountSession::present() const {
  const MutexLock lock(mutex_);
  return state_ == SessionState::Open ? session_ : nullptr;
}

void MountSession::lost(SessionId session) {
  const MutexLock lock(mutex_);
  if (state_ == SessionState::Open && session_->id == session)
    lost_locked();
}

void MountSession::lost_locked() {
  if (state_ != SessionState::Open)
    return;
  state_ = SessionState::Opening;
  proved_ = false;
  if (const auto stream = std::exchange(stream_, {}); stream != stream::StreamId{})
    static_cast<void>(streams_->hang_up(stream));
  BookEffects effects;
  book_.session_lost(clock_.now(), effects);
  act(effects);
  changed_.notify_all();
}

// Two mounts with one id, each opening a session as soon as it loses its own, would never end.
void MountSession::replaced_locked(std::string why) {
  lost_locked();
  state_ = SessionState::Replaced;
  why_not_ = Error{ErrorCode::Conflict, std::move(why)};
  log::error("a session has been taken over",
             {{"server", options_.name}, {"why", why_not_->message}});
  tell([this, error = *why_not_] { listener_.replaced(*this, error); });
}

// --- promises ---

bool MountSession::promised(Fid node) const {
  const MutexLock lock(mutex_);
  return book_.promised(node, clock_.now());
}

bool MountSession::promised(Fid node, NodeVersion held) const {
  const MutexLock lock(mutex_);
  return book_.promised(node, clock_.now()) && book_.known(node) == held;
}

std::optional<NodeVersion> MountSession::known(Fid node) const {
  const MutexLock lock(mutex_);
  return book_.known(node);
}

Instant MountSession::lease_end() const {
  const MutexLock lock(mutex_);
  return book_.lease_end();
}

SessionState MountSession::state() const {
  const MutexLock lock(mutex_);
  return state_;
}

bool MountSession::is_down() const {
  const MutexLock lock(mutex_);
  return down_;
}

void MountSession::withdrawn(Withdrawal id) {
  const MutexLock lock(mutex_);
  BookEffects effects;
  book_.withdrawn(id, effects);
  act(effects);
}

void MountSession::withdrawn_flushing(Withdrawal id, std::chrono::milliseconds more) {
  const MutexLock lock(mutex_);
  BookEffects effects;
  book_.withdrawn_flushing(id, more, effects);
  act(effects);
}

void MountSession::flushed(Withdrawal id) {
  const MutexLock lock(mutex_);
  BookEffects effects;
  book_.flushed(id, effects);
  act(effects);
}

// --- effects ---

void MountSession::step() {
  BookEffects effects;
  book_.on_time(clock_.now(), effects);
  act(effects);
}

void MountSession::act(BookEffects& effects) {
  for (BookEffect& effect : effects) {
    if (auto* const some = std::get_if<Withdraw>(&effect)) {
      tell([this, w = std::move(*some)] { listener_.withdraw(*this, w.id, w.nodes); });
    } else if (const auto* const all = std::get_if<WithdrawAll>(&effect)) {
      tell([this, id = all->id] { listener_.withdraw_all(*this, id); });
    } else if (const auto* const acknowledge = std::get_if<SendAcknowledge>(&effect)) {
      send_locked(fileproto::Acknowledge{acknowledge->number});
    } else if (const auto* const flushing = std::get_if<SendFlushing>(&effect)) {
      send_locked(fileproto::Flushing{flushing->number, flushing->more});
    } else if (std::holds_alternative<MayOpen>(effect)) {
      may_open_ = true;
      changed_.notify_all();
    }  // the stream renews by itself
  }
  effects.clear();
}

void MountSession::tell(Event event) {
  events_.push_back(std::move(event));
  changed_.notify_all();
}

void MountSession::deliver() {
  const MutexLock lock(mutex_);
  if (delivering_)
    return;
  delivering_ = true;
  while (!events_.empty()) {
    const Event event = std::move(events_.front());
    events_.pop_front();
    const MutexUnlock unlock(mutex_);
    event();
  }
  delivering_ = false;
}

}  // namespace common::fileclient
