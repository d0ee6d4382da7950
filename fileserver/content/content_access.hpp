#pragma once

// Files whose bytes a call may have or change: by rights, or because its caller has them open.

#include <vector>

#include "fileserver/content/stagings.hpp"
#include "fileserver/operations/file_change.hpp"

namespace fileserver {

// What the handles that a caller has on a file allow him, and which versions they pin; nothing in
// the past.
struct HeldFile {
  bool read = false;
  bool write = false;
  std::vector<common::Seq> versions;
};
[[nodiscard]] HeldFile held_file(CallView& view, NodeId node);
// Of a change, which looks more than once: looked up before its transaction, for there may be many.
void look_up_held(StepLook& look, NodeId node, HeldFile& held);

// Whose a call's stagings are.
[[nodiscard]] Result<StagingOwner> staging_owner(const FileCall& call, const HandleOwner& owner);

// EISDIR, EINVAL.
[[nodiscard]] Status must_be_file(const store::Attributes& node);

// A file that the caller may fetch, or has open for reading. ENOENT as CallView::node.
[[nodiscard]] Result<store::Attributes> readable_file(CallView& view, const HeldFile& held,
                                                      NodeId id);
// Likewise one that he may store.
[[nodiscard]] Result<store::Attributes> storable_file(CallView& view, const HeldFile& held,
                                                      NodeId id);
// The same of a change. Stale (Gone): its names are gone, so that nobody would find the
// bytes. InvalidArgument: an earlier change of the batch writes it already.
[[nodiscard]] Result<store::Attributes> writable_file(StepLook& look, const HeldFile& held,
                                                      NodeId id);

// Bytes of a file, names of a directory, anything else's attributes.
[[nodiscard]] Status may_read(access::Judge& judge, CallView& view, const store::Attributes& node);

// Reading the past needs the right now, which has been judged, and then (R27): while what he asks
// for was the present version, or a handle of his that pins it.
[[nodiscard]] Status may_read_past(CallView& view, const HeldFile& held, NodeId node,
                                   common::Seq version);
// What is told of a node by a call that reads as of a seq (`at`).
enum class Told : std::uint8_t { Attributes, Names, Bytes };  // names: in this directory
// Only that moment has been judged: the right now (R27). What has no name any more: as it was when
// it had one last, by whoever may list what there is now of the directories that it was in.
[[nodiscard]] Status may_read_now(CallView& now, NodeId node, Told told);
// The same in a view of its own; nothing for a call that reads what is there now.
[[nodiscard]] Status judge_now(FileCall& call, const VolumeRef& volume,
                               const fileproto::Scope& scope, NodeId node, Told told);
// Whether he might have read a version of it when that was the present one.
[[nodiscard]] bool might_read_then(CallView& view, const store::NodeVersion& version);

// The content of a version; Expired says that it is the past that is not retained.
[[nodiscard]] Result<store::Content> past_content(const VolumeRef& volume, NodeId node,
                                                  common::Seq version);

// EPERM unless the caller may do everything with the volume.
[[nodiscard]] Status must_administer_volume(const CallView& view);

}  // namespace fileserver
