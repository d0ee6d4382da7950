#pragma once

// A file server of registers around the real core of promises: what survives it, and one life of
// it.

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "common/sim/world.hpp"
#include "tests/support/promises/sim_judge.hpp"
#include "tests/support/promises/sim_protocol.hpp"

namespace promise_sim {

// What is stored stably before anything that depends on it is said.
struct ServerDisk {
  struct Register {
    std::uint64_t version = 0;
    std::uint64_t value = 0;
    std::uint32_t target = 0;  // of a directory: which file its entry is
  };
  std::array<Register, kRegisters> registers;
  std::map<std::uint64_t, std::array<Told, 2>> done;  // operation to what it wrote
  std::uint64_t life = 0;
  bool clean = true;
  std::chrono::milliseconds longest_lease{0};
  std::map<std::uint64_t, std::uint32_t> sessions;  // the stored list: session to mount id
};

class ServerProcess final : public common::sim::Process<SimMessage> {
 public:
  using Env = common::sim::Env<SimMessage>;
  using StreamId = common::sim::StreamId;
  using TimerKey = common::sim::TimerKey;

  ServerProcess(Env& env, ServerDisk& disk, Judge& judge, const Settings& settings);

  void start() override;
  void receive(NodeIndex from, const SimMessage& message) override;
  void wake(TimerKey key) override;
  void work(const common::sim::WorkItem& item) override;  // stop in order, and start again
  void receive_on(StreamId stream, const SimMessage& message) override;
  void stream_closed(StreamId stream) override;

  // Nothing waits, is marked, or is left of sessions that are over.
  [[nodiscard]] bool at_rest(std::size_t mounts) const;

 private:
  static constexpr TimerKey kCoreTimer = 1;
  static constexpr TimerKey kFirstJob = 16;

  struct Session {
    std::uint32_t mount = 0;  // its id
    StreamId stream = 0;
    bool has_stream = false;
    std::uint64_t resumed = 0;  // the newest resuming
  };
  // A read whose answer is on its way to the core.
  struct Reading {
    NodeIndex from = 0;
    SimMessage call;
    fileserver::ReadToken token = 0;
    Told told;
  };
  struct Changing {
    NodeIndex from = 0;
    SimMessage call;  // its newest copy
    Instant begun;
    Instant deadline;
    int extensions = 0;
    bool waiting = false;
    bool committed = false;
    std::array<Told, 2> written{};
  };

  void open(NodeIndex from, const SimMessage& message);
  void resume(NodeIndex from, const SimMessage& message);
  void fetch(NodeIndex from, const SimMessage& message);
  void answer_read(std::uint64_t job);
  void change(NodeIndex from, const SimMessage& message);
  void commit(std::uint64_t id);
  void end(std::uint64_t id);
  void hello(StreamId stream, const SimMessage& message);
  void carry_out();
  void carry_out_one(const fileserver::PromiseEffect& effect);
  void send_break(const fileserver::SendBreak& message);
  void send_update(const fileserver::SendUpdate& message);
  void session_over(SessionId session);
  void refuse(NodeIndex to, const SimMessage& call, Answer answer);
  void give_up(std::uint64_t id, Answer answer);
  void later(TimerKey job);
  void check_waits();
  void stop_if_clean();
  [[nodiscard]] std::vector<fileserver::Touched> touched_by(const SimMessage& call) const;
  [[nodiscard]] Told tell(std::uint32_t node) const;
  [[nodiscard]] Session* session_of(std::uint64_t id);

  Env& env_;
  ServerDisk& disk_;
  Judge& judge_;
  Settings settings_;
  std::chrono::milliseconds lease_{};
  std::chrono::milliseconds margin_{};
  std::uint64_t life_ = 0;
  Instant grace_end_;
  std::unique_ptr<fileserver::PromiseCore> core_;
  fileserver::PromiseEffects effects_;
  fileserver::PromiseEffects under_hand_;  // their memory is used again
  std::map<std::uint64_t, Session> sessions_;
  std::map<StreamId, std::uint64_t> streams_;  // to session
  // Of a mount id and the node that says it: number, session.
  std::map<std::pair<std::uint32_t, NodeIndex>, std::pair<std::uint64_t, std::uint64_t>> openings_;
  std::uint64_t next_session_ = 0;
  std::uint64_t next_job_ = kFirstJob;
  std::map<std::uint64_t, Reading> readings_;          // by job
  std::map<std::uint64_t, std::uint64_t> changes_of_;  // job to change
  std::map<std::uint64_t, Changing> changes_;          // by id
  std::map<std::uint64_t, std::uint64_t> by_op_;       // operation to change
  std::uint64_t next_change_ = 0;
  bool stopping_ = false;
};

}  // namespace promise_sim
