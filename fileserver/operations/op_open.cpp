// Open files, and what else a session holds: versions, room, node ids.

#include <algorithm>
#include <cerrno>

#include "common/failpoint/failpoint.hpp"
#include "common/fileproto/codec.hpp"
#include "fileserver/content/content_access.hpp"
#include "fileserver/operations/describe.hpp"
#include "fileserver/operations/file_parts.hpp"
#include "fileserver/operations/look_at.hpp"
#include "fileserver/operations/open_files.hpp"
#include "fileserver/operations/session_ranges.hpp"
#include "fileserver/sessions/sessions.hpp"
#include "fileserver/store/blocks/block_name.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;
using common::rpc::Reply;
using fileproto::decode;

Result<FileSession*> session_of(FileCall& call) {
  if (!call.session())
    return fail(ErrorCode::Stale, "open a session first: what this asks for is a session's");
  return call.session().get();
}

// Of a volume as a whole: whoever may look up names in its root has something to do there.
Status may_use(FileCall& call, const VolumeRef& volume, const fileproto::Scope& scope) {
  return look_at(call, volume, {.as = scope.as}, [](CallView& view) -> Status {
    TROTH_TRY(const auto root, view.directory(store::kRootNode));
    return view.may(view.judge().search(root));
  });
}

Result<Reply> reserve(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::ReserveArgs>(call.args()));
  TROTH_TRY_VOID(session_of(call));
  TROTH_TRY(const VolumeRef volume, call.volume(args.volume));
  store::Volume::Reservation has;
  if (args.lower) {
    TROTH_TRY(has, lower_reservation(call, volume, args.nodes, args.bytes));
  } else {
    TROTH_TRY_VOID(may_use(call, volume, args.scope));
    TROTH_TRY(has, raise_reservation(call, volume, args.nodes, args.bytes));
  }
  fileproto::ReserveResult result;
  result.state = state_of(volume, 0);
  result.nodes = has.nodes;
  result.bytes = has.bytes;
  return Reply::text(encode(result));
}

Result<Reply> node_ids(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::NodeIdsArgs>(call.args()));
  TROTH_TRY(FileSession* const session, session_of(call));
  if (args.count == 0 || args.count > fileproto::kMaxNodeIds)
    return fail(ErrorCode::InvalidArgument, "1 to {} node ids are given at a time",
                fileproto::kMaxNodeIds);
  TROTH_TRY(const VolumeRef volume, call.volume(args.volume));
  TROTH_TRY_VOID(may_use(call, volume, args.scope));
  // Each range is a row that is made stable, however few are in it.
  constexpr std::uint64_t kLeastCharge = 256;
  TROTH_TRY_VOID(call.parts().allowances->node_ids.take(call.identity().client.id,
                                                        std::max(args.count, kLeastCharge)));
  TROTH_TRY(const NodeId first, volume->grant_node_ids(args.count));
  TROTH_TRY_VOID(add_node_range(call, *session, volume.id(), {first, args.count}));
  fileproto::NodeIdsResult result;
  result.state = state_of(volume, 0);
  result.first = first;
  result.count = args.count;
  return Reply::text(encode(result));
}

// --- open files ---

Status may_open(CallView& view, const store::Attributes& node, const access::OpenWish& wish) {
  if (node.kind == store::NodeKind::Directory && wish.write)
    return fail_posix(EISDIR, "node {} is a directory", node.node.value);
  if (node.kind == store::NodeKind::Directory)
    return view.may(view.judge().list(node));
  return view.may(view.judge().open(node, wish));
}

// What is opened as of a seq has been judged by that moment; its handle is good for what is there
// now, too (R27). What is gone: whoever may list the directory that it was in.
Status may_open_now(FileCall& call, const VolumeRef& volume, fileproto::Scope scope,
                    const store::Attributes& then, const access::OpenWish& wish) {
  if (!scope.at)
    return {};
  scope.at.reset();
  return look_at(call, volume, scope, [&](CallView& now) -> Status {
    TROTH_TRY(const auto node, now.source().attributes(then.node));
    if (!node)
      return may_read_now(now, then.node, Told::Bytes);
    TROTH_TRY_VOID(now.may(now.judge().reach(*node)));
    return may_open(now, *node, wish);
  });
}

Result<Reply> open(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::OpenArgs>(call.args()));
  call.note(args.fid);
  TROTH_TRY(FileSession* const session, session_of(call));
  TROTH_TRY(const VolumeRef volume, call.volume(args.fid.volume));
  ReadGrants grants(call, args.scope.at.has_value());
  fileproto::OpenResult result;
  store::Attributes node;
  store::Content content;
  const access::OpenWish wish{.read = args.read && !args.execute,
                              .write = args.write || args.append,
                              .execute = args.execute};
  if (args.grow > 0 && !wish.write)
    return fail(ErrorCode::InvalidArgument, "who does not write needs no room to grow");
  const Status looked = look_at(call, volume, args.scope, [&](CallView& view) -> Status {
    TROTH_TRY(node, view.node(args.fid.node));
    TROTH_TRY_VOID(may_open(view, node, wish));
    TROTH_TRY(result.node, describe(node, view));
    if (node.kind == store::NodeKind::File) {
      TROTH_TRY(content, volume->content(view.moment().tx, node.node, view.moment().at));
    }
    return {};
  });
  TROTH_TRY_VOID(looked);
  TROTH_TRY_VOID(may_open_now(call, volume, args.scope, node, wish));
  if (node.kind == store::NodeKind::File) {
    TROTH_TRY(const auto name, store::content_name(content));
    result.node.content = name.bytes;
  }
  const HandleOwner owner = CallView::owner_of(call, args.scope.as);
  // Repeated after a lost answer: it is open.
  if (!is_held(*session, args.handle, args.fid, owner)) {
    TROTH_TRY_VOID(hold(*session, volume, args.handle,
                        {args.fid, node.version, owner, args.read, args.write || args.append}));
  }
  if (args.grow > 0) {
    TROTH_TRY(const auto has, raise_reservation(call, volume, 0, args.grow));
    result.reserved = has.bytes;
  }
  fileproto::Attributes* const nodes[] = {&result.node};
  grant(grants, volume.id(), nodes);
  result.state = state_of(volume, grants.clock());
  return Reply::text(encode(result));
}

// Whether what was opened before may be read now; a failure if it may not be had at all. Its owner
// goes on with what he has made read-only since, and a program is read by who may run it.
Result<bool> may_go_on(CallView& view, const store::Attributes& node, bool write) {
  if (node.kind == store::NodeKind::Directory) {
    TROTH_TRY_VOID(may_open(view, node, {.read = true, .write = write}));
    return true;
  }
  if (write)
    TROTH_TRY_VOID(view.may(view.judge().store(node)));
  if (view.allows(view.judge().open(node, {.execute = true})))
    return true;
  const auto read = view.judge().fetch(node);
  if (!write)
    TROTH_TRY_VOID(view.may(read));
  return view.allows(read);
}

// A handle of before the server was started anew: what its caller was allowed is judged again, as
// it is now, and for the version that it pinned also as it was then. He says himself what he had
// open.
Status open_again(FileCall& call, FileSession& session, const VolumeRef& volume,
                  const fileproto::Scope& scope, const fileproto::OpenHandle& wanted) {
  const HandleOwner owner = CallView::owner_of(call, scope.as);
  if (is_held(session, wanted.handle, wanted.fid, owner))
    return {};
  // Its pin outlived the server: so it is open, also if it has no name (R25).
  TROTH_TRY(const bool pinned, is_pinned_of_old(session, volume, wanted.fid, wanted.version));
  OpenHandle handle{wanted.fid, wanted.version, owner, false, wanted.write};
  const Status looked = look_at(call, volume, scope, [&](CallView& view) -> Status {
    if (pinned)
      view.knows_open(wanted.fid.node);
    TROTH_TRY(const auto node, view.node(wanted.fid.node));
    TROTH_TRY(handle.read, may_go_on(view, node, wanted.write));
    const bool present = wanted.version == node.version || wanted.version == node.data_version;
    if (present || !handle.read || (pinned && node.links == 0))
      return {};
    return may_read_past(view, {}, node.node, wanted.version);
  });
  TROTH_TRY_VOID(looked);
  return hold(session, volume, wanted.handle, handle);
}

Result<Reply> reopen(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::ReopenArgs>(call.args()));
  if (args.scope.at)
    return fail(ErrorCode::InvalidArgument,
                "what is open is judged as it is now: leave out \"at\"");
  TROTH_TRY(FileSession* const session, session_of(call));
  // It concerns what all callers of the mount had open.
  if (args.rest && call.identity().client.id != session->opener)
    return fail(ErrorCode::PermissionDenied, "only who opened the session knows all that is open");
  const VolumeId id = args.rest ? *args.rest : args.handles[0].fid.volume;
  TROTH_TRY(const VolumeRef volume, call.volume(id));
  fileproto::ReopenResult result;
  for (const auto& wanted : args.handles) {
    const Status again = open_again(call, *session, volume, args.scope, wanted);
    if (!again)
      result.lost.push_back({wanted.handle, again.error().code, again.error().message});
  }
  // What could not be had may yet be.
  if (args.rest && result.lost.empty())
    TROTH_TRY_VOID(let_go_rest(call, *session, volume));
  result.state = state_of(volume, 0);
  return Reply::text(encode(result));
}

// Whoever opened it; and who spoke for him then and speaks for himself now, as a host does that
// knows which of its local users' files are closed.
bool may_release(const HandleOwner& opened, const HandleOwner& releases) {
  return releases == opened ||
         (releases.principal == opened.principal && releases.kind == HandleOwner::Kind::Principal);
}

Result<Reply> release(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::ReleaseArgs>(call.args()));
  TROTH_TRY(FileSession* const session, session_of(call));
  const HandleOwner owner = CallView::owner_of(call, args.scope.as);
  std::vector<OpenHandle> gone;
  {
    auto held = session->held.lock();
    for (const std::uint64_t number : args.handles) {
      const auto found = held->handles.find(number);
      if (found == held->handles.end() || found->second.fid.volume != args.volume ||
          !may_release(found->second.owner, owner))
        continue;  // repeated after a lost answer, or not his
      gone.push_back(found->second);
      held->handles.erase(found);
    }
  }
  if (!gone.empty()) {
    TROTH_FAILPOINT("operations.release.before_unpin");
    let_go(call, *session, args.volume, gone);
  }
  return Reply::text(encode(fileproto::Done{}));
}

// --- of a volume ---

// Its session has something open there, or has committed what is not known to be stable: that it
// may learn, whatever has become of its caller's rights.
bool is_used_by(FileCall& call, VolumeId volume) {
  if (!call.session())
    return false;
  {
    auto held = call.session()->held.lock();
    if (std::any_of(held->handles.begin(), held->handles.end(),
                    [&](const auto& one) { return one.second.fid.volume == volume; }))
      return true;
  }
  const auto used = call.parts().sessions.volumes_of(call.session());
  return std::find(used.begin(), used.end(), volume) != used.end();
}

Result<Reply> fsync(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::FsyncArgs>(call.args()));
  TROTH_TRY(const VolumeRef volume, call.volume(args.volume));
  if (!is_used_by(call, volume.id()))
    TROTH_TRY_VOID(may_use(call, volume, args.scope));
  // Stable seqs of a later epoch say nothing of this one: what is asked about may be lost.
  if (volume->epoch() != args.epoch)
    return fail(ErrorCode::Stale, "the volume has begun epoch {}: repeat what is not known there",
                volume->epoch().value);
  if (args.seq > volume->last_seq())
    return fail(ErrorCode::InvalidArgument, "commit {} is not there yet", args.seq.value);
  if (volume->stable_seq() < args.seq)
    TROTH_TRY_VOID(volume->sync(call.deadline()));
  fileproto::FsyncResult result;
  result.state = state_of(volume, 0);
  return Reply::text(encode(result));
}

Result<Reply> statfs(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::StatfsArgs>(call.args()));
  TROTH_TRY(const VolumeRef volume, call.volume(args.volume));
  TROTH_TRY_VOID(may_use(call, volume, args.scope));
  TROTH_TRY(const store::Usage usage, volume->usage());
  store::Volume::Reservation own;
  if (call.session()) {
    TROTH_TRY(own, volume->reservation(call.session()->id));
  }
  fileproto::StatfsResult result;
  result.bytes_free = room_of(usage);
  result.bytes = usage.bytes + result.bytes_free;
  const std::uint64_t others = usage.reserved_bytes - std::min(usage.reserved_bytes, own.bytes);
  result.bytes_available = result.bytes_free - std::min(result.bytes_free, others);
  // Without a limit: as many as 40 bits can name.
  const std::uint64_t most = usage.quota_nodes.value_or(fileproto::kMaxNodeId);
  result.nodes_free = most - std::min(most, usage.nodes);
  result.nodes = usage.nodes + result.nodes_free;
  result.state = state_of(volume, 0);
  return Reply::text(encode(result));
}

Result<Reply> seq_at(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::SeqAtArgs>(call.args()));
  TROTH_TRY(const VolumeRef volume, call.volume(args.volume));
  TROTH_TRY_VOID(may_use(call, volume, args.scope));
  fileproto::SeqAtResult result;
  TROTH_TRY(result.seq, volume->seq_at(args.time));
  result.state = state_of(volume, 0);
  return Reply::text(encode(result));
}

Result<Reply> volumes(FileCall& call) {
  TROTH_TRY(const auto args, decode<fileproto::VolumesArgs>(call.args()));
  fileproto::VolumesResult result;
  for (const VolumeReport& report : call.parts().volumes.list()) {
    fileproto::VolumeEntry& entry = result.volumes.emplace_back();
    entry.volume = report.entry->id;
    entry.uuid = report.entry->uuid;
    entry.name = report.entry->name;
    entry.root = store::kRootNode;
    if (report.entry->is_root)
      entry.flags |= fileproto::volume_flag::kRoot;
    if (!report.entry->policy.trusted_hosts.empty())
      entry.flags |= fileproto::volume_flag::kTrustsHosts;
  }
  return Reply::text(encode(result));
}

}  // namespace

std::span<const FileOperation> open_operations() {
  static constexpr FileOperation kOperations[] = {
      {.name = "open", .run = open},         {.name = "reopen", .run = reopen},
      {.name = "release", .run = release},   {.name = "reserve", .run = reserve},
      {.name = "node-ids", .run = node_ids}, {.name = "fsync", .run = fsync},
      {.name = "statfs", .run = statfs},     {.name = "seq-at", .run = seq_at},
      {.name = "volumes", .run = volumes},
  };
  return kOperations;
}

}  // namespace fileserver
