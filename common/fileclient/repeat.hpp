#pragma once

// When a call of the file service is made again: PROTOCOL.md 6 as one pure function.

#include <optional>

#include "common/clock.hpp"
#include "common/rpc/client.hpp"

namespace common::fileclient {

struct Attempt {
  std::size_t number = 1;    // of the one that has ended
  bool by_ticket = false;    // an earlier one was repeated because of its ticket
  bool jitter_free = false;  // for tests: the pause without its random part
};

// How long to wait before the next attempt; nullopt: what came back stands. Whether there is time
// and budget is the caller's to know. Every call of the file service may be repeated after an
// unknown outcome: those that change something carry an id, the others do no harm.
[[nodiscard]] std::optional<Duration> pause_before_repeat(const rpc::CallResult& result,
                                                          const Attempt& attempt);

// The call was refused because the caller's ticket has ended, and not for what it asked.
[[nodiscard]] bool is_ticket_refusal(const rpc::CallResult& result);

}  // namespace common::fileclient
