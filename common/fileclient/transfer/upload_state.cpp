#include "common/fileclient/transfer/upload_state.hpp"

#include <algorithm>

#include "common/wire/binary.hpp"

namespace common::fileclient {
namespace {

constexpr std::string_view kUploadMagic = "troth upload 1";

using fileproto::ByteRange;

}  // namespace

Bytes encode(const UploadState& state) {
  wire::BinaryWriter out;
  out.fixed(as_bytes(kUploadMagic));
  out.u64(state.source.device).u64(state.source.inode).u64(state.source.size);
  out.u64(static_cast<std::uint64_t>(state.source.mtime_ns));
  out.u64(static_cast<std::uint64_t>(state.source.ctime_ns));
  out.u32(state.staging.volume.value).u64(state.staging.node.value).u64(state.made.value);
  out.bytes(as_bytes(state.hidden_name));
  return out.take();
}

Result<UploadState> decode_upload_state(ByteView bytes) {
  wire::BinaryReader in(bytes);
  TROTH_TRY(const auto magic, in.fixed(kUploadMagic.size()));
  if (as_text(magic) != kUploadMagic)
    return fail(ErrorCode::Unsupported, "the state of another kind of transfer");
  UploadState state;
  TROTH_TRY(state.source.device, in.u64());
  TROTH_TRY(state.source.inode, in.u64());
  TROTH_TRY(state.source.size, in.u64());
  TROTH_TRY(const auto mtime, in.u64());
  TROTH_TRY(const auto ctime, in.u64());
  state.source.mtime_ns = static_cast<std::int64_t>(mtime);
  state.source.ctime_ns = static_cast<std::int64_t>(ctime);
  TROTH_TRY(state.staging.volume.value, in.u32());
  TROTH_TRY(state.staging.node.value, in.u64());
  TROTH_TRY(state.made.value, in.u64());
  TROTH_TRY(const auto name, in.bytes(fileproto::kMaxNameBytes));
  state.hidden_name = as_text(name);
  TROTH_TRY_VOID(in.finish());
  return state;
}

Result<crypto::Digest> upload_key(const SourceStamp& source, Fid dir, std::string_view name) {
  const Bytes bytes = wire::BinaryWriter()
                          .fixed(as_bytes("troth upload key 1"))
                          .u64(source.device)
                          .u64(source.inode)
                          .u32(dir.volume.value)
                          .u64(dir.node.value)
                          .bytes(as_bytes(name))
                          .take();
  return crypto::sha256(bytes);
}

std::vector<ByteRange> missing_pieces(const std::vector<ByteRange>& data,
                                      const std::vector<ByteRange>& there, std::uint64_t piece) {
  std::vector<ByteRange> pieces;
  auto next = there.begin();
  for (const ByteRange& range : data) {
    std::uint64_t at = range.offset;
    const std::uint64_t end = range.offset + range.length;
    while (at < end) {
      while (next != there.end() && next->offset + next->length <= at)
        ++next;
      if (next != there.end() && next->offset <= at) {
        at = std::min(end, next->offset + next->length);
        continue;
      }
      std::uint64_t until = std::min(end, (at / piece + 1) * piece);
      if (next != there.end())
        until = std::min(until, next->offset);
      pieces.push_back({at, until - at});
      at = until;
    }
  }
  return pieces;
}

std::vector<ByteRange> bounded_ranges(std::vector<ByteRange> data, std::uint64_t size,
                                      std::size_t most) {
  if (data.size() <= most)
    return data;
  return {{0, size}};
}

}  // namespace common::fileclient
