#pragma once

// Planted bugs: mutations that a protocol core carries on purpose, so that its tests can prove that
// they would find them. A test suite that passes with the bug in place proves nothing.
//
//   enum class LeaseBug { NoMargin, ... };                       // one enum per protocol
//   struct Options { Duration ttl; sim::BugSet<LeaseBug> bugs; };  // empty in production
//   if (!options_.bugs.has(LeaseBug::NoMargin)) end += margin;
//
// A build without tests defines TROTH_NO_PLANTED_BUGS: has() is then a constant false and the
// branch is gone from the program.

#include <cstdint>

namespace common::sim {

template <typename Bug>
class BugSet {
 public:
  constexpr BugSet() = default;
  // Bit i plants the enumerator with value i; at most 64 bugs per protocol.
  static constexpr BugSet from_mask(std::uint64_t mask) {
    BugSet set;
    set.mask_ = mask;
    return set;
  }
  static constexpr BugSet only(Bug bug) {
    return from_mask(std::uint64_t{1} << static_cast<std::uint64_t>(bug));
  }

#ifdef TROTH_NO_PLANTED_BUGS
  [[nodiscard]] constexpr bool has(Bug) const {
    return false;
  }
#else
  [[nodiscard]] constexpr bool has(Bug bug) const {
    return (mask_ >> static_cast<std::uint64_t>(bug) & 1) != 0;
  }
#endif

 private:
  std::uint64_t mask_ = 0;
};

}  // namespace common::sim
