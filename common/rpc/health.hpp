#pragma once

#include <string>

namespace common::rpc {

// Whether a server can do its work now, and if not, why: one sentence.
struct HealthReport {
  bool ready = true;
  std::string message;
};

}  // namespace common::rpc
