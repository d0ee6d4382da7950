#pragma once

// What the other side of a TLS session has proved about itself.

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "common/clock.hpp"

namespace common::tls {

// A certificate that chained to the cell's authority. Plain values: may be copied and kept.
struct PeerCertificate {
  std::string name;  // common name; for people and logs, never for decisions
  // From its URI name "troth://<cell-id>/<role>/<name>" or "troth:<role>"; empty if it has none.
  std::string role;
  std::vector<std::string> dns_names;
  std::vector<std::string> uris;
  WallTime not_before{};
  WallTime not_after{};
  std::array<std::byte, 32> fingerprint{};  // SHA-256 of the DER form
};

}  // namespace common::tls
