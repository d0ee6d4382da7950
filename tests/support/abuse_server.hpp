#pragma once

// The operations that abuse is tried on: service "abuse" of a call server.
//
//   count    how often "bait" has run            bait     counts itself; no honest caller asks it
//   echo     its bytes back, up to 1 MiB         sink     reads up to 2 GiB and forgets them
//   ignore   streamed, answers without reading   wait     until the call is cancelled or its time
//   is up private  needs a session                     node     needs a node certificate

#include <atomic>
#include <cstdint>

#include "common/rpc/operations.hpp"

namespace test_support {

struct AbuseCounts {
  std::atomic<std::uint64_t> baits{0};
  std::atomic<std::uint64_t> waiting{0};
};

// `counts` outlives the server.
common::rpc::OperationTable abuse_operations(AbuseCounts& counts);

}  // namespace test_support
