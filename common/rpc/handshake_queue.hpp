#pragma once

// Whose turn it is to shake hands. Fair by address: each address that waits gets one turn after the
// other, so that one which dials a thousand times delays another by one handshake and not by a
// thousand. Addresses that are known to call as they should go first, three turns out of four.
// Pure; not thread-safe. Internal to the server.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>

namespace common::rpc {

class HandshakeQueue {
 public:
  // `unit` is Origin::cap_unit. The caller bounds how many wait: here it is the table's caps.
  // Throws bad_alloc, and then nothing has been queued.
  void push(const std::string& unit, bool known, std::uint64_t id);
  [[nodiscard]] std::optional<std::uint64_t> pop() noexcept;
  [[nodiscard]] bool empty() const { return lanes_[0].turns.empty() && lanes_[1].turns.empty(); }

 private:
  struct Lane {
    std::unordered_map<std::string, std::deque<std::uint64_t>> waiting;  // never an empty queue
    std::deque<const std::string*> turns;  // keys of `waiting`, once each
  };
  static std::uint64_t take(Lane& lane) noexcept;

  std::array<Lane, 2> lanes_;  // strangers, known
  unsigned turn_ = 0;
};

}  // namespace common::rpc
