#pragma once

// What replies say of volumes and nodes.

#include <span>
#include <vector>

#include "common/fileproto/reads.hpp"
#include "fileserver/operations/call_view.hpp"

namespace fileserver {

[[nodiscard]] fileproto::VolumeState state_of(const VolumeRef& volume, std::uint64_t grant_clock);

// Without what has to be asked of the volume: whether a list governs it.
[[nodiscard]] fileproto::Attributes describe(const store::Attributes& node,
                                             const VolumeEntry& volume);
// The whole.
[[nodiscard]] Result<fileproto::Attributes> describe(const store::Attributes& node, CallView& view);

// Fills in what is promised with a reply. Nodes with id 0 are none.
void grant(ReadGrants& grants, VolumeId volume, std::span<fileproto::Attributes* const> nodes);

}  // namespace fileserver
