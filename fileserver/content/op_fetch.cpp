// Reading bytes: fetch (ranges of one file) and bulk (small files whole).

#include "common/fileproto/codec.hpp"
#include "common/fileproto/frames.hpp"
#include "fileserver/content/content_access.hpp"
#include "fileserver/content/content_families.hpp"
#include "fileserver/content/fetch_map.hpp"
#include "fileserver/operations/describe.hpp"
#include "fileserver/operations/look_at.hpp"
#include "fileserver/store/blocks/block_name.hpp"
#include "fileserver/store/meta/reads.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;
using common::rpc::Reply;
using store::Attributes;
using store::Content;
using store::NodeKind;

// Larger files are fetched: one block is what a small file costs to read.
constexpr std::uint64_t kSmallFile = store::kBlockBytes;

// What a fetch is about, all of one moment but the past.
struct Fetched {
  Attributes node;  // of the version
  Content content;
  std::optional<Content> since;
  bool is_past = false;  // not what is there now
};

Status check_asked(const fileproto::FetchArgs& args) {
  std::uint64_t total = 0;
  for (const fileproto::ByteRange& range : args.ranges) {
    if (!args.map && range.length > fileproto::kMaxFetchBytes - total)
      return fail(ErrorCode::TooLarge, "one fetch brings at most {} bytes",
                  fileproto::kMaxFetchBytes);
    total += args.map ? 0 : range.length;
  }
  return {};
}

Result<Fetched> look_up(FileCall& call, const VolumeRef& volume, const fileproto::FetchArgs& args,
                        fileproto::Attributes& described) {
  Fetched fetched;
  const auto look = [&](CallView& view) -> Status {
    const HeldFile held = held_file(view, args.fid.node);
    TROTH_TRY(fetched.node, readable_file(view, held, args.fid.node));
    fetched.is_past = args.version && *args.version != fetched.node.version &&
                      *args.version != fetched.node.data_version;
    if (fetched.is_past)
      TROTH_TRY_VOID(may_read_past(view, held, args.fid.node, *args.version));
    if (args.since && *args.since != fetched.node.data_version)
      TROTH_TRY_VOID(may_read_past(view, held, args.fid.node, *args.since));
    TROTH_TRY(described, describe(fetched.node, view));
    if (fetched.is_past)
      return {};
    TROTH_TRY(fetched.content, volume->content(view.moment().tx, args.fid.node, view.moment().at));
    return {};
  };
  if (const Status looked = look_at(call, volume, args.scope, look); !looked)
    return tl::unexpected(looked.error());
  TROTH_TRY_VOID(judge_now(call, volume, args.scope, args.fid.node, Told::Bytes));
  if (fetched.is_past) {
    TROTH_TRY(fetched.content, past_content(volume, args.fid.node, *args.version));
    TROTH_TRY(fetched.node, volume->attributes(args.fid.node, *args.version));
    const bool governed = described.governed;
    described = describe(fetched.node, volume.entry());
    described.governed = governed;
  }
  if (args.since) {
    TROTH_TRY(fetched.since, past_content(volume, args.fid.node, *args.since));
  }
  return fetched;
}

Result<Reply> fetch(FileCall& call) {
  TROTH_TRY(const auto args, fileproto::decode<fileproto::FetchArgs>(call.args()));
  call.note(args.fid);
  TROTH_TRY_VOID(check_asked(args));
  TROTH_TRY(const VolumeRef volume, call.volume(args.fid.volume));
  ReadGrants grants(call, args.scope.at.has_value());
  fileproto::FetchResult result;
  TROTH_TRY(Fetched fetched, look_up(call, volume, args, result.node));
  TROTH_TRY(result.ranges,
            fetch_map(volume->blocks(), fetched.content, fetched.since ? &*fetched.since : nullptr,
                      args.ranges, fileproto::kMaxFetchedRanges));
  TROTH_TRY(const auto name, store::content_name(fetched.content));
  result.node.content = name.bytes;
  // Of the past nothing is promised: its attributes would be kept as what is there now.
  if (!fetched.is_past) {
    fileproto::Attributes* const nodes[] = {&result.node};
    grant(grants, volume.id(), nodes);
  }
  result.state = state_of(volume, grants.clock());
  Reply reply = Reply::text(encode(result));
  if (!args.map && !result.ranges.empty()) {
    for (const fileproto::ByteRange& range : result.ranges)
      reply.source_size += range.length;
    reply.source = content_source(volume, std::move(fetched.content), std::move(result.ranges));
  }
  return reply;
}

// --- bulk ---

struct Small {
  fileproto::BulkFile file;
  Attributes node;
  Content content;
};

Small refused(NodeId node) {
  Small small;
  small.file.node.node = node;
  return small;
}

// Everything but the bytes, of one moment.
Result<std::vector<Small>> look_up_small(FileCall& call, const VolumeRef& volume,
                                         const fileproto::BulkArgs& args) {
  using fileproto::BulkKind;
  std::vector<Small> all(args.nodes.size());
  const auto look = [&](CallView& view) -> Status {
    for (std::size_t i = 0; i < all.size(); ++i) {
      Small& small = all[i];
      const NodeId id = args.nodes[i].fid.node;
      small = refused(id);
      const auto node = view.node(id);
      if (!node)
        continue;  // Refused
      const bool is_file = node->kind == NodeKind::File;
      if (is_file && !view.allows(view.judge().fetch(*node)))
        continue;
      small.node = *node;
      TROTH_TRY(small.file.node, describe(*node, view));
      small.file.kind = BulkKind::NotSmall;
      if (!is_file || node->size > kSmallFile)
        continue;
      small.file.kind = BulkKind::Unchanged;
      if (node->data_version == args.nodes[i].version)
        continue;
      small.file.kind = BulkKind::Whole;
      TROTH_TRY(small.content, volume->content(view.moment().tx, id, view.moment().at));
    }
    return {};
  };
  if (const Status looked = look_at(call, volume, args.scope, look); !looked)
    return tl::unexpected(looked.error());
  for (Small& small : all) {
    if (small.file.kind != BulkKind::Refused &&
        !judge_now(call, volume, args.scope, small.node.node, Told::Bytes))
      small = refused(small.file.node.node);
  }
  return all;
}

// How many of the first fit.
std::size_t count_fitting(const std::vector<Small>& all) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    bytes += fileproto::bulk_size(all[i].file) +
             (all[i].file.kind == fileproto::BulkKind::Whole ? all[i].content.size : 0);
    if (bytes > fileproto::kMaxBulkBytes)
      return i;
  }
  return all.size();
}

Result<Reply> bulk(FileCall& call) {
  TROTH_TRY(const auto args, fileproto::decode<fileproto::BulkArgs>(call.args()));
  if (args.nodes.empty())
    return fail(ErrorCode::InvalidArgument, "bulk of no file");
  call.note(args.nodes[0].fid);
  TROTH_TRY(const VolumeRef volume, call.volume(args.nodes[0].fid.volume));
  ReadGrants grants(call, args.scope.at.has_value());
  TROTH_TRY(auto all, look_up_small(call, volume, args));
  all.resize(count_fitting(all));
  std::vector<fileproto::Attributes*> nodes;
  for (Small& small : all) {
    if (small.file.kind != fileproto::BulkKind::Refused)
      nodes.push_back(&small.file.node);
  }
  grant(grants, volume.id(), nodes);
  Reply reply;
  common::Bytes bytes;
  for (Small& small : all) {
    if (small.file.kind == fileproto::BulkKind::Whole) {
      bytes.resize(small.content.size);
      TROTH_TRY(const std::size_t length, volume->read(small.content, 0, bytes));
      if (length != bytes.size())
        return fail(ErrorCode::Corrupt, "node {} ends before its size", small.node.node.value);
      small.file.bytes = bytes;
    }
    fileproto::append_bulk(reply.bytes, small.file);
    small.file.bytes = {};
  }
  fileproto::BulkResult result;
  result.count = static_cast<std::uint32_t>(all.size());
  result.state = state_of(volume, grants.clock());
  reply.result = encode(result);
  return reply;
}

}  // namespace

std::span<const FileOperation> fetch_operations() {
  using common::rpc::OperationClass;
  static constexpr FileOperation kOperations[] = {
      {.name = "fetch", .run = fetch, .kind = OperationClass::Bulk},
      {.name = "bulk", .run = bulk, .kind = OperationClass::Bulk},
  };
  return kOperations;
}

}  // namespace fileserver
