#pragma once

// A world for the tests of the simulator itself: every node sends a number to every other node ten
// times a second, and everything that happens is written down with its true time.

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <vector>

#include "common/sim/world.hpp"

namespace chatter {

using namespace common;
using namespace common::sim;
using namespace std::chrono_literals;

struct Note {
  std::uint64_t number = 0;
};
inline std::uint64_t digest(const Note& note) {
  return note.number;
}
inline std::string describe(const Note& note) {
  return fmt::format("note {}", note.number);
}

struct Seen {
  enum class What { Boot, Receive, Wake, StreamOpened, StreamReceive, StreamClosed, DiskDone };
  What what;
  TrueTime at;
  NodeIndex node;
  NodeIndex from = 0;
  std::uint64_t number = 0;
  Instant boot;
  WallTime wall;
  bool ok = true;
};

struct Options {
  bool streams = false;     // n0 dials n1 at the start and writes there too
  bool touch_disk = false;  // each round writes and syncs a file
  Duration every = 100ms;
  std::optional<std::uint64_t> forbidden;  // receiving this many from n1 at n0 is a violation
};

class Chat final : public Process<Note> {
 public:
  Chat(Env<Note>& env, const Options& options, std::vector<Seen>& seen, const Observer& observer)
      : env_(env), options_(options), seen_(seen), observer_(observer) {}

  void start() override {
    add(Seen::What::Boot);
    if (options_.streams && env_.self() == 0)
      stream_ = env_.connect(1);
    next_ = env_.now() + options_.every;
    env_.wake_at(1, next_);
  }
  void receive(NodeIndex from, const Note& note) override {
    add(Seen::What::Receive, from, note.number);
  }
  void wake(TimerKey) override {
    add(Seen::What::Wake);
    ++round_;
    if (options_.touch_disk)
      write();
    for (NodeIndex to = 0; to < env_.nodes(); ++to) {
      if (to != env_.self())
        env_.send(to, Note{round_});
    }
    if (stream_)
      env_.send_on(*stream_, Note{round_});
    next_ = std::max(next_ + options_.every, env_.now());
    env_.wake_at(1, next_);
  }
  void disk_done(std::uint64_t token, Status status) override {
    add(Seen::What::DiskDone, 0, token);
    seen_.back().ok = status.has_value();
  }
  void stream_opened(StreamId, NodeIndex peer) override { add(Seen::What::StreamOpened, peer); }
  void receive_on(StreamId, const Note& note) override {
    add(Seen::What::StreamReceive, 0, note.number);
  }
  void stream_closed(StreamId) override {
    add(Seen::What::StreamClosed);
    if (stream_)
      stream_ = env_.connect(1);
  }

 private:
  void write() {
    const auto file = env_.disk().open("log", {.create = true});
    if (!file)
      return;
    const std::byte one{1};
    if (env_.disk().write(*file, round_, std::span(&one, 1)))
      env_.sync_later(*file, round_);
  }
  void add(Seen::What what, NodeIndex from = 0, std::uint64_t number = 0) {
    seen_.push_back(Seen{.what = what,
                         .at = observer_.now(),
                         .node = env_.self(),
                         .from = from,
                         .number = number,
                         .boot = env_.now(),
                         .wall = env_.wall_now()});
  }

  Env<Note>& env_;
  const Options& options_;
  std::vector<Seen>& seen_;
  const Observer& observer_;
  std::optional<StreamId> stream_;
  std::uint64_t round_ = 0;
  Instant next_;
};

class Chats final : public Scenario<Note> {
 public:
  explicit Chats(Options options) : options_(options) {}
  void begin(Observer observer) override { observer_.emplace(observer); }
  std::unique_ptr<Process<Note>> boot(NodeIndex, Env<Note>& env) override {
    return std::make_unique<Chat>(env, options_, seen, *observer_);
  }
  void after_step(NodeIndex) override {
    const Seen& last = seen.back();
    if (options_.forbidden && last.what == Seen::What::Receive && last.node == 0 &&
        last.from == 1 && last.number == *options_.forbidden) {
      observer_->violate("the forbidden number has arrived");
    }
  }
  bool settled() override { return observer_->now() > heal_ + 5s; }

  std::vector<Seen> seen;
  Duration heal_ = 60s;

 private:
  Options options_;
  std::optional<Observer> observer_;
};

// Three nodes, perfect clocks, a quiet network, ten seconds.
inline Plan quiet_plan(std::uint64_t seed = 1) {
  Plan plan;
  plan.seed = seed;
  plan.nodes.resize(3);
  plan.length = 10s;
  plan.settle_within = 20s;
  return plan;
}

struct Outcome {
  RunReport report;
  std::vector<Seen> seen;

  // How many of `what` at `node` from `from` lie in [begin, end).
  [[nodiscard]] std::size_t count(Seen::What what, NodeIndex node, NodeIndex from,
                                  Duration begin = 0s, Duration end = 1000s) const {
    std::size_t count = 0;
    for (const Seen& s : seen) {
      count +=
          s.what == what && s.node == node && s.from == from && s.at >= begin && s.at < end ? 1 : 0;
    }
    return count;
  }
};

inline Outcome run(const Plan& plan, Options options = {}, RunOptions run_options = {}) {
  Chats chats(options);
  chats.heal_ = plan.length;
  World<Note> world(plan, chats, run_options);
  Outcome outcome;
  outcome.report = world.run();
  outcome.seen = std::move(chats.seen);
  return outcome;
}

}  // namespace chatter
