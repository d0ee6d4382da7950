// Whole copies: rows of a seq out, and in.

#include "common/failpoint/failpoint.hpp"
#include "fileserver/store/volume_parts.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;

constexpr std::size_t kMostNames = 65'536;

}  // namespace

bool Volume::is_sealed() const {
  return parts_->identity.sealed.has_value();
}

Result<Volume::HistoryHold> Volume::hold_history() {
  Parts& parts = *parts_;
  auto work = parts.upkeep.lock();
  // What is being forgotten already goes first, so that pages read later are like those before.
  while (work->trimming)
    TROTH_TRY_VOID(parts.trim(*work));
  return parts.history_hold;
}

Result<ImageHead> Volume::image_head(Seq seq) {
  const Seq newest = std::min(seq, visible_seq());
  return parts_->db->read([&](ReadTx& tx) { return read_image_head(tx, newest); });
}

Result<ImagePage> Volume::image_page(Seq seq, ImageScope scope, const ImageCursor& after) {
  Parts& parts = *parts_;
  return parts.db->read(
      [&](ReadTx& tx) { return read_image_page(tx, seq, scope, after, parts.seal); });
}

Result<std::vector<IndexRow>> Volume::indexed_blocks(const BlockName& after, std::size_t limit) {
  return parts_->roots.index_after(after, std::min(limit, kMostNames));
}

Status Volume::load_image(ImageTable table, std::span<const ByteView> rows) {
  Parts& parts = *parts_;
  if (!parts.follows.load())
    return fail(ErrorCode::InvalidArgument, "this copy commits by itself; it takes no rows");
  const auto change = [&](WriteTx& tx) -> Status {
    for (const ByteView row : rows)
      TROTH_TRY_VOID(load_image_row(tx, table, row, parts.seal));
    return {};
  };
  TROTH_FAILPOINT_TRY("store.load.before_rows");
  TROTH_TRY_VOID(parts.db->commit(change));
  TROTH_FAILPOINT("store.load.after_rows");
  return {};
}

Status Volume::load_blocks(const Upload& upload) {
  Parts& parts = *parts_;
  if (!parts.follows.load())
    return fail(ErrorCode::InvalidArgument, "this copy commits by itself; it takes no blocks");
  const auto change = [&](WriteTx& tx) -> Status {
    TROTH_TRY_VOID(parts.enter_blocks(tx, Seq{0}, upload));
    // No commit came with them.
    return tx.run("DELETE FROM unsynced WHERE seq = 0");
  };
  TROTH_FAILPOINT_TRY("store.load.before_blocks");
  TROTH_TRY(const std::uint64_t number, parts.db->commit(change));
  TROTH_FAILPOINT("store.load.after_blocks");
  parts.entered(number, upload);
  return {};
}

Status Volume::finish_image(const ImageHead& head) {
  Parts& parts = *parts_;
  if (!parts.follows.load())
    return fail(ErrorCode::InvalidArgument, "this copy commits by itself");
  const auto change = [&](WriteTx& tx) { return store::finish_image(tx, head); };
  TROTH_TRY_VOID(parts.db->commit(change));
  TROTH_TRY_VOID(parts.sync());
  return parts.load();
}

}  // namespace fileserver::store
