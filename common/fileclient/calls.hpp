#pragma once

// The calls of the file service as types: for each message its operation, its result, the volume it
// is about, and whether it changes something. fileserver/PROTOCOL.md 3 is the list.

#include <string_view>

#include "common/fileproto/changes.hpp"
#include "common/fileproto/contents.hpp"
#include "common/fileproto/reads.hpp"

namespace common::fileclient {

template <typename Args>
struct CallOf;

#define TROTH_FILE_CALL(Name, ArgsType, ResultType, volume_expression)                    \
  template <>                                                                             \
  struct CallOf<fileproto::ArgsType> {                                                    \
    using Result = fileproto::ResultType;                                                 \
    static constexpr std::string_view kName = Name;                                       \
    static VolumeId volume(const fileproto::ArgsType& args) { return volume_expression; } \
  }

TROTH_FILE_CALL("lookup", LookupArgs, LookupResult, args.dir.volume);
TROTH_FILE_CALL("walk", WalkArgs, WalkResult, args.from.volume);
TROTH_FILE_CALL("getattr", GetattrArgs, GetattrResult, args.fids.at(0).volume);
TROTH_FILE_CALL("access", AccessArgs, AccessResult, args.fid.volume);
TROTH_FILE_CALL("list", ListArgs, ListResult, args.dir.volume);
TROTH_FILE_CALL("revalidate", RevalidateArgs, RevalidateResult, args.nodes.at(0).fid.volume);
TROTH_FILE_CALL("readlink", ReadlinkArgs, ReadlinkResult, args.fid.volume);
TROTH_FILE_CALL("xattr", XattrArgs, XattrResult, args.fid.volume);
TROTH_FILE_CALL("xattrs", XattrsArgs, XattrsResult, args.fid.volume);
TROTH_FILE_CALL("acl", AclArgs, AclResult, args.fid.volume);
TROTH_FILE_CALL("history", HistoryArgs, HistoryResult, args.fid.volume);
TROTH_FILE_CALL("seq-at", SeqAtArgs, SeqAtResult, args.volume);
TROTH_FILE_CALL("statfs", StatfsArgs, StatfsResult, args.volume);
TROTH_FILE_CALL("whynot", WhynotArgs, WhynotResult, args.fid.volume);
TROTH_FILE_CALL("fsync", FsyncArgs, FsyncResult, args.volume);
TROTH_FILE_CALL("fence", FenceArgs, FenceResult, args.fid.volume);
TROTH_FILE_CALL("lock-permit", LockPermitArgs, LockPermitResult, args.fid.volume);
TROTH_FILE_CALL("open", OpenArgs, OpenResult, args.fid.volume);
TROTH_FILE_CALL("reopen", ReopenArgs, ReopenResult,
                args.rest ? *args.rest : args.handles.at(0).fid.volume);
TROTH_FILE_CALL("release", ReleaseArgs, Done, args.volume);
TROTH_FILE_CALL("reserve", ReserveArgs, ReserveResult, args.volume);
TROTH_FILE_CALL("node-ids", NodeIdsArgs, NodeIdsResult, args.volume);
TROTH_FILE_CALL("stage-open", StageOpenArgs, StageResult, args.volume);
TROTH_FILE_CALL("stage-state", StageStateArgs, StageResult, args.staging.volume);
TROTH_FILE_CALL("stage-drop", StageDropArgs, Done, args.staging.volume);

// --- changes ---

template <typename C>
struct CallNameOf;

#define TROTH_FILE_CHANGE(Name, Type, volume_expression)     \
  template <>                                                \
  struct CallNameOf<fileproto::Type> {                       \
    static constexpr std::string_view kName = Name;          \
  };                                                         \
  inline VolumeId volume_of(const fileproto::Type& change) { \
    return volume_expression;                                \
  }                                                          \
  static_assert(true)

TROTH_FILE_CHANGE("create", Create, change.made.dir.volume);
TROTH_FILE_CHANGE("mkdir", Mkdir, change.made.dir.volume);
TROTH_FILE_CHANGE("mknod", Mknod, change.made.dir.volume);
TROTH_FILE_CHANGE("symlink", Symlink, change.made.dir.volume);
TROTH_FILE_CHANGE("link", Link, change.dir.volume);
TROTH_FILE_CHANGE("unlink", Unlink, change.dir.volume);
TROTH_FILE_CHANGE("rmdir", Rmdir, change.dir.volume);
TROTH_FILE_CHANGE("rename", Rename, change.dir.volume);
TROTH_FILE_CHANGE("setattr", Setattr, change.fid.volume);
TROTH_FILE_CHANGE("set-xattr", SetXattr, change.fid.volume);
TROTH_FILE_CHANGE("remove-xattr", RemoveXattr, change.fid.volume);
TROTH_FILE_CHANGE("set-acl", SetAcl, change.fid.volume);
TROTH_FILE_CHANGE("store", Store, change.fid.volume);
TROTH_FILE_CHANGE("append", Append, change.fid.volume);
TROTH_FILE_CHANGE("allocate", Allocate, change.fid.volume);
TROTH_FILE_CHANGE("copy-range", CopyRange, change.to.volume);
TROTH_FILE_CHANGE("restore", Restore, change.fid.volume);

inline VolumeId volume_of(const fileproto::Change& change) {
  return std::visit([](const auto& one) { return volume_of(one); }, change);
}

#undef TROTH_FILE_CALL
#undef TROTH_FILE_CHANGE

}  // namespace common::fileclient
