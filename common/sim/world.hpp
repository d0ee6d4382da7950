#pragma once

// A simulated cell: what a scenario and its processes see. See README.md for how to bind a core.
//
// Message is the scenario's own type, usually a std::variant of all protocols in the world. Found
// by argument-dependent lookup:
//   std::uint64_t digest(const Message&);    every field that matters, for the trace hash
//   std::string describe(const Message&);    one line, for people

#include <cassert>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.hpp"
#include "common/sim/kernel.hpp"

namespace common::sim {

// What one process may do to the world. Valid for the life of the process, and usable only within
// its steps; after the machine has died within a step everything here has no effect.
template <typename Message>
class Env {
 public:
  [[nodiscard]] NodeIndex self() const { return node_; }
  [[nodiscard]] std::uint32_t nodes() const { return kernel_->nodes(); }
  // CLOCK_BOOTTIME of this node, which includes what the step has cost so far.
  [[nodiscard]] Instant now() const { return kernel_->boot_now(node_); }
  // CLOCK_MONOTONIC: for showing what goes wrong with it.
  [[nodiscard]] Instant monotonic_now() const {
    return kernel_->clock(node_).monotonic(kernel_->now_of(node_));
  }
  [[nodiscard]] WallTime wall_now() const {
    return kernel_->clock(node_).wall(kernel_->now_of(node_));
  }

  // A datagram: may be lost, doubled, late, overtaken. Also right for a request or reply over a
  // connection of its own, whose loss leaves the outcome unknown.
  void send(NodeIndex to, Message message) {
    const std::uint64_t id = digest(message);
    kernel_->send(node_, to, slots_->put(std::move(message)), id);
  }
  // A stream: in order and whole, or reset. May be written to at once.
  [[nodiscard]] StreamId connect(NodeIndex to) { return kernel_->connect(node_, to); }
  void send_on(StreamId stream, Message message) {
    const std::uint64_t id = digest(message);
    kernel_->send_stream(node_, stream, slots_->put(std::move(message)), id);
  }
  void close(StreamId stream) { kernel_->close_stream(node_, stream); }

  // Calls wake(key) once, not before now() reaches `when`. One timer per key; a new call replaces.
  void wake_at(TimerKey key, Instant when) { kernel_->wake_at(node_, key, when); }
  void cancel_wake(TimerKey key) { kernel_->cancel_wake(node_, key); }

  // Survives the process. Calls take time from this node's step.
  [[nodiscard]] SimDisk& disk() { return kernel_->disk(node_); }
  // Makes stable what has been written to `file` so far; disk_done(token, status) tells when.
  void sync_later(SimDisk::File file, std::uint64_t token) {
    kernel_->sync_later(node_, file, token);
  }

  [[nodiscard]] Random& random() { return kernel_->random(node_); }
  // To hand to a core's options.
  [[nodiscard]] Buggify* buggify_points() { return &kernel_->buggify(); }
  bool buggify(std::string_view name) { return sim::buggify(&kernel_->buggify(), name); }

  // False once the machine has died within this step: nothing said since has been heard.
  [[nodiscard]] bool alive() const { return kernel_->alive(node_); }
  // The process ends itself, as after a failed sync, and its supervisor starts it again.
  void stop(Duration back_after = std::chrono::seconds(1)) {
    kernel_->stop_self(node_, back_after);
  }
  // An assertion of the code under test; false ends the run as a safety violation.
  void check(bool holds, const char* what) {
    if (!holds)
      kernel_->violate(what);
  }
  // A line for the trace, made only when somebody reads it: env.note([&] { return fmt::format(…);
  // }).
  template <typename MakeText>
  void note(MakeText make_text) {
    if (kernel_->tracing())
      kernel_->note(node_, make_text());
  }

  struct Slots {
    std::vector<Message> messages;
    std::vector<std::uint32_t> free;
    std::uint32_t put(Message message) {
      if (free.empty()) {
        messages.push_back(std::move(message));
        return static_cast<std::uint32_t>(messages.size() - 1);
      }
      const std::uint32_t slot = free.back();
      free.pop_back();
      messages[slot] = std::move(message);
      return slot;
    }
    Message take(std::uint32_t slot) {
      free.push_back(slot);
      return std::exchange(messages[slot], Message{});
    }
  };
  Env(Kernel* kernel, Slots* slots, NodeIndex node) : kernel_(kernel), slots_(slots), node_(node) {}

 private:
  Kernel* kernel_;
  Slots* slots_;
  NodeIndex node_;
};

// One life of one process: made when its node boots, from nothing but its disk; destroyed without
// warning when it dies. Binds a pure core: turns calls into events and effects into Env calls.
template <typename Message>
class Process {
 public:
  Process() = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  virtual ~Process() = default;

  virtual void start() = 0;
  virtual void receive(NodeIndex from, const Message& message) = 0;
  virtual void wake(TimerKey key) = 0;
  virtual void work(const WorkItem&) {}
  virtual void disk_done(std::uint64_t /*token*/, Status /*status*/) {}
  virtual void stream_opened(StreamId, NodeIndex /*peer*/) {}  // accepted; the dialler is not told
  virtual void receive_on(StreamId, const Message&) {}
  virtual void stream_closed(StreamId) {}
};

// What the scenario may see of the world: everything, in true time.
class Observer {
 public:
  explicit Observer(Kernel& kernel) : kernel_(&kernel) {}
  [[nodiscard]] TrueTime now() const { return kernel_->now(); }
  [[nodiscard]] bool up(NodeIndex node) const { return kernel_->up(node); }
  [[nodiscard]] bool healed() const { return kernel_->healed(); }
  [[nodiscard]] Instant boot_now(NodeIndex node) const { return kernel_->boot_now(node); }
  [[nodiscard]] Instant monotonic_now(NodeIndex node) const {
    return kernel_->clock(node).monotonic(kernel_->now_of(node));
  }
  [[nodiscard]] bool cut(NodeIndex from, NodeIndex to) const { return kernel_->cut(from, to); }
  [[nodiscard]] SimDisk& disk(NodeIndex node) { return kernel_->disk(node); }
  // Ends the run; the first violation counts.
  void violate(std::string text) { kernel_->violate(std::move(text)); }

 private:
  Kernel* kernel_;
};

// One run's cast and its judge. The judge keeps whatever model of the truth it needs.
template <typename Message>
class Scenario {
 public:
  Scenario() = default;
  Scenario(const Scenario&) = delete;
  Scenario& operator=(const Scenario&) = delete;
  virtual ~Scenario() = default;

  // Once, before anything boots.
  virtual void begin(Observer observer) = 0;
  // `env` lives as long as the process.
  virtual std::unique_ptr<Process<Message>> boot(NodeIndex node, Env<Message>& env) = 0;
  // The process of `node` has just died; pointers into it are about to dangle.
  virtual void died(NodeIndex) {}
  // After each step of each node: the safety invariants.
  virtual void after_step(NodeIndex node) = 0;
  // Asked after each event once everything has healed; true ends the run well.
  virtual bool settled() = 0;
};

template <typename Message>
class World final : private KernelHost {
 public:
  World(const Plan& plan, Scenario<Message>& scenario, const RunOptions& options)
      : kernel_(plan, *this, options), scenario_(scenario) {
    for (NodeIndex i = 0; i < plan.nodes.size(); ++i)
      envs_.emplace_back(&kernel_, &slots_, i);
    processes_.resize(plan.nodes.size());
  }

  RunReport run() {
    scenario_.begin(Observer(kernel_));
    return kernel_.run();
  }

 private:
  void boot(NodeIndex node) override {
    processes_[node] = scenario_.boot(node, envs_[node]);
    processes_[node]->start();
  }
  void destroy(NodeIndex node) override {
    scenario_.died(node);
    processes_[node].reset();
  }
  void deliver(NodeIndex node, NodeIndex from, std::uint32_t slot) override {
    const Message message = slots_.take(slot);
    processes_[node]->receive(from, message);
  }
  void deliver_stream(NodeIndex node, StreamId stream, std::uint32_t slot) override {
    const Message message = slots_.take(slot);
    processes_[node]->receive_on(stream, message);
  }
  void stream_opened(NodeIndex node, StreamId stream, NodeIndex peer) override {
    processes_[node]->stream_opened(stream, peer);
  }
  void stream_closed(NodeIndex node, StreamId stream) override {
    processes_[node]->stream_closed(stream);
  }
  void wake(NodeIndex node, TimerKey key) override { processes_[node]->wake(key); }
  void work(NodeIndex node, const WorkItem& item) override { processes_[node]->work(item); }
  void disk_done(NodeIndex node, std::uint64_t token, Status status) override {
    processes_[node]->disk_done(token, std::move(status));
  }
  std::uint32_t copy_slot(std::uint32_t slot) override {
    Message copy = slots_.messages[slot];
    return slots_.put(std::move(copy));
  }
  void release_slot(std::uint32_t slot) override { slots_.take(slot); }
  std::string describe_slot(std::uint32_t slot) override { return describe(slots_.messages[slot]); }
  void after_step(NodeIndex node) override { scenario_.after_step(node); }
  bool settled() override { return scenario_.settled(); }

  Kernel kernel_;
  Scenario<Message>& scenario_;
  typename Env<Message>::Slots slots_;
  std::vector<Env<Message>> envs_;
  std::vector<std::unique_ptr<Process<Message>>> processes_;
};

}  // namespace common::sim
