// Looking back: history, changes-since.

#include <algorithm>

#include "common/fileproto/codec.hpp"
#include "common/fileproto/frames.hpp"
#include "fileserver/content/content_access.hpp"
#include "fileserver/content/content_families.hpp"
#include "fileserver/operations/describe.hpp"
#include "fileserver/operations/file_parts.hpp"
#include "fileserver/operations/look_at.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::rpc::Reply;

// Of records in one answer, unless the first alone has more.
constexpr std::size_t kMostRecordBytes = 8 << 20;

Result<Reply> history(FileCall& call) {
  TROTH_TRY(const auto args, fileproto::decode<fileproto::HistoryArgs>(call.args()));
  call.note(args.fid);
  TROTH_TRY(const VolumeRef volume, call.volume(args.fid.volume));
  fileproto::HistoryResult result;
  store::Attributes then;
  const auto look = [&](CallView& view) -> Status {
    result.versions.clear();
    TROTH_TRY(then, view.node(args.fid.node));
    TROTH_TRY_VOID(may_read(view.judge(), view, then));
    TROTH_TRY(const auto versions,
              store::read_versions(view.moment().tx, then.node,
                                   std::min<std::size_t>(args.limit, fileproto::kMaxHistory)));
    for (const store::NodeVersion& version : versions) {
      if (call.parts().clock.now() >= call.deadline())
        return common::fail(ErrorCode::DeadlineExceeded, "the deadline passed while looking back");
      if (!might_read_then(view, version))
        continue;
      fileproto::HistoryEntry& entry = result.versions.emplace_back();
      entry.node = describe(version.attributes, volume.entry());
      entry.until = version.until;
    }
    return {};
  };
  if (const Status looked = look_at(call, volume, args.scope, look); !looked)
    return tl::unexpected(looked.error());
  TROTH_TRY_VOID(judge_now(call, volume, args.scope, args.fid.node, Told::Bytes));
  result.state = state_of(volume, 0);
  return Reply::text(encode(result));
}

Result<Reply> changes_since(FileCall& call) {
  TROTH_TRY(const auto args, fileproto::decode<fileproto::ChangesSinceArgs>(call.args()));
  TROTH_TRY(const VolumeRef volume, call.volume(args.volume));
  TROTH_TRY_VOID(look_at(call, volume, args.scope,
                         [](CallView& view) { return must_administer_volume(view); }));
  fileproto::ChangesSinceResult result;
  result.head = volume->visible_seq();
  result.last = args.seq;
  TROTH_TRY(
      const auto records,
      volume->changes_since(args.seq, std::min<std::size_t>(args.limit, fileproto::kMaxRecords)));
  Reply reply;
  for (const store::CommitRecord& record : records) {
    const common::Bytes encoded = store::encode_record(record);
    if (result.count > 0 && reply.bytes.size() + encoded.size() > kMostRecordBytes)
      break;
    fileproto::append_record(reply.bytes, encoded);
    result.last = record.seq;
    ++result.count;
  }
  result.state = state_of(volume, 0);
  reply.result = encode(result);
  return reply;
}

}  // namespace

std::span<const FileOperation> past_operations() {
  using common::rpc::OperationClass;
  static constexpr FileOperation kOperations[] = {
      {.name = "history", .run = history},
      {.name = "changes-since", .run = changes_since, .kind = OperationClass::Bulk},
  };
  return kOperations;
}

}  // namespace fileserver
