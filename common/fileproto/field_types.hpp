#pragma once

// Numbers, words and letters as messages have them, in both directions. For the sources of this
// folder only.

#include <algorithm>
#include <chrono>
#include <limits>
#include <string_view>
#include <type_traits>

#include "common/fileproto/limits.hpp"
#include "common/ids.hpp"

namespace common::fileproto::codec {

// --- numbers ---

// Whole numbers, strong ids and milliseconds, as they travel.
template <typename T>
struct NumberOf {
  using Rep = T;
  static constexpr std::uint64_t kMost = static_cast<std::uint64_t>(std::numeric_limits<T>::max());
  static Rep get(const T& value) { return value; }
  static T make(Rep value) { return value; }
};
// What a database keeps as a signed number stays below 2^63.
template <typename Tag>
inline constexpr std::uint64_t kMostId = std::numeric_limits<std::int64_t>::max();
template <>
inline constexpr std::uint64_t kMostId<VolumeTag> = kMaxVolumeId;
template <>
inline constexpr std::uint64_t kMostId<NodeTag> = kMaxNodeId;
template <>
inline constexpr std::uint64_t kMostId<SessionTag> = std::numeric_limits<std::uint64_t>::max();
template <typename Tag, typename R>
struct NumberOf<StrongId<Tag, R>> {
  using Rep = R;
  static constexpr std::uint64_t kMost = kMostId<Tag>;
  static Rep get(const StrongId<Tag, R>& value) { return value.value; }
  static StrongId<Tag, R> make(Rep value) { return StrongId<Tag, R>(value); }
};
template <>
struct NumberOf<std::chrono::milliseconds> {
  using Rep = std::uint64_t;
  static constexpr std::uint64_t kMost = 24ULL * 3600 * 1000;  // no lease or wait is longer
  static Rep get(std::chrono::milliseconds value) { return static_cast<Rep>(value.count()); }
  static std::chrono::milliseconds make(Rep value) {
    return std::chrono::milliseconds(static_cast<std::int64_t>(value));
  }
};

template <typename E>
struct Word {
  E value;
  std::string_view text;
};

// Bits as letters, in the order in which they are written.
struct Letter {
  char letter = 0;
  std::uint8_t bit = 0;
};

}  // namespace common::fileproto::codec
