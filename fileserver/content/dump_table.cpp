#include "fileserver/content/dump_table.hpp"

#include "fileserver/content/piece_cursor.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;

}  // namespace

void DumpTable::forget_idle() {
  const common::Instant now = clock_.now();
  std::erase_if(drawn_, [&](const auto& each) {
    return !each.second->busy && now - each.second->used > caps_.idle;
  });
}

Result<std::shared_ptr<DumpTable::Drawn>> DumpTable::begin(const Wanted& wanted, std::string& id) {
  TROTH_TRY(id, new_cursor_id());
  auto drawn = std::make_shared<Drawn>();
  drawn->volume = wanted.volume;
  drawn->id = wanted.volume.id();
  drawn->principal = wanted.principal;
  drawn->busy = true;
  drawn->used = clock_.now();
  {
    const common::MutexLock lock(mutex_);
    forget_idle();
    if (drawn_.size() >= caps_.dumps)
      return fail(ErrorCode::ResourceExhausted, "{} dumps are under way on this server",
                  drawn_.size());
    drawn_.emplace(id, drawn);
  }
  auto dumper = dump::Dumper::begin(*drawn->volume, wanted.options, clock_);
  if (!dumper) {
    const common::MutexLock lock(mutex_);
    drawn_.erase(id);
    return tl::unexpected(std::move(dumper).error());
  }
  drawn->dumper = *std::move(dumper);
  return drawn;
}

// Whole records, as many as fit; one that is longer makes a piece of its own.
Status DumpTable::fill(Drawn& drawn, const std::string& id) const {
  if (!drawn.dumper)
    return fail(ErrorCode::InvalidArgument, "that dump has come to its end");
  drawn.last = {};
  drawn.last.bytes = std::move(drawn.left_over);
  drawn.left_over.clear();
  ++drawn.piece;
  for (;;) {
    TROTH_TRY(const common::ByteView record, drawn.dumper->next());
    if (record.empty())
      return {};
    common::Bytes& bytes = drawn.last.bytes;
    if (!bytes.empty() && bytes.size() + record.size() > caps_.piece_bytes) {
      drawn.left_over.assign(record.begin(), record.end());
      drawn.last.cursor = PieceCursor{id, drawn.piece + 1}.text();
      return {};
    }
    bytes.insert(bytes.end(), record.begin(), record.end());
  }
}

Result<DumpPiece> DumpTable::next(const Wanted& wanted) {
  std::string id;
  std::uint64_t piece = 1;
  std::shared_ptr<Drawn> drawn;
  if (wanted.cursor.empty()) {
    TROTH_TRY(drawn, begin(wanted, id));
  } else {
    TROTH_TRY(const PieceCursor cursor, parse_cursor(wanted.cursor));
    id = cursor.id;
    piece = cursor.piece;
    const common::MutexLock lock(mutex_);
    forget_idle();
    const auto found = drawn_.find(id);
    if (found == drawn_.end() || found->second->principal != wanted.principal ||
        found->second->id != wanted.volume.id())
      return fail(ErrorCode::Expired, "that dump is not under way any more: begin it again");
    drawn = found->second;
    if (drawn->busy)
      return fail(ErrorCode::Busy, "that dump is being made by another call");
    if (piece != drawn->piece && piece != drawn->piece + 1)
      return fail(ErrorCode::InvalidArgument, "that piece of the dump is gone");
    drawn->busy = true;
  }
  const Status filled = piece == drawn->piece ? Status() : fill(*drawn, id);
  const common::MutexLock lock(mutex_);
  drawn->busy = false;
  drawn->used = clock_.now();
  if (!filled) {
    drawn_.erase(id);
    return tl::unexpected(filled.error());
  }
  // The last piece may be asked for again, too: it goes when it has been idle for long, but holds
  // nothing of the volume any more.
  if (drawn->last.cursor.empty()) {
    drawn->dumper.reset();
    drawn->volume = {};
  }
  return drawn->last;
}

void DumpTable::tidy() {
  const common::MutexLock lock(mutex_);
  forget_idle();
}

void DumpTable::clear() {
  const common::MutexLock lock(mutex_);
  drawn_.clear();
}

}  // namespace fileserver
