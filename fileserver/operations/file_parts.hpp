#pragma once

// Everything that operations use, by its name.

#include <memory>
#include <string>

#include "common/clock.hpp"
#include "fileserver/access/path_cache.hpp"
#include "fileserver/operations/allowance.hpp"

namespace fileserver {

class ChangePipeline;
class DisabledList;
class DumpTable;
class LoadTable;
class PromiseKeeper;
class Sessions;
class VolumeSet;

// Owned by the service; outlives every call.
struct FileParts {
  const common::Clock& clock;
  const std::string cell;  // its id
  VolumeSet& volumes;
  Sessions& sessions;
  PromiseKeeper& keeper;
  ChangePipeline& pipeline;
  access::PathCache& paths;
  // nullptr: nothing is dumped, or loaded, here.
  DumpTable* dumps = nullptr;
  LoadTable* loads = nullptr;
  // nullptr: nobody says who is disabled, so tickets are good until their end.
  const DisabledList* disabled = nullptr;
  std::shared_ptr<Allowances> allowances = std::make_shared<Allowances>(clock);
};

}  // namespace fileserver
