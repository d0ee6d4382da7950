#include "common/sim/example/lease_judge.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace common::sim::example {

using Kind = LeaseMessage::Kind;

void LeaseJudge::violate(std::string text) {
  observer_->violate(std::move(text));
}

void LeaseJudge::granted(PeerId client, const LeaseMessage& grant) {
  const auto [entry, fresh] = grants_.try_emplace(grant.token, client, grant.op);
  if (!fresh && entry->second != std::pair(client, grant.op)) {
    return violate(fmt::format("token {} was granted twice: to n{} and to n{}", grant.token,
                               entry->second.first, client));
  }
  if (fresh && grants_.rbegin()->first != grant.token) {
    violate(
        fmt::format("token {} was granted after token {}", grant.token, grants_.rbegin()->first));
  }
}

void LeaseJudge::applied(const LeaseStore::Applied& now) {
  const LeaseMessage& write = now.write;
  if (write.token < told_floor_) {
    return violate(fmt::format("a write with token {} took effect after token {} had read",
                               write.token, told_floor_));
  }
  if (write.version != applied_.size() || now.version != applied_.size() + 1) {
    return violate(fmt::format("an update was lost: written over version {}, read at version {}",
                               applied_.size(), write.version));
  }
  const bool again = std::any_of(applied_.begin(), applied_.end(),
                                 [&](const auto& old) { return old.write.ticket == write.ticket; });
  if (again)
    return violate(fmt::format("request {} took effect twice", write.ticket));
  applied_.push_back(now);
}

void LeaseJudge::told(const LeaseMessage& message) {
  told_version_ = std::max(told_version_, message.version);
  if (message.kind == Kind::Value)
    told_floor_ = std::max(told_floor_, message.token);
}

void LeaseJudge::recovered(const std::vector<LeaseStore::Record>& log) {
  const LeaseStore::Record last = log.empty() ? LeaseStore::Record{} : log.back();
  if (last.version < told_version_) {
    return violate(fmt::format("the store came back with version {}, but had told of version {}",
                               last.version, told_version_));
  }
  if (last.version > applied_.size()) {
    return violate(
        fmt::format("the store came back with version {}, which was never written", last.version));
  }
  applied_.resize(last.version);
  if (!applied_.empty() && applied_.back().write.value != last.value) {
    violate(fmt::format("the store came back with value {} instead of {}", last.value,
                        applied_.back().write.value));
  }
}

void LeaseJudge::acknowledged(const LeaseClient::Acknowledged& ack) {
  acknowledged_.insert(ack.ticket);
  const bool there = std::any_of(applied_.begin(), applied_.end(), [&](const auto& write) {
    return write.write.ticket == ack.ticket;
  });
  if (!there)
    violate(fmt::format("request {} was acknowledged but is not in the store", ack.ticket));
}

void LeaseJudge::believed(const std::vector<PeerId>& holders) {
  if (holders.size() > 1) {
    violate(
        fmt::format("n{} and n{} both believe that they hold the lock", holders[0], holders[1]));
  }
}

}  // namespace common::sim::example
