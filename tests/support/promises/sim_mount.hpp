#pragma once

// A mount: the real book of promises, a cache of registers, a kernel that keeps copies of its own,
// and users that open, change and close files.

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "common/sim/world.hpp"
#include "tests/support/promises/sim_judge.hpp"
#include "tests/support/promises/sim_protocol.hpp"

namespace promise_sim {

// Kept in its cache directory.
struct MountDisk {
  std::uint64_t lives = 0;
  std::uint64_t next_op = 1;
  std::uint64_t next_number = 1;  // of openings and resumings
};

// What a work item asks of a mount; `kind` is an OpKind, `a` the register.
enum Wish : std::uint64_t {
  kOrdinary = 0,
  kProbe = 1,       // after the healing: must be done, and soon
  kFlushFirst = 2,  // a probe, too: until it is done, breaks are answered by flushing
  kCopiedDisk = 3,  // not an operation: from now on it says that it is mount `a`
  kOwnDisk = 4,     // and now itself again
};

class MountProcess final : public common::sim::Process<SimMessage> {
 public:
  using Env = common::sim::Env<SimMessage>;
  using StreamId = common::sim::StreamId;
  using TimerKey = common::sim::TimerKey;

  MountProcess(Env& env, MountDisk& disk, Judge& judge, const Settings& settings);

  void start() override;
  void receive(NodeIndex from, const SimMessage& message) override;
  void wake(TimerKey key) override;
  void work(const common::sim::WorkItem& item) override;
  void receive_on(StreamId stream, const SimMessage& message) override;
  void stream_closed(StreamId stream) override;

  // The first of `nodes` (a bit for each) for which it would answer by itself, at `now` of its own
  // clock, with a version before the newest.
  [[nodiscard]] std::optional<Old> would_answer(std::uint32_t nodes, const Newest& newest,
                                                Instant now) const;
  [[nodiscard]] bool idle() const { return ops_.empty(); }
  [[nodiscard]] std::size_t probes_done() const { return probes_done_; }

 private:
  static constexpr TimerKey kTick = 1;
  static constexpr TimerKey kBookTimer = 2;
  static constexpr TimerKey kFirstJob = 16;

  struct Op {
    OpKind kind{};
    std::uint32_t node = 0;
    std::uint64_t id = 0;  // of a change
    std::uint64_t wish = kOrdinary;
    TrueTime began{};
    Instant give_up;
    Instant retry;
    std::vector<std::uint64_t> calls;
  };
  struct Call {
    std::uint64_t op = 0;  // key of ops_
    common::fileclient::CallInFlight sent;
    bool under_way = false;
    friend bool operator==(const Call& a, const Call& b) { return a.under_way == b.under_way; }
  };
  struct Copy {
    bool there = false;
    std::uint64_t version = 0;
    std::uint64_t value = 0;
    Instant until;  // of the kernel's: it answers by itself no longer than that
  };

  void tick();
  void plan_tick();
  void connect();
  void dial();
  void lost(bool resume);
  void opened(const SimMessage& message);
  void try_op(std::uint64_t key);
  void send_change(std::uint64_t key);
  std::uint64_t begin_call(std::uint64_t key, Op& op);
  void send_fetch(std::uint64_t key);
  void fetched(const SimMessage& message);
  void changed(const SimMessage& message);
  void refused(const SimMessage& message);
  void finish(std::uint64_t key);
  void read_by_kernel_or_cache(std::uint64_t key);
  bool answer_by_itself(Op& op);
  void keep(const Told& told, common::fileclient::PromiseBook::Taken taken);
  void carry_out();
  void carry_out_one(const common::fileclient::BookEffect& effect);
  void begin_withdrawal(common::fileclient::Withdrawal id, std::uint32_t nodes);
  void withdrawal_done(std::uint64_t job);
  void send_on_stream(SimMessage message);
  [[nodiscard]] Duration kernel_time(std::uint32_t nodes);
  [[nodiscard]] bool busy_in(std::uint32_t nodes) const;
  [[nodiscard]] bool flushes_first() const;

  Env& env_;
  MountDisk& disk_;
  Judge& judge_;
  Settings settings_;
  common::fileclient::PromiseBook book_;
  common::fileclient::BookEffects effects_;
  common::fileclient::BookEffects under_hand_;  // their memory is used again

  std::uint64_t server_life_ = 0;
  std::uint64_t session_ = 0;
  bool may_open_ = true;
  bool resume_ = false;
  std::uint64_t number_ = 0;  // of the opening or resuming under way; 0: none
  Instant asked_at_;
  std::optional<StreamId> stream_;
  bool welcome_ = false;
  Instant dialled_at_;
  Instant next_tick_;  // max: none is needed

  std::map<std::uint64_t, Op> ops_;
  common::sim::KeyTable<Call> calls_;
  std::uint64_t next_op_ = 1;
  std::uint64_t next_call_ = 0;  // an answer to a former life is none to this one
  std::array<Copy, kRegisters> cache_;
  std::array<Copy, kRegisters> kernel_;
  struct Job {
    common::fileclient::Withdrawal id = 0;
    std::uint32_t nodes = 0;
    bool flushing = false;
    Instant flush_until;
  };
  std::map<std::uint64_t, Job> jobs_;
  std::uint64_t next_job_ = kFirstJob;
  std::size_t probes_done_ = 0;
  std::uint32_t mount_id_;
};

}  // namespace promise_sim
