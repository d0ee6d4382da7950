#pragma once

// Under which ids changes are made outside of sessions (PROTOCOL.md 3): the server knows the caller
// by his name, and the number grows with time.

#include <cstdint>

#include "common/clock.hpp"
#include "common/ids.hpp"
#include "common/sync/locked.hpp"

namespace common::fileclient {

// Milliseconds since 1970 * 2^20 + 20 random bits, and always above the last one given. Any thread.
class OperationIds {
 public:
  explicit OperationIds(const Clock& clock) : clock_(clock) {}
  [[nodiscard]] OperationId next();

 private:
  const Clock& clock_;
  Locked<std::uint64_t> last_;
};

// What next() makes of the time, 20 random bits and the last number. Pure.
[[nodiscard]] std::uint64_t operation_number(WallTime now, std::uint32_t random,
                                             std::uint64_t last);

}  // namespace common::fileclient
