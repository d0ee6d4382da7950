#include "common/fileclient/operation_ids.hpp"

#include <algorithm>

#include "common/crypto/random.hpp"

namespace common::fileclient {

std::uint64_t operation_number(WallTime now, std::uint32_t random, std::uint64_t last) {
  constexpr unsigned kRandomBits = 20;
  constexpr std::uint64_t kRandomMask = (std::uint64_t{1} << kRandomBits) - 1;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  const auto time = static_cast<std::uint64_t>(std::max<std::int64_t>(ms.count(), 1));
  return std::max((time << kRandomBits) | (random & kRandomMask), last + 1);
}

OperationId OperationIds::next() {
  // Without randomness two processes could only meet within one millisecond.
  const auto random = crypto::random_u64();
  auto last = last_.lock();
  *last =
      operation_number(clock_.wall_now(), static_cast<std::uint32_t>(random.value_or(0)), *last);
  return {0, *last};
}

}  // namespace common::fileclient
