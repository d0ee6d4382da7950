#include "common/rpc/handshake_queue.hpp"

namespace common::rpc {
namespace {

// Out of so many turns one is a stranger's even while known addresses wait.
constexpr unsigned kStrangersTurn = 4;

}  // namespace

void HandshakeQueue::push(const std::string& unit, bool known, std::uint64_t id) {
  Lane& lane = lanes_[known ? 1 : 0];
  const auto [place, is_new] = lane.waiting.try_emplace(unit);
  try {
    place->second.push_back(id);
    if (is_new)
      lane.turns.push_back(&place->first);
  } catch (...) {
    if (is_new)
      lane.waiting.erase(place);
    throw;
  }
}

std::uint64_t HandshakeQueue::take(Lane& lane) noexcept {
  const std::string* unit = lane.turns.front();
  lane.turns.pop_front();
  const auto place = lane.waiting.find(*unit);
  const std::uint64_t id = place->second.front();
  place->second.pop_front();
  if (place->second.empty()) {
    lane.waiting.erase(place);
  } else {
    // Room for one was just given up; if the queue needs a new block all the same and there is no
    // memory, this address keeps its place at the front.
    try {
      lane.turns.push_back(unit);
    } catch (...) {
      lane.turns.push_front(unit);
    }
  }
  return id;
}

std::optional<std::uint64_t> HandshakeQueue::pop() noexcept {
  if (empty())
    return std::nullopt;
  const bool strangers = ++turn_ % kStrangersTurn == 0;
  const bool take_known = !lanes_[1].turns.empty() && (!strangers || lanes_[0].turns.empty());
  return take(lanes_[take_known ? 1 : 0]);
}

}  // namespace common::rpc
