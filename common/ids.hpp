#pragma once

// Strong identifiers. A bare integer never crosses a function boundary where one of these fits.

#include <compare>
#include <cstdint>
#include <functional>

namespace common {

// A distinct integer type per Tag: comparable, hashable, never implicitly converted.
template <typename Tag, typename Rep = std::uint64_t>
struct StrongId {
  using rep = Rep;
  Rep value{};

  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep v) : value(v) {}
  friend constexpr auto operator<=>(StrongId, StrongId) = default;
};

using VolumeId = StrongId<struct VolumeTag, std::uint32_t>;
using NodeId = StrongId<struct NodeTag>;
using Seq = StrongId<struct SeqTag>;                    // position in a volume's commits
using Epoch = StrongId<struct EpochTag>;                // who may commit to a volume
using FencingToken = StrongId<struct FencingTokenTag>;  // grows with every lock grant
using SessionId = StrongId<struct SessionTag>;

// Names a node across the cell. A node id is never reused within its volume.
struct Fid {
  VolumeId volume;
  NodeId node;
  friend constexpr auto operator<=>(const Fid&, const Fid&) = default;
};

// 128 random bits chosen by whoever starts an operation; a retry carries the same ones.
struct OperationId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  friend constexpr auto operator<=>(const OperationId&, const OperationId&) = default;
};

}  // namespace common

template <typename Tag, typename Rep>
struct std::hash<common::StrongId<Tag, Rep>> {
  std::size_t operator()(common::StrongId<Tag, Rep> id) const noexcept {
    return std::hash<Rep>{}(id.value);
  }
};

template <>
struct std::hash<common::Fid> {
  std::size_t operator()(const common::Fid& fid) const noexcept {
    // Odd multiplier: neighbouring node ids of different volumes land in different buckets.
    return std::hash<std::uint64_t>{}(fid.node.value ^
                                      (std::uint64_t{fid.volume.value} * 0x9E3779B97F4A7C15ULL));
  }
};
