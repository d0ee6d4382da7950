#pragma once

// How many calls of each class are in flight, and how many may be. Internal to the server.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <limits>

#include "common/rpc/operations.hpp"
#include "common/rpc/server.hpp"

namespace common::rpc {

struct InFlight {
  std::array<std::atomic<std::size_t>, 3> counts{};

  [[nodiscard]] std::atomic<std::size_t>& of(OperationClass kind) {
    return counts[static_cast<std::size_t>(kind)];
  }
  [[nodiscard]] static std::size_t cap(const ServerLimits& limits, OperationClass kind) {
    switch (kind) {
      case OperationClass::Control:
        return std::numeric_limits<std::size_t>::max();
      case OperationClass::Metadata:
        return limits.metadata_in_flight != 0 ? limits.metadata_in_flight
                                              : std::max<std::size_t>(limits.threads / 2, 1);
      case OperationClass::Bulk:
        return limits.bulk_in_flight != 0 ? limits.bulk_in_flight
                                          : std::max<std::size_t>(limits.threads * 3 / 8, 1);
    }
    return 1;
  }
};

}  // namespace common::rpc
