#include "tests/support/promises/sim_server.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace promise_sim {

using namespace fileserver;
using Kind = SimMessage::Kind;

namespace {

// What the store takes for a read or a commit, at most.
constexpr Duration kStoreTime = std::chrono::milliseconds(2);
// By how much a wait may exceed its bound: timers are late, nodes are slow.
constexpr Duration kSlack = std::chrono::seconds(2);
constexpr int kMaxExtensions = 4;

}  // namespace

ServerProcess::ServerProcess(Env& env, ServerDisk& disk, Judge& judge, const Settings& settings)
    : env_(env), disk_(disk), judge_(judge), settings_(settings) {}

void ServerProcess::start() {
  life_ = ++disk_.life;
  lease_ = life_ == 1 ? settings_.lease : settings_.later_lease;
  margin_ = Settings::margin_of(lease_);
  FormerLife former{.clean = disk_.clean, .sessions = {}, .longest_lease = disk_.longest_lease};
  for (const auto& entry : disk_.sessions)
    former.sessions.emplace_back(entry.first);
  for (const auto& [id, mount] : disk_.sessions)
    sessions_[id].mount = mount;
  disk_.clean = false;
  disk_.longest_lease = std::max(disk_.longest_lease, lease_);
  PromiseOptions options = settings_.core;
  options.lease = lease_;
  margin_ = std::max(margin_, Settings::margin_of(disk_.longest_lease));
  options.margin = margin_;
  grace_end_ = former.clean || former.sessions.empty()
                   ? env_.now()
                   : env_.now() + former.longest_lease + options.margin;
  core_ = std::make_unique<PromiseCore>(options, former, env_.now());
  carry_out();
}

ServerProcess::Session* ServerProcess::session_of(std::uint64_t id) {
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : &found->second;
}

Told ServerProcess::tell(std::uint32_t node) const {
  const auto& reg = disk_.registers[node];
  return {.node = node, .there = true, .epoch = life_, .version = reg.version, .value = reg.value};
}

// --- calls ---

void ServerProcess::receive(NodeIndex from, const SimMessage& message) {
  if (message.life != life_)
    return env_.send(from, {.kind = Kind::Elsewhere, .life = life_, .call = message.call});
  switch (message.kind) {
    case Kind::Open:
      open(from, message);
      break;
    case Kind::Resume:
      resume(from, message);
      break;
    case Kind::Fetch:
      fetch(from, message);
      break;
    case Kind::Change:
      change(from, message);
      break;
    default:
      break;
  }
  carry_out();
}

void ServerProcess::refuse(NodeIndex to, const SimMessage& call, Answer answer) {
  env_.send(to, {.kind = Kind::Refused,
                 .answer = answer,
                 .life = life_,
                 .call = call.call,
                 .session = call.session,
                 .op = call.op});
}

void ServerProcess::open(NodeIndex from, const SimMessage& message) {
  auto& opening = openings_[{message.node, from}];
  std::uint64_t& number = opening.first;
  std::uint64_t& session = opening.second;
  if (stopping_ || message.number < number)
    return;
  const auto answer = [&] {
    env_.send(from,
              {.kind = Kind::Opened, .life = life_, .session = session, .number = message.number});
  };
  if (message.number == number && core_->check_session(SessionId{session}))
    return answer();
  number = message.number;
  for (const auto& [id, mount] : std::map(disk_.sessions)) {
    if (mount == message.node)
      core_->end_session(SessionId{id}, SessionOver::Why::Replaced, env_.now(), effects_);
  }
  session = life_ * 1'000'000 + ++next_session_;
  disk_.sessions[session] = message.node;
  sessions_[session] = Session{.mount = message.node};
  if (!core_->open_session(SessionId{session}, env_.now())) {
    disk_.sessions.erase(session);
    sessions_.erase(session);
    return;
  }
  answer();
}

void ServerProcess::resume(NodeIndex from, const SimMessage& message) {
  Session* session = session_of(message.session);
  if (stopping_ || (session != nullptr && message.number < session->resumed))
    return;  // a late copy: since then the mount may have been promised something
  if (session == nullptr || session->mount != message.node)
    return refuse(from, message, Answer::StaleSession);
  const bool again = message.number == session->resumed;
  session->resumed = message.number;
  if (again ? !core_->check_session(SessionId{message.session})
            : !core_->resume_session(SessionId{message.session}, env_.now(), effects_))
    return refuse(from, message, Answer::StaleSession);
  env_.send(
      from,
      {.kind = Kind::Opened, .life = life_, .session = message.session, .number = message.number});
}

void ServerProcess::later(TimerKey job) {
  env_.wake_at(job, env_.now() + env_.random().between(Duration{0}, kStoreTime));
}

void ServerProcess::fetch(NodeIndex from, const SimMessage& message) {
  if (!core_->check_session(SessionId{message.session}))
    return refuse(from, message, Answer::StaleSession);
  Reading reading{.from = from, .call = message, .token = core_->begin_read(), .told = {}};
  reading.told = tell(message.node);
  const std::uint64_t job = next_job_++;
  readings_.emplace(job, reading);
  later(job);
}

void ServerProcess::answer_read(std::uint64_t job) {
  Reading reading = readings_.at(job);
  readings_.erase(job);
  SimMessage answer{.kind = Kind::Fetched, .life = life_, .call = reading.call.call};
  const std::array nodes = {fid_of(reading.call.node)};
  const auto granted = core_->grant(SessionId{reading.call.session}, nodes, reading.token,
                                    env_.now(), answer.clock, effects_);
  reading.told.granted = granted[0];
  answer.told[0] = reading.told;
  env_.send(reading.from, answer);
}

std::vector<Touched> ServerProcess::touched_by(const SimMessage& call) const {
  std::vector<Touched> nodes = {{fid_of(call.node), what::kBytes}};
  if (call.op_kind == OpKind::Replace) {
    nodes.push_back(
        {fid_of(disk_.registers[call.node].target), what::kAttributes, /*named=*/false});
  }
  return nodes;
}

void ServerProcess::change(NodeIndex from, const SimMessage& message) {
  if (!core_->check_session(SessionId{message.session}))
    return refuse(from, message, Answer::StaleSession);
  if (const auto busy = by_op_.find(message.op); busy != by_op_.end()) {
    changes_.at(busy->second).call = message;  // a retry meets its original
    return;
  }
  if (const auto done = disk_.done.find(message.op); done != disk_.done.end()) {
    return env_.send(from, {.kind = Kind::Changed,
                            .life = life_,
                            .call = message.call,
                            .op = message.op,
                            .told = done->second});
  }
  if (stopping_)
    return refuse(from, message, Answer::Later);
  const std::uint64_t id = ++next_change_;
  const Instant now = env_.now();
  const Instant deadline = now + std::chrono::milliseconds(message.milliseconds);
  changes_[id] =
      Changing{.from = from, .call = message, .begun = now, .deadline = deadline, .waiting = true};
  by_op_[message.op] = id;
  const auto begun =
      core_->begin_change(id, ChangeOrigin{SessionId{message.session}, message.number},
                          touched_by(message), deadline, now, effects_);
  if (!begun)
    give_up(id,
            begun.error().code == common::ErrorCode::Stale ? Answer::StaleSession : Answer::Later);
}

void ServerProcess::give_up(std::uint64_t id, Answer answer) {
  const Changing change = changes_.at(id);
  changes_.erase(id);
  by_op_.erase(change.call.op);
  refuse(change.from, change.call, answer);
}

// Some time after it was ready.
void ServerProcess::commit(std::uint64_t id) {
  Changing& change = changes_.at(id);
  core_->on_time(env_.now(), effects_);
  const bool late = env_.now() >= change.deadline;
  const bool stale = !core_->check_session(SessionId{change.call.session});
  const auto touched = touched_by(change.call);
  const bool marked = std::all_of(touched.begin(), touched.end(),
                                  [&](const Touched& t) { return core_->marked(id, t.node); });
  const bool extend = !late && !stale && !marked && ++change.extensions <= kMaxExtensions;
  if (extend) {
    change.waiting = true;
    if (core_->extend_change(id, touched, env_.now(), effects_))
      return;
  }
  if (late || stale || !marked) {
    core_->end_change(id, false, env_.now(), effects_);
    return give_up(id, stale ? Answer::StaleSession : Answer::Later);
  }
  for (std::size_t i = 0; i < touched.size(); ++i) {
    auto& reg = disk_.registers[register_of(touched[i].node)];
    ++reg.version;
    reg.value = change.call.op;
    change.written[i] = tell(register_of(touched[i].node));
  }
  if (change.call.op_kind == OpKind::Replace) {
    auto& target = disk_.registers[change.call.node].target;
    target = (target + 1 + static_cast<std::uint32_t>(change.call.op % (kFiles - 1))) % kFiles;
  }
  disk_.done[change.call.op] = change.written;
  judge_.committed(change.call.op, change.written);
  change.committed = true;
  const std::uint64_t job = next_job_++;
  changes_of_[job] = id;
  later(job);
}

// Some time after it was committed.
void ServerProcess::end(std::uint64_t id) {
  const Changing change = changes_.at(id);
  changes_.erase(id);
  by_op_.erase(change.call.op);
  const auto ended = core_->end_change(id, true, env_.now(), effects_);
  SimMessage answer{.kind = Kind::Changed,
                    .life = life_,
                    .call = change.call.call,
                    .op = change.call.op,
                    .clock = ended.clock,
                    .told = change.written};
  for (Told& told : answer.told) {
    told.granted = told.there && std::find(ended.granted.begin(), ended.granted.end(),
                                           fid_of(told.node)) != ended.granted.end();
  }
  env_.send(change.from, answer);
}

// --- streams ---

void ServerProcess::receive_on(StreamId stream, const SimMessage& message) {
  if (message.kind == Kind::Hello) {
    hello(stream, message);
    return carry_out();
  }
  const auto found = streams_.find(stream);
  if (found == streams_.end())
    return;
  const SessionId session{found->second};
  common::Status status;
  if (message.kind == Kind::Renew)
    core_->on_renewal(session, message.number, env_.now(), effects_);
  if (message.kind == Kind::Acknowledge)
    status = core_->on_acknowledge(session, message.number, env_.now(), effects_);
  if (message.kind == Kind::Flushing)
    status =
        core_->on_flushing(session, message.number, std::chrono::milliseconds(message.milliseconds),
                           true, env_.now(), effects_);
  if (!status && status.error().code == common::ErrorCode::Protocol)
    judge_.violate("an honest mount broke the protocol: " + status.error().message);
  carry_out();
}

void ServerProcess::hello(StreamId stream, const SimMessage& message) {
  Session* session = session_of(message.session);
  PromiseEffects after;
  const auto up = core_->stream_up(SessionId{message.session}, env_.now(), after);
  if (session == nullptr || !up) {
    effects_.insert(effects_.end(), after.begin(), after.end());
    env_.send_on(stream, {.kind = Kind::HelloRefused, .life = life_, .session = message.session});
    return env_.close(stream);
  }
  if (session->has_stream) {
    streams_.erase(session->stream);
    env_.close(session->stream);
  }
  session->has_stream = true;
  session->stream = stream;
  streams_[stream] = message.session;
  env_.send_on(stream, {.kind = Kind::Welcome,
                        .life = life_,
                        .session = message.session,
                        .milliseconds = lease_.count()});
  effects_.insert(effects_.end(), after.begin(), after.end());
}

void ServerProcess::stream_closed(StreamId stream) {
  const auto found = streams_.find(stream);
  if (found == streams_.end())
    return;
  core_->stream_down(SessionId{found->second}, env_.now());
  sessions_[found->second].has_stream = false;
  streams_.erase(found);
  carry_out();
}

// --- what the core says ---

void ServerProcess::carry_out() {
  while (!effects_.empty()) {
    under_hand_.swap(effects_);
    for (const auto& effect : under_hand_)
      carry_out_one(effect);
    under_hand_.clear();
  }
  if (!env_.alive())
    return;
  stop_if_clean();
  const Instant next = core_->next_deadline();
  if (next != Instant::max())
    env_.wake_at(kCoreTimer, next);
}

void ServerProcess::carry_out_one(const PromiseEffect& effect) {
  if (const auto* message = std::get_if<SendBreak>(&effect)) {
    send_break(*message);
  } else if (const auto* update = std::get_if<SendUpdate>(&effect)) {
    send_update(*update);
  } else if (const auto* renewal = std::get_if<AcknowledgeRenewal>(&effect)) {
    if (const Session* session = session_of(renewal->session.value); session && session->has_stream)
      env_.send_on(session->stream, {.kind = Kind::Renewed, .number = renewal->number});
  } else if (const auto* ready = std::get_if<ChangeReady>(&effect)) {
    changes_.at(ready->change).waiting = false;
    const std::uint64_t job = next_job_++;
    changes_of_[job] = ready->change;
    later(job);
  } else if (const auto* expired = std::get_if<ChangeExpired>(&effect)) {
    give_up(expired->change, Answer::Later);
  } else if (const auto* over = std::get_if<SessionOver>(&effect)) {
    session_over(over->session);
  } else if (const auto* forget = std::get_if<ForgetSession>(&effect)) {
    disk_.sessions.erase(forget->session.value);
  } else if (const auto* close = std::get_if<CloseStream>(&effect)) {
    Session* session = session_of(close->session.value);
    if (session == nullptr || !session->has_stream)
      return;
    session->has_stream = false;
    streams_.erase(session->stream);
    env_.close(session->stream);
  } else {
    grace_end_ = std::min(grace_end_, env_.now());
  }
}

void ServerProcess::send_break(const SendBreak& message) {
  const Session* session = session_of(message.session.value);
  if (session == nullptr || !session->has_stream)
    return;
  SimMessage sent{.kind = Kind::Break, .number = message.number, .clock = message.grant_clock};
  for (const Touched& touched : message.nodes) {
    const std::uint32_t node = register_of(touched.node);
    sent.nodes |= 1U << node;
    // Nobody else ever touches it, and a mount knows what it does itself.
    if (node >= kShared && touched.what != 0)
      judge_.violate(fmt::format("n{} is asked for its own file", session->mount));
  }
  env_.send_on(session->stream, sent);
}

void ServerProcess::send_update(const SendUpdate& message) {
  const Session* session = session_of(message.session.value);
  if (session == nullptr || !session->has_stream)
    return;
  for (std::size_t i = 0; i < message.nodes.size(); ++i) {
    // As it was committed by this change; another may have been since.
    SimMessage sent{.kind = Kind::Update, .clock = message.grant_clock};
    sent.told[0] = tell(register_of(message.nodes[i]));
    sent.told[0].granted = message.granted[i];
    env_.send_on(session->stream, sent);
  }
}

void ServerProcess::session_over(SessionId id) {
  Session* session = session_of(id.value);
  if (session == nullptr)
    return;
  if (session->has_stream) {
    env_.send_on(session->stream, {.kind = Kind::Ended, .session = id.value});
    env_.close(session->stream);
    streams_.erase(session->stream);
  }
  sessions_.erase(id.value);
}

// --- time ---

void ServerProcess::wake(TimerKey key) {
  if (key == kCoreTimer) {
    core_->on_time(env_.now(), effects_);
    carry_out();
    return check_waits();
  }
  if (readings_.contains(key)) {
    answer_read(key);
  } else if (const auto job = changes_of_.find(key); job != changes_of_.end()) {
    const std::uint64_t id = job->second;
    changes_of_.erase(job);
    if (!changes_.contains(id))
      return;
    if (changes_.at(id).committed) {
      end(id);
    } else {
      commit(id);
    }
  }
  carry_out();
}

// R11, R29: time has been told to the core just now, so nothing may be overdue.
void ServerProcess::check_waits() {
  // Silent for a third, then for a lease and the margin, and then it says that it flushes.
  const Duration bound = Duration(lease_) / 3 + lease_ + margin_ + lease_ + kSlack;
  for (const auto& [id, change] : changes_) {
    if (!change.waiting)
      continue;
    if (env_.now() > change.deadline + kSlack)
      judge_.waits_too_long(fmt::format("operation {} waits beyond its deadline", change.call.op));
    if (env_.now() > std::max(change.begun, grace_end_) + bound * (1 + change.extensions))
      judge_.waits_too_long(fmt::format("operation {} waits for too long", change.call.op));
  }
}

void ServerProcess::work(const common::sim::WorkItem&) {
  stopping_ = true;
  core_->break_everything(env_.now(), effects_);
  carry_out();
}

void ServerProcess::stop_if_clean() {
  if (!stopping_ || !changes_.empty() || !core_->clean_to_stop())
    return;
  disk_.clean = true;
  env_.stop();
}

bool ServerProcess::at_rest(std::size_t mounts) const {
  const auto counts = core_->counts();
  return !stopping_ && changes_.empty() && counts.marked == 0 && counts.waiting_changes == 0 &&
         !counts.grace && counts.sessions <= mounts && disk_.sessions.size() <= mounts;
}

}  // namespace promise_sim
