#pragma once

// Files whose bytes a call may have or change: by rights, or because its caller has them open.

#include <vector>

#include "fileserver/operations/file_change.hpp"

namespace fileserver {

// What the handles that a caller has on a file allow him, and which versions they pin.
struct HeldFile {
  bool read = false;
  bool write = false;
  std::vector<common::Seq> versions;
};
[[nodiscard]] HeldFile held_file(FileCall& call, common::Fid fid);

// EISDIR, EINVAL.
[[nodiscard]] Status must_be_file(const store::Attributes& node);

// A file that the caller may fetch, or has open for reading. ENOENT as CallView::node.
[[nodiscard]] Result<store::Attributes> readable_file(CallView& view, const HeldFile& held,
                                                      NodeId id);
// Likewise one that he may store. Stale (Gone): its names are gone, so that nobody would find the
// bytes. InvalidArgument: an earlier change of the batch writes it already.
[[nodiscard]] Result<store::Attributes> writable_file(StepLook& look, const HeldFile& held,
                                                      NodeId id);

// Bytes of a file, names of a directory, anything else's attributes.
[[nodiscard]] Status may_read(access::Judge& judge, CallView& view, const store::Attributes& node);

// Reading the past needs the right now, which has been judged, and then (R27): while what he asks
// for was the present version, or a handle of his that pins it.
[[nodiscard]] Status may_read_past(CallView& view, const HeldFile& held, NodeId node,
                                   common::Seq version);
// Of a call that reads as of a seq (`at`), where only that moment has been judged: the right now.
// What is gone by now: whoever may list the directory that it was in.
[[nodiscard]] Status may_read_now(CallView& now, const store::Attributes& then);

// The content of a version; Expired says that it is the past that is not retained.
[[nodiscard]] Result<store::Content> past_content(const VolumeRef& volume, NodeId node,
                                                  common::Seq version);

// EPERM unless the caller may do everything with the volume.
[[nodiscard]] Status must_administer_volume(const CallView& view);

}  // namespace fileserver
