#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/sim/example/lease_client.hpp"
#include "common/sim/example/lease_protocol.hpp"
#include "common/sim/example/lease_store.hpp"
#include "common/sim/world.hpp"

namespace common::sim::example {

// Knows the truth of a run of the lease protocol, and calls out lies. It sees effects as they take
// effect, in true time, and judges outcomes only: not how a core reached them.
class LeaseJudge {
 public:
  void begin(Observer observer) { observer_.emplace(observer); }

  // The grantor has sent a grant.
  void granted(PeerId client, const LeaseMessage& grant);
  // The store has changed the counter, in memory.
  void applied(const LeaseStore::Applied& applied);
  // The store has told somebody of this state, so it must not be lost.
  void told(const LeaseMessage& message);
  // The store has restarted with this.
  void recovered(const std::vector<LeaseStore::Record>& log);
  // A client has told its user.
  void acknowledged(const LeaseClient::Acknowledged& ack);
  // `holders`: the clients that would act on the lock right now.
  void believed(const std::vector<PeerId>& holders);

  [[nodiscard]] bool is_acknowledged(std::uint64_t ticket) const {
    return acknowledged_.contains(ticket);
  }

 private:
  void violate(std::string text);

  std::optional<Observer> observer_;
  std::map<Token, std::pair<PeerId, LeaseOp>> grants_;
  std::vector<LeaseStore::Applied> applied_;  // [i] made version i + 1
  std::set<std::uint64_t> acknowledged_;
  std::uint64_t told_version_ = 0;
  Token told_floor_ = 0;
};

}  // namespace common::sim::example
