#pragma once

// The rules for one node, without paths and without I/O: mode bits as POSIX has them, access lists,
// what becomes of modes. Everything here is a function of its arguments.

#include "fileserver/access/acl_bytes.hpp"
#include "fileserver/access/caller.hpp"
#include "fileserver/access/verdict.hpp"

namespace fileserver::access {

using store::NodeKind;

inline constexpr std::uint32_t kSetUid = 04000;
inline constexpr std::uint32_t kSetGid = 02000;
inline constexpr std::uint32_t kSticky = 01000;

inline bool is_directory(const Attributes& node) {
  return node.kind == NodeKind::Directory;
}

// Whether the caller may have this of the node. `list` governs it (a directory's own, a file's
// home's; nullptr: none) and is that of directory `governor`.
[[nodiscard]] Verdict may(const Caller& caller, Need need, const Attributes& node, const Acl* list,
                          NodeId governor);

// Rights of rlidwka that a list gives the caller.
[[nodiscard]] std::uint8_t rights_of(const Caller& caller, const Acl& list);

// The same by mode bits alone: 4 read, 2 write, 1 execute or search.
[[nodiscard]] std::uint32_t class_bits(const Caller& caller, const Attributes& node);

// Owner, or made like one by `a`. An administrator is.
[[nodiscard]] Verdict may_own(const Caller& caller, const Attributes& node, const Acl* list,
                              NodeId governor);

// What everybody may, whoever he is, of the permission bits rwx.
[[nodiscard]] std::uint32_t everybodys_bits(const Attributes& node, const Acl* list);
// The bits that this caller has, by list or mode, administration included.
[[nodiscard]] std::uint32_t callers_bits(const Caller& caller, const Attributes& node,
                                         const Acl* list, NodeId governor);

// Owner, group and mode of a new node. Its list, if it is a directory: a copy of its parent's.
struct Birth {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t mode = 0;
  friend bool operator==(const Birth&, const Birth&) = default;
};
[[nodiscard]] Birth birth(const Caller& caller, const Attributes& directory, NodeKind kind,
                          std::uint32_t mode);

// The mode after a write or a change of length by this caller.
[[nodiscard]] std::uint32_t mode_after_write(const Caller& caller, const Attributes& node);
// After chmod to `mode`, with the group that the node has then.
[[nodiscard]] std::uint32_t mode_after_chmod(const Caller& caller, std::uint32_t mode,
                                             std::uint32_t gid);
// After chown or chgrp, also to what it was.
[[nodiscard]] std::uint32_t mode_after_chown(const Caller& caller, const Attributes& node);

// --- extended attributes ---

enum class XattrSpace : std::uint8_t { User, Trusted, Security, Server, Unknown };
[[nodiscard]] XattrSpace xattr_space(std::string_view name);
// Whether `xattrs` tells this caller of it. The server's own are told to nobody.
[[nodiscard]] bool is_told(const Caller& caller, std::string_view name);

}  // namespace fileserver::access
