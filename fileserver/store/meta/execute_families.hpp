#pragma once

// The operations by family. Each checks, changes, and fills in what the caller left to the store;
// the node it made is returned, else 0. Internal to the store.

#include "fileserver/store/meta/changes.hpp"

namespace fileserver::store {

// `position` of the operation in its commit.
[[nodiscard]] Result<NodeId> execute_create(Changes& changes, Create& op, std::size_t position);
[[nodiscard]] Status execute_link(Changes& changes, const Link& op);
[[nodiscard]] Status execute_unlink(Changes& changes, Unlink& op);
[[nodiscard]] Status execute_remove_directory(Changes& changes, const RemoveDirectory& op);
[[nodiscard]] Status execute_rename(Changes& changes, Rename& op);

[[nodiscard]] Status execute_set_content(Changes& changes, const SetContent& op,
                                         std::size_t position);
// As it is to be recorded.
[[nodiscard]] Result<SetContent> execute_append_tail(Changes& changes, const AppendTail& op,
                                                     std::size_t position);
[[nodiscard]] Status execute_set_attributes(Changes& changes, SetAttributes& op);
[[nodiscard]] Status execute_set_xattr(Changes& changes, const SetXattr& op);
[[nodiscard]] Status execute_remove_xattr(Changes& changes, const RemoveXattr& op);
[[nodiscard]] Status execute_reap(Changes& changes, const Reap& op);

[[nodiscard]] Status execute_set_setting(Changes& changes, const SetSetting& op);
[[nodiscard]] Status execute_create_snapshot(Changes& changes, CreateSnapshot& op);
[[nodiscard]] Status execute_delete_snapshot(Changes& changes, const DeleteSnapshot& op);
[[nodiscard]] Status execute_raise_fence(Changes& changes, const RaiseFence& op);
[[nodiscard]] Status execute_reserve(Changes& changes, const Reserve& op);
[[nodiscard]] Status execute_begin_epoch(Changes& changes, const BeginEpoch& op);

// Whether a session has a version of it open, or a mount keeps it.
[[nodiscard]] Result<bool> is_held(Changes& changes, NodeId node);
// The last name of the node has gone: it ends, unless a session holds it (or the record says so).
[[nodiscard]] Status end_or_keep(Changes& changes, Changes::Node& node, bool& keep_orphan);

}  // namespace fileserver::store
