#include "fileserver/operations/describe.hpp"

namespace fileserver {

fileproto::VolumeState state_of(const VolumeRef& volume, std::uint64_t grant_clock) {
  fileproto::VolumeState state;
  state.epoch = volume->epoch();
  state.stable = volume->stable_seq();
  if (grant_clock != 0)
    state.grants = grant_clock;
  return state;
}

fileproto::Attributes describe(const store::Attributes& node, const VolumeEntry& volume) {
  fileproto::Attributes out;
  out.node = node.node;
  out.kind = static_cast<fileproto::NodeKind>(node.kind);
  out.mode = node.mode;
  out.uid = node.uid;
  out.gid = node.gid;
  out.links = node.links;
  out.size = node.size;
  out.allocated = node.allocated;
  out.mtime = node.mtime;
  out.ctime = node.ctime;
  out.atime = node.atime;
  out.device = node.device;
  out.version = node.version;
  out.data_version = node.data_version;
  out.home = node.home;
  if (!volume.attachments.empty()) {
    if (const auto attached = volume.attachments.find(node.node);
        attached != volume.attachments.end())
      out.attached = attached->second;
  }
  return out;
}

Result<fileproto::Attributes> describe(const store::Attributes& node, CallView& view) {
  fileproto::Attributes out = describe(node, view.volume().entry());
  TROTH_TRY(out.governed, view.governed(node));
  return out;
}

void grant(ReadGrants& grants, VolumeId volume, std::span<fileproto::Attributes* const> nodes) {
  std::vector<common::Fid> fids;
  fids.reserve(nodes.size());
  for (const fileproto::Attributes* node : nodes)
    fids.push_back({volume, node->node});
  const std::vector<bool> promised = grants.give(fids);
  for (std::size_t i = 0; i < nodes.size(); ++i)
    nodes[i]->granted = promised[i];
}

}  // namespace fileserver
