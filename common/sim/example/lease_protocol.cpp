#include "common/sim/example/lease_protocol.hpp"

#include <fmt/format.h>

#include <array>

#include "common/sim/random.hpp"

namespace common::sim::example {

std::uint64_t digest(const LeaseMessage& m) {
  std::uint64_t hash = static_cast<std::uint64_t>(m.kind);
  for (std::uint64_t field :
       {m.token, m.op, static_cast<std::uint64_t>(m.sent_at), m.version, m.value, m.ticket}) {
    hash = mix(hash, field);
  }
  return hash;
}

std::string describe(const LeaseMessage& m) {
  constexpr std::array<std::string_view, 11> kNames = {"Acquire", "Granted", "Renew", "Renewed",
                                                       "Lost",    "Release", "Fence", "Value",
                                                       "Write",   "Written", "Stale"};
  std::string text(kNames[static_cast<std::size_t>(m.kind)]);
  if (m.token != 0)
    text += fmt::format(" token {}", m.token);
  if (m.op != 0)
    text += fmt::format(" op {:04x}", m.op & 0xFFFF);
  if (m.sent_at != 0)
    text += fmt::format(" sent_at {:.6f}", static_cast<double>(m.sent_at) / 1e9);
  if (m.version != 0 || m.value != 0)
    text += fmt::format(" version {} value {}", m.version, m.value);
  return text;
}

std::vector<std::string> lease_bug_names() {
  std::vector<std::string> names = {"lease-from-reply-time",
                                    "reply-to-any-attempt",
                                    "no-expiry-check",
                                    "monotonic-clock",
                                    "no-margin",
                                    "wall-clock-lease",
                                    "no-grace",
                                    "token-not-reserved",
                                    "duplicate-grant",
                                    "renew-without-check",
                                    "release-without-check",
                                    "stale-token-accepted",
                                    "floor-not-raised",
                                    "floor-not-stored",
                                    "ack-before-stable",
                                    "ops-not-stored",
                                    "sync-error-retried",
                                    "torn-record-trusted",
                                    "recover-in-place",
                                    "rename-without-sync"};
  static_assert(static_cast<std::size_t>(LeaseBug::RenameWithoutSync) + 1 == kLeaseBugs);
  return names;
}

}  // namespace common::sim::example
