#pragma once

// Knows the truth of a run, in true time, and judges outcomes only: what was committed, what users
// were told, and what a mount would answer by itself right now.

#include <array>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/sim/world.hpp"
#include "tests/support/promises/sim_protocol.hpp"

namespace promise_sim {

using common::sim::Observer;
using common::sim::TrueTime;

// The newest committed version of each register.
using Newest = std::array<std::uint64_t, kRegisters>;
// What a mount would say of a register.
struct Old {
  std::uint32_t node = 0;
  std::uint64_t version = 0;
};

class Judge {
 public:
  // One of `nodes` (a bit for each) for which a mount would answer without asking, and with a
  // version before the newest.
  using WouldAnswer =
      std::function<std::optional<Old>(NodeIndex mount, std::uint32_t nodes, const Newest& newest)>;

  void begin(Observer observer, std::uint32_t mounts, WouldAnswer would_answer);

  // The server has committed `op`, which has written these registers.
  void committed(std::uint64_t op, const std::array<Told, 2>& written);
  // G1, after each step of a mount: nothing old is trusted.
  void trusts(NodeIndex mount) { trusts(mount, kAllRegisters); }
  // A user was told.
  void read_done(NodeIndex mount, const Told& read, TrueTime began);
  void change_done(NodeIndex mount, std::uint64_t op, const std::array<Told, 2>& written,
                   TrueTime began);
  // The server waits with a change of a healthy cell for longer than it ever should.
  void waits_too_long(std::string text) { violate(std::move(text)); }
  void violate(std::string text) { observer_->violate(std::move(text)); }

  [[nodiscard]] std::uint64_t version_of(std::uint32_t node) const {
    return registers_[node].versions.size();
  }
  [[nodiscard]] TrueTime now() const { return observer_->now(); }

 private:
  struct Completed {
    TrueTime at{};
    std::uint64_t version = 0;  // the newest that anybody was told of until then
  };
  struct Register {
    std::vector<std::uint64_t> versions;  // [i]: the op that made version i + 1
    std::vector<Completed> completed;
  };
  void trusts(NodeIndex mount, std::uint32_t nodes);
  [[nodiscard]] std::uint64_t floor(std::uint32_t node, TrueTime began) const;
  void complete(std::uint32_t node, std::uint64_t version);

  std::optional<Observer> observer_;
  std::uint32_t mounts_ = 0;
  WouldAnswer would_answer_;
  std::array<Register, kRegisters> registers_;
  Newest newest_{};  // as registers_
  std::set<std::uint64_t> ops_;
};

}  // namespace promise_sim
