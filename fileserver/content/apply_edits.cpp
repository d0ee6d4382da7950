#include "fileserver/content/apply_edits.hpp"

#include <algorithm>
#include <cerrno>

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::fail_posix;
using fileproto::ByteRange;
using store::Content;

// Longer pieces of a staging are taken over block by block, unread.
constexpr std::uint64_t kTakenOver = 1 << 20;
// Shorter ones are read and put in together.
constexpr std::uint64_t kReadAtOnce = 4 << 20;

Status check_range(std::uint64_t offset, std::uint64_t length, std::uint64_t size) {
  if (length > size || offset > size - length)
    return fail(ErrorCode::InvalidArgument, "an edit of {} bytes at {} reaches beyond the end {}",
                length, offset, size);
  return {};
}

Status check_change(const fileproto::Store& change) {
  if (change.size > store::kMaxFileSize)
    return fail_posix(EFBIG, "a file has at most 2^62 bytes");
  for (const fileproto::Edit& edit : change.edits)
    TROTH_TRY_VOID(check_range(edit.offset, edit.length, change.size));
  return {};
}

// Holes beyond the new end say nothing.
std::vector<store::Edit> hole_edits(const fileproto::Store& change) {
  std::vector<store::Edit> edits;
  for (const ByteRange& hole : change.holes) {
    if (hole.offset >= change.size || hole.length == 0)
      continue;
    store::Edit edit;
    edit.kind = store::Edit::Kind::Hole;
    edit.offset = hole.offset;
    edit.length = std::min(hole.length, change.size - hole.offset);
    edits.push_back(edit);
  }
  return edits;
}

// Puts pieces of a staging into a content, short ones together.
class StagedPieces {
 public:
  StagedPieces(store::BlockStore& blocks, store::Upload& upload, const Content& staged,
               Content& content)
      : blocks_(blocks), upload_(upload), staged_(staged), content_(content) {}

  Status put(const fileproto::Edit& piece) {
    if (piece.length >= kTakenOver) {
      TROTH_TRY_VOID(flush());
      TROTH_TRY(content_, store::copy_range(blocks_, upload_, staged_, piece.from, piece.length,
                                            content_, piece.offset));
      return {};
    }
    if (bytes_ + piece.length > kReadAtOnce)
      TROTH_TRY_VOID(flush());
    common::Bytes& into = buffers_.emplace_back(piece.length);
    TROTH_TRY(const std::size_t length, store::read_content(blocks_, staged_, piece.from, into));
    if (length != into.size())
      return fail(ErrorCode::InvalidArgument, "an edit reaches beyond the end of its staging");
    store::Edit edit;
    edit.offset = piece.offset;
    edit.bytes = into;
    edits_.push_back(edit);
    end_ = std::max(end_, piece.offset + piece.length);
    bytes_ += piece.length;
    return {};
  }

  Status flush() {
    if (edits_.empty())
      return {};
    TROTH_TRY(content_, store::edit_content(blocks_, upload_, content_, edits_,
                                            std::max(end_, content_.size)));
    edits_.clear();
    buffers_.clear();
    bytes_ = 0;
    return {};
  }

 private:
  store::BlockStore& blocks_;
  store::Upload& upload_;
  const Content& staged_;
  Content& content_;
  std::vector<store::Edit> edits_;
  std::vector<common::Bytes> buffers_;
  std::uint64_t bytes_ = 0;
  std::uint64_t end_ = 0;
};

}  // namespace

Result<Content> apply_edits(store::BlockStore& blocks, store::Upload& upload, const Content& base,
                            const fileproto::Store& change, ByteView raw) {
  TROTH_TRY_VOID(check_change(change));
  std::vector<store::Edit> edits = hole_edits(change);
  for (const fileproto::Edit& piece : change.edits) {
    if (piece.length > raw.size())
      return fail(ErrorCode::InvalidArgument, "fewer bytes came along than the edits say");
    store::Edit edit;
    edit.offset = piece.offset;
    edit.bytes = raw.first(piece.length);
    raw = raw.subspan(piece.length);
    if (piece.length != 0)
      edits.push_back(edit);
  }
  if (!raw.empty())
    return fail(ErrorCode::InvalidArgument, "more bytes came along than the edits say");
  // Most stores are small files, whole.
  if (base.size == 0 && edits.size() == 1 && edits[0].kind == store::Edit::Kind::Data &&
      edits[0].bytes.size() == change.size)
    return store::make_content(blocks, upload, edits[0].bytes);
  return store::edit_content(blocks, upload, base, edits, change.size);
}

Result<Content> apply_staged(store::BlockStore& blocks, store::Upload& upload, const Content& base,
                             const fileproto::Store& change, const Content& staged) {
  TROTH_TRY_VOID(check_change(change));
  for (const fileproto::Edit& piece : change.edits)
    TROTH_TRY_VOID(check_range(piece.from, piece.length, staged.size));
  Content content = base;
  if (const auto holes = hole_edits(change); !holes.empty()) {
    TROTH_TRY(content,
              store::edit_content(blocks, upload, base, holes, std::max(base.size, change.size)));
  }
  StagedPieces pieces(blocks, upload, staged, content);
  for (const fileproto::Edit& piece : change.edits)
    if (piece.length != 0)
      TROTH_TRY_VOID(pieces.put(piece));
  TROTH_TRY_VOID(pieces.flush());
  if (content.size == change.size)
    return content;
  return store::edit_content(blocks, upload, content, {}, change.size);
}

void add_range(std::vector<ByteRange>& ranges, ByteRange more) {
  if (more.length == 0)
    return;
  // The first that ends at or after its beginning.
  auto first = std::ranges::find_if(
      ranges, [&](const ByteRange& r) { return r.offset + r.length >= more.offset; });
  auto last = first;
  std::uint64_t begin = more.offset;
  std::uint64_t end = more.offset + more.length;
  for (; last != ranges.end() && last->offset <= end; ++last) {
    begin = std::min(begin, last->offset);
    end = std::max(end, last->offset + last->length);
  }
  first = ranges.erase(first, last);
  ranges.insert(first, {begin, end - begin});
}

bool has_range(std::span<const ByteRange> ranges, ByteRange range) {
  return range.length == 0 || std::ranges::any_of(ranges, [&](const ByteRange& r) {
           return r.offset <= range.offset && r.offset + r.length >= range.offset + range.length;
         });
}

}  // namespace fileserver
