#pragma once

#include "common/metrics/registry.hpp"

namespace common::metrics {

// What this process takes from the machine, at this moment. A value that cannot be read is 0.
struct ProcessUsage {
  double resident_bytes = 0;
  double virtual_bytes = 0;
  double cpu_seconds = 0;
  double start_time_seconds = 0;  // since 1970
  double threads = 0;
  double open_fds = 0;
  double max_fds = 0;
};
ProcessUsage read_process_usage();

// Registers the usual process_* metrics, read from the kernel at each rendering.
void add_process_metrics(Registry& registry);

}  // namespace common::metrics
