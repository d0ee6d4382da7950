#pragma once

// Everything that operations use, by its name.

#include "common/clock.hpp"

namespace fileserver {

class ChangePipeline;
class PromiseKeeper;
class Sessions;
class VolumeSet;

// Owned by the service; outlives every call.
struct FileParts {
  const common::Clock& clock;
  VolumeSet& volumes;
  Sessions& sessions;
  PromiseKeeper& keeper;
  ChangePipeline& pipeline;
};

}  // namespace fileserver
