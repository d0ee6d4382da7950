#pragma once

// Ids in binary messages, within the same bounds as in JSON. For the sources of this folder only.

#include <limits>

#include "common/fileproto/limits.hpp"
#include "common/ids.hpp"
#include "common/wire/binary.hpp"

namespace common::fileproto::codec {

inline Result<NodeId> take_node(wire::BinaryReader& in) {
  TROTH_TRY(const std::uint64_t value, in.u64());
  if (value > kMaxNodeId)
    return fail(ErrorCode::Protocol, "{} is no node id", value);
  return NodeId(value);
}

inline Result<VolumeId> take_volume(wire::BinaryReader& in) {
  TROTH_TRY(const std::uint32_t value, in.u32());
  if (value > kMaxVolumeId)
    return fail(ErrorCode::Protocol, "{} is no volume id", value);
  return VolumeId(value);
}

inline Result<Fid> take_fid(wire::BinaryReader& in) {
  Fid fid;
  TROTH_TRY(fid.volume, take_volume(in));
  TROTH_TRY(fid.node, take_node(in));
  if (fid.volume.value == 0 || fid.node.value == 0)
    return fail(ErrorCode::Protocol, "0 is no volume or node");
  return fid;
}

inline Result<Seq> take_seq(wire::BinaryReader& in) {
  TROTH_TRY(const std::uint64_t value, in.u64());
  if (value > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
    return fail(ErrorCode::Protocol, "{} is no seq", value);
  return Seq(value);
}

inline Result<Epoch> take_epoch(wire::BinaryReader& in) {
  TROTH_TRY(const Seq seq, take_seq(in));
  return Epoch(seq.value);
}

}  // namespace common::fileproto::codec
