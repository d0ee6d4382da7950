#include "tests/support/promises/sim_mount.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace promise_sim {

using namespace common::fileclient;
using Kind = SimMessage::Kind;
using Taken = PromiseBook::Taken;

namespace {

constexpr Duration kTickEvery = std::chrono::milliseconds(200);
constexpr Duration kRetry = std::chrono::milliseconds(900);
// A user's patience. Some have little: what they have begun goes on without them.
constexpr Duration kPatience = std::chrono::seconds(40);
constexpr Duration kImpatience = std::chrono::milliseconds(1500);
// What a healthy and quiet cell needs for a probe: a few round trips, and the kernel's work.
constexpr Duration kProbeTime = std::chrono::milliseconds(400);
constexpr std::size_t kMaxOps = 64;
// In leases. More than it gets.
constexpr int kLongestFlush = 5;

}  // namespace

MountProcess::MountProcess(Env& env, MountDisk& disk, Judge& judge, const Settings& settings)
    : env_(env),
      disk_(disk),
      judge_(judge),
      settings_(settings),
      book_(settings.book),
      next_tick_(Instant::max()),
      mount_id_(env.self()) {}

void MountProcess::start() {
  next_call_ = ++disk_.lives << 32;
  tick();
}

std::optional<Old> MountProcess::would_answer(std::uint32_t nodes, const Newest& newest,
                                              Instant now) const {
  for (; nodes != 0; nodes &= nodes - 1) {
    const auto node = static_cast<std::uint32_t>(std::countr_zero(nodes));
    const Copy& kernel = kernel_[node];
    if (kernel.there && kernel.version < newest[node] && now < kernel.until)
      return Old{node, kernel.version};
    const Copy& cached = cache_[node];
    if (!cached.there || cached.version >= newest[node] || !book_.promised(fid_of(node), now))
      continue;
    const auto known = book_.known(fid_of(node));
    if (known && known->seq.value == cached.version)
      return Old{node, cached.version};
  }
  return std::nullopt;
}

// --- session and stream ---

void MountProcess::tick() {
  connect();
  const Instant now = env_.now();
  for (auto it = ops_.begin(); it != ops_.end();) {
    const std::uint64_t key = it->first;
    const Op& op = (it++)->second;
    if (now >= op.give_up && op.wish == kOrdinary) {
      finish(key);
    } else if (now >= op.retry) {
      try_op(key);
    }
  }
  next_tick_ = Instant::max();
  carry_out();
}

// While there is something to repeat or to watch; else the book's own timer is enough.
void MountProcess::plan_tick() {
  const bool quiet = book_.is_open() && welcome_ && ops_.empty();
  const Instant next =
      quiet ? std::max(env_.now() + kTickEvery, book_.lease_end()) : env_.now() + kTickEvery;
  if (next >= next_tick_)
    return;
  next_tick_ = next;
  env_.wake_at(kTick, next);
}

void MountProcess::connect() {
  if (!book_.is_open()) {
    if (!may_open_ || (number_ != 0 && env_.now() < asked_at_ + kRetry))
      return;
    if (number_ == 0)
      number_ = disk_.next_number++;
    asked_at_ = env_.now();
    return env_.send(kServer, {.kind = resume_ ? Kind::Resume : Kind::Open,
                               .node = mount_id_,
                               .life = server_life_,
                               .session = resume_ ? session_ : 0,
                               .number = number_});
  }
  const bool late = !welcome_ && env_.now() >= dialled_at_ + kRetry * 3;
  // A network that changes under a laptop.
  const bool fickle = welcome_ && env_.buggify("mount-redials") && env_.buggify("mount-redials");
  // Nothing has been answered on it for a lease.
  const bool deaf = welcome_ && env_.now() >= book_.lease_end();
  if (stream_ && (late || fickle || deaf)) {
    env_.close(*stream_);
    stream_.reset();
    welcome_ = false;
    book_.stream_down();
  }
  if (!stream_ && env_.now() >= dialled_at_ + kTickEvery)
    dial();
}

void MountProcess::dial() {
  dialled_at_ = env_.now();
  welcome_ = false;
  stream_ = env_.connect(kServer);
  book_.hello_sent(env_.now());
  env_.send_on(*stream_, {.kind = Kind::Hello, .session = session_});
}

void MountProcess::lost(bool resume) {
  if (stream_)
    env_.close(*stream_);
  stream_.reset();
  welcome_ = false;
  if (!book_.is_open() && number_ == 0)
    return;  // known, and on its way
  number_ = 0;
  resume_ = resume && session_ != 0;
  if (!book_.is_open())
    return;
  may_open_ = false;
  book_.session_lost(env_.now(), effects_);
}

void MountProcess::opened(const SimMessage& message) {
  if (book_.is_open() || message.number != number_)
    return;
  session_ = message.session;
  number_ = 0;
  may_open_ = false;
  resume_ = false;
  book_.opened();
  dial();
}

void MountProcess::receive_on(StreamId stream, const SimMessage& message) {
  if (!stream_ || stream != *stream_)
    return;
  switch (message.kind) {
    case Kind::Welcome:
      welcome_ = true;
      book_.on_welcome(std::chrono::milliseconds(message.milliseconds), env_.now(), effects_);
      break;
    case Kind::HelloRefused:
      lost(true);
      break;
    case Kind::Ended:
      lost(false);
      break;
    case Kind::Renewed:
      book_.on_renewed(message.number, env_.now());
      break;
    case Kind::Break: {
      std::vector<BrokenNode> nodes;
      for (std::uint32_t node = 0; node < kRegisters; ++node) {
        if ((message.nodes >> node & 1) != 0)
          nodes.push_back({fid_of(node), 1});
      }
      book_.on_break(message.number, message.clock, nodes, effects_);
      break;
    }
    case Kind::Update: {
      const Told& told = message.told[0];
      keep(told,
           book_.take_update(message.clock, fid_of(told.node),
                             {common::Epoch{told.epoch}, common::Seq{told.version}}, told.granted));
      break;
    }
    default:
      break;
  }
  carry_out();
}

void MountProcess::stream_closed(StreamId stream) {
  if (!stream_ || stream != *stream_)
    return;
  stream_.reset();
  welcome_ = false;
  book_.stream_down();
  carry_out();
}

void MountProcess::send_on_stream(SimMessage message) {
  if (stream_ && welcome_)
    env_.send_on(*stream_, message);
}

// --- users ---

void MountProcess::work(const common::sim::WorkItem& item) {
  if (item.b == kCopiedDisk || item.b == kOwnDisk) {
    mount_id_ = item.b == kOwnDisk ? env_.self() : static_cast<std::uint32_t>(item.a);
    lost(false);
    return carry_out();
  }
  if (ops_.size() >= kMaxOps)
    return;
  const std::uint64_t key = next_op_++;
  Op& op = ops_[key];
  op.kind = static_cast<OpKind>(item.kind);
  op.node = static_cast<std::uint32_t>(item.a);
  op.wish = item.b;
  op.began = judge_.now();
  const bool hasty = op.kind >= OpKind::Write && env_.random().below(5) == 0;
  op.give_up = env_.now() + (hasty ? kImpatience : kPatience);
  if (op.kind >= OpKind::Write)
    op.id = std::uint64_t{env_.self()} << 32 | disk_.next_op++;
  try_op(key);
  carry_out();
}

void MountProcess::try_op(std::uint64_t key) {
  Op& op = ops_.at(key);
  op.retry = env_.now() + kRetry;
  if (op.kind < OpKind::Write && answer_by_itself(op))
    return finish(key);
  if (!book_.is_open())
    return;
  if (op.kind < OpKind::Write) {
    send_fetch(key);
  } else {
    send_change(key);
  }
}

bool MountProcess::answer_by_itself(Op& op) {
  const Copy& kernel = kernel_[op.node];
  const bool by_kernel = op.kind == OpKind::Stat && kernel.there && env_.now() < kernel.until;
  const auto known = book_.known(fid_of(op.node));
  const Copy& cached = cache_[op.node];
  const bool by_cache = cached.there && known && known->seq.value == cached.version &&
                        book_.promised(fid_of(op.node), env_.now());
  if (!by_kernel && !by_cache)
    return false;
  const Copy& copy = by_kernel ? kernel : cached;
  if (env_.alive()) {
    judge_.read_done(env_.self(),
                     {.node = op.node, .there = true, .version = copy.version, .value = copy.value},
                     op.began);
  }
  return true;
}

std::uint64_t MountProcess::begin_call(std::uint64_t key, Op& op) {
  const std::uint64_t call = next_call_++;
  op.calls.push_back(call);
  calls_.at(call) = Call{.op = key, .sent = book_.begin_call(), .under_way = true};
  return call;
}

void MountProcess::send_fetch(std::uint64_t key) {
  Op& op = ops_.at(key);
  const std::uint64_t call = begin_call(key, op);
  env_.send(kServer, {.kind = Kind::Fetch,
                      .node = op.node,
                      .life = server_life_,
                      .call = call,
                      .session = session_});
}

void MountProcess::send_change(std::uint64_t key) {
  Op& op = ops_.at(key);
  const std::array named = {fid_of(op.node)};
  kernel_[op.node].there = false;
  const std::uint64_t seen = book_.begin_change(named);
  const std::uint64_t call = begin_call(key, op);
  env_.send(kServer, {.kind = Kind::Change,
                      .op_kind = op.kind,
                      .node = op.node,
                      .life = server_life_,
                      .call = call,
                      .session = session_,
                      .op = op.id,
                      .number = seen,
                      .milliseconds = settings_.deadline.count()});
}

void MountProcess::finish(std::uint64_t key) {
  const Op op = std::move(ops_.at(key));
  for (const std::uint64_t call : op.calls)
    *calls_.find(call) = {};
  ops_.erase(key);
  if (op.wish == kOrdinary)
    return;
  ++probes_done_;
  const auto took = judge_.now() - op.began;
  if (took > kProbeTime)
    judge_.violate(fmt::format("a healthy cell took {} ms for a change of f{}",
                               std::chrono::duration_cast<std::chrono::milliseconds>(took).count(),
                               op.node));
}

// --- answers ---

void MountProcess::receive(NodeIndex, const SimMessage& message) {
  if (message.kind == Kind::Elsewhere) {
    if (message.life > server_life_) {
      server_life_ = message.life;
      asked_at_ = {};
      if (book_.is_open() || number_ != 0)
        lost(true);
      connect();
    }
    return carry_out();
  }
  if (message.life != server_life_)
    return;
  switch (message.kind) {
    case Kind::Opened:
      opened(message);
      break;
    case Kind::Fetched:
      fetched(message);
      break;
    case Kind::Changed:
      changed(message);
      break;
    case Kind::Refused:
      refused(message);
      break;
    default:
      break;
  }
  carry_out();
}

// What a reply or update says of a register.
void MountProcess::keep(const Told& told, Taken taken) {
  if (taken == Taken::Older)
    return;
  const auto known = book_.known(fid_of(told.node));
  if (known &&
      known->seq.value != told.version) {  // for UpdateWithoutVersion: what there is, is kept
    kernel_[told.node] = cache_[told.node];
    kernel_[told.node].until = book_.lease_end();
    return;
  }
  cache_[told.node] =
      Copy{.there = true, .version = told.version, .value = told.value, .until = {}};
  if (taken == Taken::Promised) {
    kernel_[told.node] = cache_[told.node];
    kernel_[told.node].until = book_.lease_end();
  }
}

void MountProcess::fetched(const SimMessage& message) {
  const Call* found = calls_.find(message.call);
  if (found == nullptr || !found->under_way)
    return;
  const Call call = *found;
  const Told& told = message.told[0];
  const auto taken =
      book_.take(call.sent, message.clock, fid_of(told.node),
                 {common::Epoch{told.epoch}, common::Seq{told.version}}, told.granted);
  if (taken == Taken::Older)
    return try_op(call.op);
  keep(told, taken);
  if (env_.alive())
    judge_.read_done(env_.self(), told, ops_.at(call.op).began);
  finish(call.op);
}

void MountProcess::changed(const SimMessage& message) {
  const Call* found = calls_.find(message.call);
  if (found == nullptr || !found->under_way)
    return;
  const Call call = *found;
  for (const Told& told : message.told) {
    if (!told.there)
      continue;
    const std::array node = {fid_of(told.node)};
    book_.change_answered(call.sent, message.clock, node);
    keep(told, book_.take(call.sent, message.clock, node[0],
                          {common::Epoch{told.epoch}, common::Seq{told.version}}, told.granted));
  }
  if (env_.alive())
    judge_.change_done(env_.self(), message.op, message.told, ops_.at(call.op).began);
  finish(call.op);
}

void MountProcess::refused(const SimMessage& message) {
  if (message.answer == Answer::StaleSession && message.session == session_) {
    if (resume_ && !book_.is_open()) {
      resume_ = false;
      number_ = 0;
      asked_at_ = {};
    } else if (book_.is_open()) {
      lost(false);
    }
  }
}

// --- what the book says ---

void MountProcess::carry_out() {
  while (!effects_.empty()) {
    under_hand_.swap(effects_);
    for (const auto& effect : under_hand_)
      carry_out_one(effect);
    under_hand_.clear();
  }
  plan_tick();
  const Instant next = book_.next_deadline();
  if (next != Instant::max())
    env_.wake_at(kBookTimer, next);
}

void MountProcess::carry_out_one(const BookEffect& effect) {
  if (const auto* withdraw = std::get_if<Withdraw>(&effect)) {
    std::uint32_t nodes = 0;
    for (const BrokenNode& broken : withdraw->nodes)
      nodes |= 1U << register_of(broken.node);
    begin_withdrawal(withdraw->id, nodes);
  } else if (const auto* all = std::get_if<WithdrawAll>(&effect)) {
    begin_withdrawal(all->id, kAllRegisters);
  } else if (const auto* renewal = std::get_if<SendRenewal>(&effect)) {
    send_on_stream({.kind = Kind::Renew, .number = renewal->number});
  } else if (const auto* acknowledge = std::get_if<SendAcknowledge>(&effect)) {
    send_on_stream({.kind = Kind::Acknowledge, .number = acknowledge->number});
  } else if (const auto* flushing = std::get_if<SendFlushing>(&effect)) {
    send_on_stream({.kind = Kind::Flushing,
                    .number = flushing->number,
                    .milliseconds = flushing->more.count()});
  } else {
    may_open_ = true;
    connect();
  }
}

// The kernel drops names and attributes at once, or is busy, or somebody's disk is.
Duration MountProcess::kernel_time(std::uint32_t nodes) {
  auto& random = env_.random();
  if (env_.buggify("mount-withdraws-slowly"))
    return random.between(Duration{0},
                          Duration(settings_.lease) * (nodes == kAllRegisters ? 1 : 4));
  const bool busy = random.below(8) == 0 && env_.buggify("mount-is-busy");
  return random.between(Duration{0}, busy ? Duration(std::chrono::milliseconds(150))
                                          : Duration(std::chrono::milliseconds(1)));
}

void MountProcess::begin_withdrawal(Withdrawal id, std::uint32_t nodes) {
  const std::uint64_t job = next_job_++;
  jobs_[job] = Job{.id = id, .nodes = nodes, .flush_until = {}};
  env_.wake_at(job, env_.now() + kernel_time(nodes));
}

bool MountProcess::busy_in(std::uint32_t nodes) const {
  return std::any_of(ops_.begin(), ops_.end(), [&](const auto& entry) {
    const Op& op = entry.second;
    return op.kind >= OpKind::Write && is_directory(op.node) && (nodes >> op.node & 1) != 0;
  });
}

// There are changes of its own that others should let go first.
bool MountProcess::flushes_first() const {
  return std::any_of(ops_.begin(), ops_.end(),
                     [](const auto& entry) { return entry.second.wish == kFlushFirst; });
}

void MountProcess::withdrawal_done(std::uint64_t job) {
  const Duration soon = std::chrono::milliseconds(1);
  Job& work = jobs_.at(job);
  if (work.flushing) {
    if (flushes_first() && env_.now() < work.flush_until)
      return env_.wake_at(job, env_.now() + soon);
    book_.flushed(work.id, effects_);
    jobs_.erase(job);
    return;
  }
  // A request in flight in the directory: its entry's epoch is advanced, and nobody waits (R6).
  if (busy_in(work.nodes) && settings_.book.bugs.has(BookBug::InvalidationWaits))
    return env_.wake_at(job, env_.now() + soon);
  for (std::uint32_t node = 0; node < kRegisters; ++node) {
    if ((work.nodes >> node & 1) != 0)
      kernel_[node].there = false;
  }
  const bool first = flushes_first();
  if (work.nodes != kAllRegisters && (first || env_.buggify("mount-flushes"))) {
    const Duration more = env_.random().between(soon, Duration(settings_.lease) * kLongestFlush);
    work.flushing = true;
    work.flush_until = env_.now() + more;
    book_.withdrawn_flushing(work.id, std::chrono::ceil<std::chrono::milliseconds>(more), effects_);
    return env_.wake_at(job,
                        env_.now() + (first ? soon : env_.random().between(Duration{0}, more)));
  }
  book_.withdrawn(work.id, effects_);
  jobs_.erase(job);
}

void MountProcess::wake(TimerKey key) {
  if (key == kTick)
    return tick();
  if (key == kBookTimer) {
    book_.on_time(env_.now(), effects_);
  } else if (jobs_.contains(key)) {
    withdrawal_done(key);
  }
  carry_out();
}

}  // namespace promise_sim
