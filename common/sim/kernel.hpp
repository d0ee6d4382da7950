#pragma once

// The engine under World: virtual time, machines, network, faults. It knows messages only as
// numbered slots and processes only through KernelHost, so all of it is compiled once.
// Scenarios and processes use world.hpp; only the runner and World itself come here.

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/result.hpp"
#include "common/sim/buggify.hpp"
#include "common/sim/disk.hpp"
#include "common/sim/event_queue.hpp"
#include "common/sim/node_clock.hpp"
#include "common/sim/plan.hpp"
#include "common/sim/trace.hpp"

namespace common::sim {

using TimerKey = std::uint64_t;
using StreamId = std::uint32_t;

struct RunOptions {
  std::uint64_t bugs = 0;     // mask of planted bugs, for BugSet::from_mask
  bool trace = false;         // keep lines for people; slow
  bool record_fates = false;  // tell what became of each message, for the shrinker
};

enum class Failure : std::uint8_t { None, Safety, Liveness };

struct RunReport {
  Failure failure = Failure::None;
  std::string violation;  // one sentence; empty if none
  TrueTime violated_at{};
  TrueTime ran{};
  std::uint64_t hash = 0;
  std::uint64_t events = 0;
  std::uint64_t messages = 0;  // sent, streams included
  std::uint64_t faults = 0;    // begun
  std::vector<Buggify::Point> buggify;
  std::vector<Fault> fates;        // with record_fates
  std::vector<std::string> trace;  // with trace
};

// What the kernel asks of World. Called within Kernel::run() only.
class KernelHost {
 public:
  virtual ~KernelHost() = default;
  virtual void boot(NodeIndex node) = 0;
  virtual void destroy(NodeIndex node) = 0;
  virtual void deliver(NodeIndex node, NodeIndex from, std::uint32_t slot) = 0;
  virtual void deliver_stream(NodeIndex node, StreamId stream, std::uint32_t slot) = 0;
  virtual void stream_opened(NodeIndex node, StreamId stream, NodeIndex peer) = 0;
  virtual void stream_closed(NodeIndex node, StreamId stream) = 0;
  virtual void wake(NodeIndex node, TimerKey key) = 0;
  virtual void work(NodeIndex node, const WorkItem& item) = 0;
  virtual void disk_done(NodeIndex node, std::uint64_t token, Status status) = 0;
  virtual std::uint32_t copy_slot(std::uint32_t slot) = 0;
  virtual void release_slot(std::uint32_t slot) = 0;
  virtual std::string describe_slot(std::uint32_t slot) = 0;
  virtual void after_step(NodeIndex node) = 0;
  virtual bool settled() = 0;
};

class Kernel {
 public:
  // `plan` and `host` must outlive the kernel.
  Kernel(const Plan& plan, KernelHost& host, const RunOptions& options);
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  // Runs to the end or to the first violation. Once only.
  RunReport run();

  // --- for the node that is in its step, through Env ---
  void send(NodeIndex from, NodeIndex to, std::uint32_t slot, std::uint64_t digest);
  StreamId connect(NodeIndex from, NodeIndex to);
  void send_stream(NodeIndex from, StreamId stream, std::uint32_t slot, std::uint64_t digest);
  void close_stream(NodeIndex from, StreamId stream);
  void wake_at(NodeIndex node, TimerKey key, Instant when);
  void cancel_wake(NodeIndex node, TimerKey key);
  void sync_later(NodeIndex node, SimDisk::File file, std::uint64_t token);
  void stop_self(NodeIndex node, Duration back_after);
  void note(NodeIndex node, const std::string& text);

  // --- for anybody ---
  [[nodiscard]] TrueTime now() const { return now_; }
  // When what `node` does now takes place: later than now() if its step has taken time.
  [[nodiscard]] TrueTime now_of(NodeIndex node) const;
  [[nodiscard]] std::uint32_t nodes() const { return static_cast<std::uint32_t>(nodes_.size()); }
  [[nodiscard]] const NodeClock& clock(NodeIndex node) const;
  [[nodiscard]] Instant boot_now(NodeIndex node) const;  // of its clock, at now_of()
  [[nodiscard]] SimDisk& disk(NodeIndex node);
  [[nodiscard]] Random& random(NodeIndex node);
  [[nodiscard]] bool up(NodeIndex node) const;
  [[nodiscard]] bool alive(NodeIndex node) const;  // up, and not dying in its present step
  [[nodiscard]] bool healed() const { return healed_; }
  [[nodiscard]] bool tracing() const { return options_.trace; }
  // Whether a message from `from` would be lost to a partition now.
  [[nodiscard]] bool cut(NodeIndex from, NodeIndex to) const;
  Buggify& buggify() { return buggify_; }
  // Ends the run. The first call wins.
  void violate(std::string text, Failure failure = Failure::Safety);

 private:
  struct Node;
  struct Stream;
  struct MessageMeta {
    NodeIndex from = 0;
    std::uint32_t life = 0;  // of the sender
    TrueTime departs{};
  };
  struct Fate {
    bool drop = false;
    bool duplicate = false;
    Duration delay{};
    Duration copy_delay{};
  };

  void push(TrueTime at, EventKind kind, NodeIndex node, std::uint32_t life, std::uint64_t payload);
  void repush(Event event, TrueTime at);
  bool renumber(Event& event);
  [[nodiscard]] bool over();
  void handle(const Event& event);
  void handle_node_event(Node& node, const Event& event);
  void handle_deliver(Node& node, const Event& event);
  void handle_wake(Node& node, const Event& event);
  void handle_stream(Node& node, const Event& event);
  void handle_notice(Node& node, const Event& event);
  void handle_disk_done(Node& node, const Event& event);
  bool defer(Node& node, const Event& event);
  void hold(Node& node, Event event);
  void release(Node& node, const Event& event);
  template <typename Body>
  void step(Node& node, Body body);  // runs `body` as one step of the node's process
  void begin_step(Node& node);
  void end_step(Node& node);
  void boot(Node& node);
  void die(Node& node, bool power, Duration back_after);
  void resume(Node& node);

  void schedule_plan();
  void index_message_faults();
  void begin_fault(std::uint32_t index);
  void end_fault(std::uint32_t index);
  void apply_fault(const Fault& fault, bool begin);
  void arm_death(Node& node, const Fault& fault);
  void heal();

  Fate fate_of(NodeIndex from, NodeIndex to, std::uint64_t ordinal);
  Fate noise_of(std::uint64_t bits) const;
  void record_fate(NodeIndex from, std::uint64_t ordinal, const Fate& fate);
  bool takes_effect(Node& node);
  bool sender_lived(const MessageMeta& meta) const;
  void break_stream(StreamId id, Duration delay);
  void notify_closed(Stream& stream, StreamId id, unsigned side, Duration delay);
  void drop_queue(Stream& stream, unsigned side);
  void close_streams(Node& node);
  void remember_stream(Node& node, StreamId id);
  bool stream_stuck(Node& node, const Event& event, Stream& stream, StreamId id, unsigned to);
  void enqueue_stream(Stream& stream, StreamId id, unsigned to_side, std::uint32_t slot);
  void say(NodeIndex node, std::string text);

  const Plan& plan_;
  KernelHost& host_;
  RunOptions options_;
  Buggify buggify_;
  EventQueue queue_;
  TrueTime now_{};
  std::uint64_t next_order_ = 1;
  bool healed_ = false;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<MessageMeta> messages_;  // by slot
  std::deque<Stream> streams_;
  std::vector<std::uint8_t> fault_active_;
  std::vector<std::uint32_t> rules_;        // active faults of the network, by index
  KeyTable<std::uint32_t> message_faults_;  // hash of sender and ordinal to first index + 1
  bool has_message_faults_ = false;
  TraceHash hash_;
  TraceLines lines_;
  RunReport report_;
};

}  // namespace common::sim
