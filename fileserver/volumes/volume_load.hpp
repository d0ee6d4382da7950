#pragma once

// A volume that is being made of a dump, or brought forward by one (DUMP.md).

#include "common/bytes.hpp"
#include "fileserver/volumes/volume_set.hpp"

namespace fileserver {

// One thread at a time. Destroyed without finish(): a new volume has never been; a copy stands at
// the last commit that came whole. May not outlive the set that gave it.
class VolumeLoad {
 public:
  VolumeLoad() = default;
  VolumeLoad(const VolumeLoad&) = delete;
  VolumeLoad& operator=(const VolumeLoad&) = delete;
  virtual ~VolumeLoad() = default;

  // The next bytes of the stream; fails as dump::Loader does.
  [[nodiscard]] virtual common::Status feed(common::ByteView bytes) = 0;
  // After the last: verified, stable and there for everybody. Protocol: the dump was cut off.
  struct Loaded {
    VolumeId volume;
    common::Seq seq;
  };
  [[nodiscard]] virtual common::Result<Loaded> finish() = 0;
};

}  // namespace fileserver
