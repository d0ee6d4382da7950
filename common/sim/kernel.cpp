#include "common/sim/kernel.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "common/sim/kernel_node.hpp"

namespace common::sim {
namespace {

// A run that makes this many events has two nodes shouting at each other.
constexpr std::uint64_t kMaxEvents = 50'000'000;
// Timers of a real machine fire late, never early.
constexpr std::int64_t kTimerSlackNs = 200'000;
// BOOTTIME at which a machine that lost power comes back.
constexpr Duration kUptimeAfterReboot = std::chrono::seconds(15);

}  // namespace

bool Kernel::Node::before(DiskOp op, std::uint64_t bytes) {
  if (!in_step)
    return true;  // a test that looks at the disk from outside
  kernel.hash_.add(static_cast<std::uint64_t>(op) << 56 ^ bytes);
  const DiskTimes& times = kernel.plan_.disk_times;
  Duration cost = times.write;
  if (op == DiskOp::Read || op == DiskOp::Open)
    cost = times.read;
  if (op == DiskOp::Sync || op == DiskOp::SyncDirectory)
    cost = times.sync;
  busy_until += cost * disk_factor;
  return kernel.takes_effect(*this);
}

Kernel::Kernel(const Plan& plan, KernelHost& host, const RunOptions& options)
    : plan_(plan),
      host_(host),
      options_(options),
      buggify_(mix(plan.seed, hash_text("buggify")), plan.buggify, plan.buggify_off),
      fault_active_(plan.faults.size(), 0) {
  for (NodeIndex i = 0; i < plan.nodes.size(); ++i) {
    nodes_.push_back(std::make_unique<Node>(*this, i, mix(plan.seed, i + 1), plan.nodes[i]));
  }
}

Kernel::~Kernel() = default;

const NodeClock& Kernel::clock(NodeIndex node) const {
  return nodes_[node]->clock;
}
SimDisk& Kernel::disk(NodeIndex node) {
  return nodes_[node]->disk;
}
Random& Kernel::random(NodeIndex node) {
  return nodes_[node]->random;
}
bool Kernel::up(NodeIndex node) const {
  return nodes_[node]->is_up;
}

bool Kernel::alive(NodeIndex node) const {
  return nodes_[node]->is_up && !nodes_[node]->dying;
}

TrueTime Kernel::now_of(NodeIndex node) const {
  return nodes_[node]->in_step ? std::max(now_, nodes_[node]->busy_until) : now_;
}

Instant Kernel::boot_now(NodeIndex node) const {
  return nodes_[node]->clock.boot(now_of(node));
}

void Kernel::violate(std::string text, Failure failure) {
  if (report_.failure != Failure::None)
    return;
  report_.failure = failure;
  report_.violation = std::move(text);
  report_.violated_at = now_;
  if (tracing())
    lines_.add(fmt::format("{:>14.6f}  VIOLATION: {}", static_cast<double>(now_.count()) / 1e9,
                           report_.violation));
}

void Kernel::say(NodeIndex node, std::string text) {
  lines_.add(fmt::format("{:>14.6f}  n{} {}", static_cast<double>(now_of(node).count()) / 1e9, node,
                         text));
}

void Kernel::note(NodeIndex node, const std::string& text) {
  if (tracing())
    say(node, "   " + text);
}

void Kernel::push(TrueTime at, EventKind kind, NodeIndex node, std::uint32_t life,
                  std::uint64_t payload) {
  queue_.push(Event{.at = at.count(),
                    .order = next_order_++,
                    .payload = payload,
                    .node = node,
                    .kind_and_life = static_cast<std::uint32_t>(kind) | life << 8});
}

void Kernel::repush(Event event, TrueTime at) {
  event.at = at.count();
  if (renumber(event))
    queue_.push(event);
}

// It comes again, after all that has been scheduled until now. False: it need not.
bool Kernel::renumber(Event& event) {
  const std::uint64_t old_order = std::exchange(event.order, next_order_++);
  if (event.kind() != EventKind::Wake)
    return true;
  Node& node = *nodes_[event.node];
  Node::Timer* timer = event.life() == node.life ? node.timers.find(event.payload) : nullptr;
  if (timer == nullptr || timer->order != old_order)
    return false;  // set anew or cancelled meanwhile
  timer->order = event.order;
  return true;
}

void Kernel::schedule_plan() {
  for (std::uint32_t i = 0; i < plan_.faults.size(); ++i) {
    const Fault& fault = plan_.faults[i];
    if (fault.kind >= FaultKind::DropMessage || fault.node >= nodes_.size())
      continue;
    push(fault.at, EventKind::FaultBegin, 0, 0, i);
  }
  for (std::uint32_t i = 0; i < plan_.work.size(); ++i) {
    if (plan_.work[i].node < nodes_.size())
      push(plan_.work[i].at, EventKind::Work, plan_.work[i].node, 0, i);
  }
  push(plan_.length, EventKind::Heal, 0, 0, 0);
}

bool Kernel::over() {
  return report_.failure != Failure::None || (healed_ && host_.settled());
}

RunReport Kernel::run() {
  schedule_plan();
  index_message_faults();
  for (auto& node : nodes_) {
    const Duration boots_at = plan_.nodes[node->index].boots_at;
    if (boots_at.count() <= 0) {
      boot(*node);
    } else {
      push(boots_at, EventKind::Boot, node->index, 0, 0);
    }
  }
  const TrueTime end = plan_.length + plan_.settle_within;
  while (!queue_.empty() && !over()) {
    const Event event = queue_.pop();
    if (event.at > end.count())
      break;
    now_ = TrueTime{event.at};
    ++report_.events;
    handle(event);
    if (report_.events > kMaxEvents)
      violate("the run does not come to rest", Failure::Liveness);
  }
  if (!over()) {
    violate("not settled in time after everything was healed", Failure::Liveness);
  }
  hash_.add(static_cast<std::uint64_t>(now_.count()));
  hash_.add(report_.events);
  report_.ran = now_;
  report_.hash = hash_.value();
  report_.buggify = buggify_.points();
  report_.trace = lines_.lines();
  return std::move(report_);
}

void Kernel::handle(const Event& event) {
  switch (event.kind()) {
    case EventKind::FaultBegin:
      begin_fault(static_cast<std::uint32_t>(event.payload));
      return;
    case EventKind::FaultEnd:
      end_fault(static_cast<std::uint32_t>(event.payload));
      return;
    case EventKind::Heal:
      heal();
      return;
    default:
      handle_node_event(*nodes_[event.node], event);
  }
}

void Kernel::handle_node_event(Node& node, const Event& event) {
  switch (event.kind()) {
    case EventKind::Deliver:
      return handle_deliver(node, event);
    case EventKind::StreamDeliver:
      return handle_stream(node, event);
    case EventKind::StreamNotice:
      return handle_notice(node, event);
    case EventKind::Wake:
      return handle_wake(node, event);
    case EventKind::DiskDone:
      return handle_disk_done(node, event);
    case EventKind::Release:
      return release(node, event);
    case EventKind::Boot:
      if (node.is_up || event.life() != node.life)
        return;
      if (node.stopped > 0)
        return node.waiting.push_back(event);
      return boot(node);
    case EventKind::Work:
      if (!node.is_up || defer(node, event))
        return;
      if (tracing()) {
        const WorkItem& item = plan_.work[event.payload];
        say(node.index, fmt::format("work kind {} a {} b {}", item.kind, item.a, item.b));
      }
      return step(node, [&] { host_.work(node.index, plan_.work[event.payload]); });
    default:
      return;
  }
}

// True if the node cannot take the event now; it comes again.
bool Kernel::defer(Node& node, const Event& event) {
  if (node.stopped > 0) {
    node.waiting.push_back(event);
    return true;
  }
  if (node.busy_until > now_) {
    hold(node, event);
    return true;
  }
  return false;
}

// A slow node's queue may be long and is looked through after each of its steps: cheaper as a list
// than through the queue of all events.
void Kernel::hold(Node& node, Event event) {
  if (!renumber(event))
    return;
  node.held.push_back(event);
  if (std::exchange(node.release_at, node.busy_until) != node.busy_until)
    push(node.busy_until, EventKind::Release, node.index, node.life, 0);
}

void Kernel::release(Node& node, const Event& event) {
  if (event.life() != node.life || node.release_at != now_)
    return;
  node.release_at = TrueTime{-1};
  std::vector<Event> due;
  due.swap(node.held);
  node.held.swap(node.held_spare);
  for (const Event& one : due) {
    if (over())
      break;
    handle_node_event(node, one);
  }
  due.clear();
  node.held_spare.swap(due);
}

void Kernel::resume(Node& node) {
  // What waited is served in any order: a woken process may see a message before a timer that was
  // due long ago, or the other way round.
  node.random.shuffle(std::span(node.waiting));
  for (const Event& event : std::exchange(node.waiting, {}))
    repush(event, now_);
}

void Kernel::begin_step(Node& node) {
  node.busy_until = now_ + Duration{node.slow_ns};
  node.in_step = true;
  hash_.add(static_cast<std::uint64_t>(now_.count()) << 8 ^ node.index);
}

void Kernel::end_step(Node& node) {
  node.in_step = false;
  if (node.dying) {
    die(node, node.death_by_power, node.back_after);
  } else {
    host_.after_step(node.index);
  }
}

void Kernel::boot(Node& node) {
  node.is_up = true;
  if (tracing())
    say(node.index, fmt::format("starts, life {}", node.life));
  step(node, [&] { host_.boot(node.index); });
}

void Kernel::die(Node& node, bool power, Duration back_after) {
  if (!node.is_up)
    return;
  if (tracing())
    say(node.index, power ? "loses power" : "is killed");
  // What a step still running was to send after its death is never sent.
  node.deaths.push_back(node.dying ? node.dying_at : now_);
  ++node.life;
  node.is_up = false;
  node.dying = false;
  node.effects_left = 0;
  node.timers.clear();
  node.syncs.clear();
  node.waiting.insert(node.waiting.end(), node.held.begin(), node.held.end());
  node.held.clear();
  node.release_at = TrueTime{-1};
  for (const Event& event : std::exchange(node.waiting, {})) {
    if (event.kind() == EventKind::Deliver || event.kind() == EventKind::StreamDeliver ||
        event.kind() == EventKind::StreamNotice) {
      repush(event, now_);
    }
  }
  node.busy_until = now_;
  host_.destroy(node.index);
  if (power) {
    node.streams.clear();  // the peers find out when they write
    node.disk.power_cut();
    node.clock.reboot(now_, kUptimeAfterReboot);
    if (node.suspended > 0)
      node.clock.suspend(now_);
  } else {
    node.disk.kill();
    close_streams(node);
  }
  push(now_ + std::max(back_after, Duration{1}), EventKind::Boot, node.index, node.life, 0);
}

bool Kernel::takes_effect(Node& node) {
  if (node.dying)
    return false;
  if (node.effects_left > 0 && --node.effects_left == 0) {
    node.dying = true;
    node.dying_at = now_of(node.index);
  }
  return !node.dying;
}

void Kernel::stop_self(NodeIndex index, Duration back_after) {
  Node& node = *nodes_[index];
  if (node.dying)
    return;
  note(index, "stops itself");
  node.dying = true;
  node.dying_at = now_of(index);
  node.death_by_power = false;
  node.back_after = back_after;
}

// --- messages ---

bool Kernel::sender_lived(const MessageMeta& meta) const {
  const auto& deaths = nodes_[meta.from]->deaths;
  return meta.life >= deaths.size() || deaths[meta.life] >= meta.departs;
}

void Kernel::send(NodeIndex from, NodeIndex to, std::uint32_t slot, std::uint64_t digest) {
  Node& node = *nodes_[from];
  assert(node.in_step && to < nodes_.size());
  if (!takes_effect(node))
    return host_.release_slot(slot);
  const TrueTime departs = now_of(from);
  hash_.add(mix(digest, std::uint64_t{from} << 32 | to));
  ++report_.messages;
  if (messages_.size() <= slot)
    messages_.resize(slot + 1);
  messages_[slot] = MessageMeta{.from = from, .life = node.life, .departs = departs};
  const std::uint64_t ordinal = ++node.sent;
  if (tracing())
    say(from, fmt::format("-> n{} #{} {}", to, ordinal, host_.describe_slot(slot)));
  const Fate fate = from == to ? Fate{} : fate_of(from, to, ordinal);
  if (fate.drop || (from != to && cut(from, to))) {
    if (tracing())
      say(from, fmt::format("   #{} is lost", ordinal));
    return host_.release_slot(slot);
  }
  if (fate.duplicate) {
    const std::uint32_t copy = host_.copy_slot(slot);
    if (messages_.size() <= copy)
      messages_.resize(copy + 1);
    messages_[copy] = messages_[slot];
    push(departs + fate.copy_delay, EventKind::Deliver, to, 0, copy);
  }
  push(departs + fate.delay, EventKind::Deliver, to, 0, slot);
}

void Kernel::handle_deliver(Node& node, const Event& event) {
  const auto slot = static_cast<std::uint32_t>(event.payload);
  const MessageMeta meta = messages_[slot];
  if (!node.is_up || !sender_lived(meta))
    return host_.release_slot(slot);
  if (defer(node, event))
    return;
  if (tracing())
    say(node.index, fmt::format("<- n{} {}", meta.from, host_.describe_slot(slot)));
  step(node, [&] { host_.deliver(node.index, meta.from, slot); });
}

// --- timers ---

void Kernel::wake_at(NodeIndex index, TimerKey key, Instant when) {
  Node& node = *nodes_[index];
  if (node.dying)
    return;
  const TrueTime now = now_of(index);
  const std::uint32_t clock_changes = node.clock.changes();
  Node::Timer& timer = node.timers.at(key);
  if (timer.order != 0 && timer.deadline == when && timer.clock_changes == clock_changes &&
      timer.at > now)
    return;  // cores say so after each event
  const TrueTime at = node.clock.true_time_of(when, now);
  timer =
      Node::Timer{.order = next_order_, .deadline = when, .at = at, .clock_changes = clock_changes};
  const std::uint64_t slack =
      scale(mix(plan_.seed, mix(key, static_cast<std::uint64_t>(at.count()))), kTimerSlackNs);
  push(at + Duration{static_cast<std::int64_t>(slack)}, EventKind::Wake, index, node.life, key);
}

void Kernel::cancel_wake(NodeIndex index, TimerKey key) {
  if (Node::Timer* timer = nodes_[index]->timers.find(key))
    *timer = Node::Timer{};
}

void Kernel::handle_wake(Node& node, const Event& event) {
  if (!node.is_up || event.life() != node.life)
    return;
  Node::Timer* timer = node.timers.find(event.payload);
  if (timer == nullptr || timer->order != event.order)
    return;
  if (defer(node, event))
    return;
  if (node.clock.boot(now_) < timer->deadline) {  // its clock has slowed down meanwhile
    return repush(event, node.clock.true_time_of(timer->deadline, now_));
  }
  *timer = Node::Timer{};
  if (tracing())
    say(node.index, fmt::format("timer {}", event.payload));
  step(node, [&] { host_.wake(node.index, event.payload); });
}

// --- syncs that overlap with other work ---

void Kernel::sync_later(NodeIndex index, SimDisk::File file, std::uint64_t token) {
  Node& node = *nodes_[index];
  if (node.dying)
    return;
  const auto ticket = node.disk.begin_sync(file);
  const std::uint64_t number = next_order_;
  node.syncs.push_back({number, {file, ticket ? *ticket : 0}});
  const Duration cost = plan_.disk_times.sync * node.disk_factor;
  push(now_of(index) + cost, EventKind::DiskDone, index, node.life, token);
}

void Kernel::handle_disk_done(Node& node, const Event& event) {
  if (!node.is_up || event.life() != node.life)
    return;
  if (node.stopped > 0 || node.busy_until > now_) {
    // Its number finds the sync again, so the event must keep it; come back when it may run.
    const auto old = std::find_if(node.syncs.begin(), node.syncs.end(),
                                  [&](const auto& sync) { return sync.first == event.order; });
    assert(old != node.syncs.end());
    old->first = next_order_;
    const TrueTime again =
        node.stopped > 0 ? now_ + std::chrono::milliseconds(10) : node.busy_until;
    return push(again, EventKind::DiskDone, node.index, node.life, event.payload);
  }
  const auto found = std::find_if(node.syncs.begin(), node.syncs.end(),
                                  [&](const auto& sync) { return sync.first == event.order; });
  if (found == node.syncs.end())
    return;
  const auto [file, ticket] = found->second;
  node.syncs.erase(found);
  step(node, [&, file = file, ticket = ticket] {
    const TrueTime before = node.busy_until;
    Status status = node.disk.finish_sync(file, ticket);
    node.busy_until = before;  // the time has passed already
    host_.disk_done(node.index, event.payload, std::move(status));
  });
}

}  // namespace common::sim
