// Volumes in pieces, for administrators: dump, load.

#include "common/fileproto/codec.hpp"
#include "common/log/log.hpp"
#include "fileserver/content/content_access.hpp"
#include "fileserver/content/content_families.hpp"
#include "fileserver/content/dump_table.hpp"
#include "fileserver/content/load_table.hpp"
#include "fileserver/dump/format.hpp"
#include "fileserver/operations/describe.hpp"
#include "fileserver/operations/file_parts.hpp"
#include "fileserver/operations/look_at.hpp"

namespace fileserver {

namespace {

using common::rpc::Reply;

// A sealed volume's dump is sealed with the volume's own key.
Result<Reply> dump_piece(FileCall& call) {
  TROTH_TRY(const auto args, fileproto::decode<fileproto::DumpArgs>(call.args()));
  if (call.parts().dumps == nullptr)
    return common::fail(common::ErrorCode::Unsupported, "this server makes no dumps");
  TROTH_TRY(const VolumeRef volume, call.volume(args.volume));
  TROTH_TRY_VOID(look_at(call, volume, args.scope,
                         [](CallView& view) { return must_administer_volume(view); }));
  DumpTable::Wanted wanted;
  wanted.volume = volume;
  wanted.principal = call.identity().client.id.value;
  wanted.cursor = args.cursor;
  wanted.options.what = args.from.value == 0 ? dump::What::History : dump::What::Commits;
  wanted.options.from = args.from;
  wanted.options.to = args.to;
  wanted.options.key = volume.key();
  TROTH_TRY(DumpPiece piece, call.parts().dumps->next(wanted));
  fileproto::CursorResult result;
  result.state = state_of(volume, 0);
  if (!piece.cursor.empty())
    result.cursor = std::move(piece.cursor);
  Reply reply = Reply::text(encode(result));
  reply.bytes = std::move(piece.bytes);
  return reply;
}

// What a dump says of itself, in its first record, which is not sealed.
Result<dump::Begin> begin_of(common::ByteView bytes) {
  TROTH_TRY(auto reader, dump::RecordReader::create());
  reader.feed(bytes);
  std::optional<dump::Begin> begin;
  const auto note = [&](const dump::Begin& found) -> Result<const common::crypto::Secret*> {
    begin = found;
    return nullptr;
  };
  const auto record = reader.next(note);
  if (begin)
    return *begin;
  if (!record)
    return tl::unexpected(record.error());
  return common::fail(common::ErrorCode::Protocol, "the dump ends before it has begun");
}

Result<common::Bytes> whole_body(FileCall& call) {
  common::Bytes body(call.rpc().body_size());
  std::size_t come = 0;
  while (come < body.size()) {
    TROTH_TRY(const std::size_t some, call.rpc().read_body(std::span(body).subspan(come)));
    if (some == 0)
      return common::fail(common::ErrorCode::Protocol, "a piece of {} bytes ended after {}",
                          body.size(), come);
    come += some;
  }
  return body;
}

Result<Reply> load_piece(FileCall& call) {
  TROTH_TRY(const auto args, fileproto::decode<fileproto::LoadArgs>(call.args()));
  if (!call.identity().in_group(common::ticket::kAdministrators))
    return common::fail(common::ErrorCode::PermissionDenied,
                        "that is for members of system:administrators; a membership counts from "
                        "the next login on");
  if (call.parts().loads == nullptr)
    return common::fail(common::ErrorCode::Unsupported, "this server loads no dumps");
  VolumeSet& volumes = call.parts().volumes;
  const bool serve = args.then == fileproto::LoadThen::Serve;
  TROTH_TRY(const common::Bytes bytes, whole_body(call));
  LoadTable::Piece piece;
  piece.principal = call.identity().client.id.value;
  piece.cursor = args.cursor;
  piece.bytes = bytes;
  piece.end = args.end;
  piece.begin = [&]() -> Result<std::unique_ptr<VolumeLoad>> {
    if (args.volume) {
      TROTH_TRY(VolumeRef copy, volumes.use(*args.volume, call.deadline()));
      return volumes.load_onto(std::move(copy), serve, call.deadline());
    }
    TROTH_TRY(const dump::Begin begin, begin_of(bytes));
    return volumes.load_new(*args.name, begin, serve);
  };
  TROTH_TRY(const LoadAnswer answer, call.parts().loads->next(piece));
  fileproto::LoadResult result;
  if (!answer.cursor.empty())
    result.cursor = answer.cursor;
  if (answer.loaded) {
    result.volume = answer.loaded->volume;
    result.seq = answer.loaded->seq;
    common::log::info("a volume was loaded", {{"volume", answer.loaded->volume.value},
                                              {"seq", answer.loaded->seq.value},
                                              {"by", call.identity().client.name},
                                              {"trace", call.rpc().head().trace}});
  }
  return Reply::text(encode(result));
}

}  // namespace

std::span<const FileOperation> dump_operations() {
  using common::rpc::OperationClass;
  static constexpr FileOperation kOperations[] = {
      {.name = "dump", .run = dump_piece, .kind = OperationClass::Bulk},
      {.name = "load",
       .run = load_piece,
       .kind = OperationClass::Bulk,
       .body_cap = fileproto::kMaxLoadPieceBytes + (64 << 10) + 4,
       .streamed = true},
  };
  return kOperations;
}

}  // namespace fileserver
