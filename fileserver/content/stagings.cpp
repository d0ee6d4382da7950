#include "fileserver/content/stagings.hpp"

#include <algorithm>
#include <cerrno>

#include "common/crypto/hash.hpp"
#include "common/fileproto/block_names.hpp"
#include "common/wire/binary.hpp"
#include "fileserver/content/apply_edits.hpp"
#include "fileserver/store/blocks/block_name.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;
using common::wire::BinaryReader;
using common::wire::BinaryWriter;
using fileproto::ByteRange;
using store::kBlockBytes;
using store::Volume;

// As many blocks as are named side by side.
constexpr std::uint64_t kBufferBytes = 2 << 20;
static_assert(kBlockBytes == fileproto::kContentBlock && kBufferBytes % kBlockBytes == 0);
// Pieces of one staging that come side by side each commit once; more than these in a row means
// that they are too many.
constexpr int kMostAttempts = 64;

common::Bytes encode_owner(const StagingOwner& owner) {
  BinaryWriter out;
  const bool itself = owner.whom == StagingOwner::For::Itself;
  out.u8(itself ? 1 : 2).fixed(owner.mount.bytes).u64(owner.principal);
  if (!itself)
    out.u8(static_cast<std::uint8_t>(owner.whom)).u32(owner.uid);
  return out.take();
}

common::Bytes encode_ranges(std::span<const ByteRange> ranges) {
  BinaryWriter out;
  for (const ByteRange& range : ranges)
    out.u64(range.offset).u64(range.length);
  return out.take();
}

Result<std::vector<ByteRange>> decode_ranges(common::ByteView bytes) {
  std::vector<ByteRange> ranges;
  BinaryReader in(bytes);
  while (in.remaining() != 0) {
    ByteRange range;
    TROTH_TRY(range.offset, in.u64());
    TROTH_TRY(range.length, in.u64());
    ranges.push_back(range);
  }
  return ranges;
}

tl::unexpected<common::Error> none(NodeId node) {
  return fail_posix(ENOENT, "there is no staging {}", node.value);
}

std::int64_t wall(const common::Clock& clock) {
  return clock.wall_now().time_since_epoch().count();
}

std::int64_t kept_until(const StagingCall& call) {
  return wall(call.clock) + std::chrono::nanoseconds(call.caps.kept).count();
}

Status keep(const StagingCall& call, NodeId node) {
  return call.volume.keep(call.owner.mount, node, kept_until(call));
}

// Caps, and room for what is to come.
Status admit(const StagingCall& call, const NewStaging& wanted) {
  if (wanted.size > store::kMaxFileSize)
    return fail_posix(EFBIG, "a file has at most 2^62 bytes");
  TROTH_TRY(const auto kept, call.volume.kept());
  const auto own =
      std::ranges::count_if(kept, [&](const auto& each) { return each.mount == call.owner.mount; });
  const auto his =
      std::ranges::count_if(kept, [&](const auto& each) { return each.uid == call.uid; });
  if (static_cast<std::size_t>(own) >= call.caps.of_mount ||
      static_cast<std::size_t>(his) >= call.caps.of_principal || kept.size() >= call.caps.of_volume)
    return fail(ErrorCode::ResourceExhausted,
                "too many uploads are under way: finish or drop some of them");
  TROTH_TRY(const store::Usage usage, call.volume.usage());
  std::uint64_t staged = 0;
  for (const auto& each : kept)
    staged += each.allocated;
  const std::uint64_t grows = wanted.size - std::min(wanted.size, wanted.present);
  if (usage.quota_bytes &&
      usage.bytes - std::min(usage.bytes, staged) + usage.reserved_bytes + grows >
          *usage.quota_bytes)
    return fail_posix(EDQUOT, "the volume's quota has no room for {} bytes more", grows);
  if (wanted.size > usage.disk_free / 2)
    return fail_posix(ENOSPC, "the disk of this volume has no room for an upload of {} bytes",
                      wanted.size);
  return {};
}

std::uint64_t length_of(std::span<const ByteRange> ranges) {
  std::uint64_t length = 0;
  for (const ByteRange& range : ranges)
    length += range.length;
  return length;
}

// Quotas do not count what is staged, so it has a cap of its own, whatever sizes were admitted: as
// much as the quota, and half of the room of the disk.
Status admit_piece(const StagingCall& call, const Staging& staging, const ByteRange& piece) {
  std::vector<ByteRange> there = staging.there;
  add_range(there, piece);
  const std::uint64_t more = length_of(there) - length_of(staging.there);
  TROTH_TRY(const auto kept, call.volume.kept());
  TROTH_TRY(const store::Usage usage, call.volume.usage());
  std::uint64_t staged = 0;
  for (const auto& each : kept)
    staged += each.allocated;
  if (usage.quota_bytes && staged + more > *usage.quota_bytes)
    return fail_posix(EDQUOT, "as much as the volume's quota is being uploaded already");
  if (staged + more > (usage.disk_free + staged) / 2)
    return fail_posix(ENOSPC, "half of the room of this volume's disk is being uploaded already");
  return {};
}

Status make(const StagingCall& call, const NewStaging& wanted, NodeId& node) {
  store::CommitRequest request;
  request.caller = call.caller;
  request.deadline = call.deadline;
  store::Create create;
  create.node = node;
  create.mode = 0600;
  create.uid = call.uid;
  create.gid = call.uid;
  store::Upload upload = call.volume.blocks().begin_upload();
  TROTH_TRY(create.content, store::edit_content(call.volume.blocks(), upload, {}, {}, wanted.size));
  request.upload = &upload;
  if (node.value == 0) {
    TROTH_TRY(node, call.volume.grant_node_ids(1));
    create.node = node;
  }
  request.operations = {create, store::SetXattr{node, std::string(kStagingOwner),
                                                encode_owner(call.owner), store::XattrMode::Any}};
  request.holds = {{.node = node, .keeper = call.owner.mount, .until = kept_until(call)}};
  TROTH_TRY_VOID(call.volume.commit(request));
  return {};
}

}  // namespace

Result<Staging> read_staging(store::ReadTx& tx, store::At at, NodeId node,
                             const StagingOwner& owner) {
  TROTH_TRY(const auto attributes, store::read_attributes(tx, node, at));
  if (!attributes || attributes->links != 0 || attributes->kind != store::NodeKind::File)
    return none(node);
  TROTH_TRY(const auto mark, store::read_xattr(tx, node, kStagingOwner, at));
  if (!mark || !common::crypto::constant_time_equal(*mark, encode_owner(owner)))
    return none(node);
  Staging staging;
  staging.node = node;
  staging.size = attributes->size;
  staging.version = attributes->version;
  staging.data_version = attributes->data_version;
  TROTH_TRY(const auto ranges, store::read_xattr(tx, node, kStagedRanges, at));
  if (ranges) {
    TROTH_TRY(staging.there, decode_ranges(*ranges));
  }
  return staging;
}

Result<Staging> find_staging(Volume& volume, NodeId node, const StagingOwner& owner) {
  std::optional<Staging> found;
  const auto look = [&](store::ReadTx& tx, store::At at) -> Status {
    TROTH_TRY(found, read_staging(tx, at, node, owner));
    return {};
  };
  TROTH_TRY_VOID(volume.view(look));
  return *std::move(found);
}

Result<Staging> open_staging(const StagingCall& call, const NewStaging& wanted) {
  NodeId node = wanted.node.value_or(NodeId{});
  if (node.value != 0) {
    auto there = find_staging(call.volume, node, call.owner);
    if (there && there->size == wanted.size) {
      TROTH_TRY_VOID(keep(call, node));
      return there;
    }
    if (there)
      return fail(ErrorCode::Conflict, "staging {} has {} bytes", node.value, there->size);
  }
  TROTH_TRY_VOID(admit(call, wanted));
  TROTH_TRY_VOID(make(call, wanted, node));
  return find_staging(call.volume, node, call.owner);
}

Status drop_staging(const StagingCall& call, NodeId node) {
  TROTH_TRY_VOID(find_staging(call.volume, node, call.owner));
  end_staging(call.volume, call.owner, node);
  return {};
}

void end_staging(Volume& volume, const StagingOwner& owner, NodeId node) {
  if (!volume.keep(owner.mount, node, 0))
    return;
  store::CommitRequest request;
  request.operations = {store::Reap{node}};
  static_cast<void>(volume.commit(request));  // upkeep ends what this does not
}

// --- pieces ---

StagedPiece::StagedPiece(const StagingCall& call, Staging staging, std::uint64_t offset,
                         std::uint64_t length)
    : call_(call),
      staging_(std::move(staging)),
      offset_(offset),
      length_(length),
      upload_(call.volume.blocks().begin_upload()) {}

Result<StagedPiece> StagedPiece::begin(const StagingCall& call, NodeId node, std::uint64_t offset,
                                       std::uint64_t length) {
  TROTH_TRY(Staging staging, find_staging(call.volume, node, call.owner));
  if (length == 0 || length > fileproto::kMaxStagePieceBytes)
    return fail(ErrorCode::InvalidArgument, "a piece has 1 to {} bytes",
                fileproto::kMaxStagePieceBytes);
  if (length > staging.size || offset > staging.size - length)
    return fail(ErrorCode::InvalidArgument, "a piece of {} bytes at {} in a staging of {}", length,
                offset, staging.size);
  TROTH_TRY_VOID(admit_piece(call, staging, {offset, length}));
  return StagedPiece(call, std::move(staging), offset, length);
}

std::span<std::byte> StagedPiece::room() {
  if (buffer_.empty())
    buffer_.resize(std::min<std::uint64_t>(kBufferBytes, length_));
  // No further than to a multiple of the buffer's size, so that no block is cut between two.
  const std::uint64_t here = (offset_ + come_) % kBufferBytes;
  const std::size_t most =
      std::min({std::uint64_t{buffer_.size() - filled_}, missing(), kBufferBytes - here});
  return std::span(buffer_).subspan(filled_, most);
}

Status StagedPiece::came(std::size_t length) {
  filled_ += length;
  come_ += length;
  return come_ == length_ || (offset_ + come_) % kBufferBytes == 0 ? flush() : Status();
}

// What is in the buffer becomes edits: whole blocks by name, the rest as bytes.
Status StagedPiece::flush() {
  struct Place {
    std::size_t edit = 0;
    std::size_t name = 0;
  };
  std::vector<common::ByteView> blocks;
  std::vector<Place> places;
  std::uint64_t at = offset_ + flushed_;
  const auto parts = fileproto::parts_of_piece(at, common::ByteView(buffer_).first(filled_));
  for (const common::ByteView& part : parts) {
    fileproto::ContentName& name = names_.emplace_back();
    store::Edit edit;
    edit.offset = at;
    at += part.size();
    if (part.size() < kBlockBytes) {
      TROTH_TRY_VOID(fileproto::name_data_blocks(std::span(&part, 1), std::span(&name, 1)));
      edit.bytes = ends_.emplace_back(part.begin(), part.end());
    } else if (const common::ByteView block = store::without_trailing_zeros(part); block.empty()) {
      edit.kind = store::Edit::Kind::Hole;
      edit.length = kBlockBytes;
    } else {
      edit.kind = store::Edit::Kind::Block;
      edit.length = kBlockBytes;
      blocks.push_back(block);
      places.push_back({edits_.size(), names_.size() - 1});
    }
    edits_.push_back(edit);
  }
  if (!blocks.empty()) {
    TROTH_TRY(const auto names,
              call_.volume.blocks().put_many(upload_, store::BlockKind::Data, blocks));
    for (std::size_t i = 0; i < names.size(); ++i) {
      edits_[places[i].edit].block = names[i];
      names_[places[i].name] = names[i].bytes;
    }
  }
  flushed_ += filled_;
  filled_ = 0;
  return {};
}

Result<Staging> StagedPiece::finish(const fileproto::ContentName& hash) {
  if (come_ != length_)
    return fail(ErrorCode::Protocol, "a piece of {} bytes ended after {}", length_, come_);
  TROTH_TRY(const auto its_hash, fileproto::hash_of_piece(offset_, length_, names_));
  if (its_hash != hash)
    return fail(ErrorCode::Corrupt, "the bytes of the piece are not those that its hash names");
  for (int attempt = 1;; ++attempt) {
    auto done = commit();
    if (done || done.error().code != ErrorCode::Conflict || attempt == kMostAttempts)
      return done;
    TROTH_TRY(staging_, find_staging(call_.volume, staging_.node, call_.owner));
  }
}

Result<Staging> StagedPiece::commit() {
  Staging next = staging_;
  add_range(next.there, {offset_, length_});
  if (next.there.size() > kMostStagedRanges)
    return fail(ErrorCode::ResourceExhausted,
                "the staging has {} gaps: fill some of them before making more",
                next.there.size() - 1);
  Volume::WriteRequest write;
  write.commit.caller = call_.caller;
  write.commit.deadline = call_.deadline;
  write.commit.upload = &upload_;
  write.commit.conditions = {store::VersionIs{staging_.node, staging_.version}};
  write.commit.operations = {store::SetXattr{staging_.node, std::string(kStagedRanges),
                                             encode_ranges(next.there), store::XattrMode::Any}};
  write.node = staging_.node;
  write.edits = edits_;
  write.size = staging_.size;
  write.base = staging_.data_version;
  TROTH_TRY(const store::CommitReply done, call_.volume.write(write));
  TROTH_TRY_VOID(keep(call_, staging_.node));
  next.version = done.seq;
  next.data_version = done.seq;
  return next;
}

}  // namespace fileserver
