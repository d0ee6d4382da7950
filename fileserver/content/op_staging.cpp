// Staged uploads: stage-open, stage-write, stage-state, stage-drop.

#include <algorithm>

#include "common/fileproto/codec.hpp"
#include "fileserver/content/content_access.hpp"
#include "fileserver/content/content_families.hpp"
#include "fileserver/content/stagings.hpp"
#include "fileserver/operations/describe.hpp"
#include "fileserver/operations/file_parts.hpp"
#include "fileserver/operations/look_at.hpp"
#include "fileserver/operations/session_ranges.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::rpc::Reply;

Result<StagingCall> staging_call(FileCall& call, const VolumeRef& volume,
                                 const fileproto::Scope& scope) {
  // Whether he may speak for whom he does.
  TROTH_TRY_VOID(CallView::caller_of(call, volume, scope.as));
  TROTH_TRY(const StagingOwner owner, staging_owner(call, CallView::owner_of(call, scope.as)));
  return StagingCall{
      *volume,         owner, call.committer(), call.identity().client.id.value, call.parts().clock,
      call.deadline(), {}};
}

// Ranges that end above `after`, as many as one answer has room for.
Result<Reply> answer(const VolumeRef& volume, const Staging& staging, std::uint64_t after = 0) {
  fileproto::StageResult result;
  result.staging = {volume.id(), staging.node};
  result.size = staging.size;
  for (const fileproto::ByteRange& range : staging.there) {
    if (range.offset + range.length <= after)
      continue;
    if (result.ranges.size() == fileproto::kMaxStagedRanges) {
      const auto& last = result.ranges.back();
      result.next = last.offset + last.length;
      break;
    }
    result.ranges.push_back(range);
  }
  result.state = state_of(volume, 0);
  return Reply::text(encode(result));
}

Result<Reply> stage_open(FileCall& call) {
  TROTH_TRY(const auto args, fileproto::decode<fileproto::StageOpenArgs>(call.args()));
  call.note({args.volume, args.node.value_or(NodeId{})});
  TROTH_TRY(const VolumeRef volume, call.volume(args.volume));
  NewStaging wanted;
  wanted.node = args.node;
  wanted.size = args.size;
  // The file is one that the caller may write; without one he must be allowed something here at
  // all: who may search the volume's root.
  const auto look = [&](CallView& view) -> Status {
    if (!args.target) {
      TROTH_TRY(const auto root, view.node(store::kRootNode));
      return view.may(view.judge().search(root));
    }
    if (args.target->volume != args.volume)
      return fail(ErrorCode::InvalidArgument, "a staging is in the volume of its file");
    const HeldFile held = held_file(view, args.target->node);
    TROTH_TRY(const auto file, storable_file(view, held, args.target->node));
    wanted.present = file.size;
    return {};
  };
  TROTH_TRY_VOID(look_at(call, volume, args.scope, look));
  if (args.node)
    TROTH_TRY_VOID(check_own_node(call, args.volume, *args.node));
  TROTH_TRY(const StagingCall own, staging_call(call, volume, args.scope));
  if (!args.node)
    TROTH_TRY_VOID(call.parts().allowances->node_ids.take(call.identity().client.id, 1));
  TROTH_TRY(const Staging staging, open_staging(own, wanted));
  return answer(volume, staging);
}

Result<Reply> stage_write(FileCall& call) {
  TROTH_TRY(const auto args, fileproto::decode<fileproto::StageWriteArgs>(call.args()));
  call.note(args.staging);
  TROTH_TRY(const VolumeRef volume, call.volume(args.staging.volume));
  TROTH_TRY(const StagingCall own, staging_call(call, volume, args.scope));
  Allowance& wrong = call.parts().allowances->wrong_hashes;
  const auto sender = call.identity().client.id;
  TROTH_TRY_VOID(wrong.check(sender, 1));
  TROTH_TRY(StagedPiece piece,
            StagedPiece::begin(own, args.staging.node, args.offset, call.rpc().body_size()));
  while (piece.missing() > 0) {
    TROTH_TRY(const std::size_t length, call.rpc().read_body(piece.room()));
    if (length == 0)
      break;
    TROTH_TRY_VOID(piece.came(length));
  }
  const auto staging = piece.finish(args.hash);
  if (!staging && staging.error().code == ErrorCode::Corrupt)
    static_cast<void>(wrong.take(sender, 1));
  TROTH_TRY_VOID(staging);
  return answer(volume, *staging);
}

Result<Reply> stage_state(FileCall& call) {
  TROTH_TRY(const auto args, fileproto::decode<fileproto::StageStateArgs>(call.args()));
  call.note(args.staging);
  TROTH_TRY(const VolumeRef volume, call.volume(args.staging.volume));
  TROTH_TRY(const StagingCall own, staging_call(call, volume, args.scope));
  TROTH_TRY(const Staging staging, find_staging(*volume, args.staging.node, own.owner));
  return answer(volume, staging, args.after);
}

Result<Reply> stage_drop(FileCall& call) {
  TROTH_TRY(const auto args, fileproto::decode<fileproto::StageDropArgs>(call.args()));
  call.note(args.staging);
  TROTH_TRY(const VolumeRef volume, call.volume(args.staging.volume));
  TROTH_TRY(const StagingCall own, staging_call(call, volume, args.scope));
  const Status dropped = drop_staging(own, args.staging.node);
  // Dropping what has gone already is dropping it.
  if (!dropped && dropped.error().code != ErrorCode::NotFound)
    return tl::unexpected(dropped.error());
  Staging none;
  none.node = args.staging.node;
  return answer(volume, none);
}

}  // namespace

std::span<const FileOperation> staging_operations() {
  using common::rpc::OperationClass;
  static constexpr FileOperation kOperations[] = {
      {.name = "stage-open", .run = stage_open},
      {.name = "stage-write",
       .run = stage_write,
       .kind = OperationClass::Bulk,
       .body_cap = fileproto::kMaxStagePieceBytes + (64 << 10),
       .streamed = true},
      {.name = "stage-state", .run = stage_state},
      {.name = "stage-drop", .run = stage_drop},
  };
  return kOperations;
}

}  // namespace fileserver
