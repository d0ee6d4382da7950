#include "fileserver/content/load_table.hpp"

#include <vector>

#include "fileserver/content/piece_cursor.hpp"

namespace fileserver {

namespace {

using common::ErrorCode;
using common::fail;
using common::Result;
using common::Status;

}  // namespace

Result<LoadTable::TakenPtr> LoadTable::begin(const Piece& piece, std::string& id) {
  TROTH_TRY(id, new_cursor_id());
  auto taken = std::make_shared<Taken>();
  taken->principal = piece.principal;
  taken->busy = true;
  taken->used = clock_.now();
  {
    const common::MutexLock lock(mutex_);
    if (taken_.size() >= caps_.loads)
      return fail(ErrorCode::ResourceExhausted, "{} dumps are being loaded on this server",
                  taken_.size());
    taken_.emplace(id, taken);
  }
  auto load = piece.begin();
  if (!load) {
    const common::MutexLock lock(mutex_);
    taken_.erase(id);
    return tl::unexpected(std::move(load).error());
  }
  taken->load = *std::move(load);
  return taken;
}

Result<LoadTable::TakenPtr> LoadTable::find(const Piece& piece, const std::string& id,
                                            std::uint64_t number) {
  const common::MutexLock lock(mutex_);
  const auto found = taken_.find(id);
  if (found == taken_.end() || found->second->principal != piece.principal)
    return fail(ErrorCode::Expired, "that load is not under way any more: begin it again");
  const TakenPtr& taken = found->second;
  if (taken->busy)
    return fail(ErrorCode::Busy, "a piece of that load is being taken by another call");
  if (number != taken->piece && number != taken->piece + 1)
    return fail(ErrorCode::InvalidArgument, "piece {} comes next, not {}", taken->piece + 1,
                number);
  taken->busy = true;
  return taken;
}

Status LoadTable::take(Taken& taken, const Piece& piece, const std::string& id) {
  if (!taken.load)
    return fail(ErrorCode::InvalidArgument, "that load has come to its end");
  TROTH_TRY_VOID(taken.load->feed(piece.bytes));
  ++taken.piece;
  taken.last = {};
  if (!piece.end) {
    taken.last.cursor = PieceCursor{id, taken.piece + 1}.text();
    return {};
  }
  TROTH_TRY(taken.last.loaded, taken.load->finish());
  taken.load.reset();
  return {};
}

Result<LoadAnswer> LoadTable::next(const Piece& piece) {
  tidy();
  PieceCursor cursor;
  cursor.piece = 1;
  TakenPtr taken;
  if (piece.cursor.empty()) {
    TROTH_TRY(taken, begin(piece, cursor.id));
  } else {
    TROTH_TRY(cursor, parse_cursor(piece.cursor));
    TROTH_TRY(taken, find(piece, cursor.id, cursor.piece));
  }
  const Status done = cursor.piece == taken->piece ? Status() : take(*taken, piece, cursor.id);
  if (!done)
    taken->load.reset();  // what there is of it goes, without the lock
  const common::MutexLock lock(mutex_);
  taken->busy = false;
  taken->used = clock_.now();
  if (!done) {
    taken_.erase(cursor.id);
    return tl::unexpected(done.error());
  }
  return taken->last;
}

void LoadTable::tidy() {
  std::vector<TakenPtr> given_up;  // goes without the lock
  const common::MutexLock lock(mutex_);
  const common::Instant now = clock_.now();
  for (auto each = taken_.begin(); each != taken_.end();) {
    if (each->second->busy || now - each->second->used <= caps_.idle) {
      ++each;
      continue;
    }
    given_up.push_back(std::move(each->second));
    each = taken_.erase(each);
  }
}

void LoadTable::clear() {
  std::map<std::string, TakenPtr> all;
  const common::MutexLock lock(mutex_);
  all.swap(taken_);
}

}  // namespace fileserver
