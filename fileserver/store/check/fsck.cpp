#include "fileserver/store/check/fsck.hpp"

#include <algorithm>

#include "common/crypto/hash.hpp"
#include "fileserver/store/check/fsck_state.hpp"
#include "fileserver/store/meta/key_proof.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;

// A check reads whole tables, and nobody else waits.
constexpr std::chrono::hours kLongestRead{24};
constexpr std::chrono::minutes kSyncPatience{10};

Status open_all(Check& check) {
  TROTH_TRY_VOID(must_be_there(check.directory));
  common::db::Options how;
  how.application_id = kVolumeApplicationId;
  how.hold_mark = true;  // what has reached the disk is for the next opening to find out
  how.longest_read = kLongestRead;
  TROTH_TRY(check.db, common::db::Database::open(metadata_path(check.directory), std::move(how),
                                                 volume_migrations(), check.clock));
  TROTH_TRY(auto row, check.db->read([](ReadTx& tx) { return read_volume_row(tx); }));
  if (!row)
    return fail(ErrorCode::NotFound, "there is no volume in {}", check.directory);
  check.volume = *std::move(row);
  TROTH_TRY_VOID(check_key(check.volume.sealed, check.options.key, check.volume.uuid));
  if (check.options.key != nullptr) {
    TROTH_TRY(check.seal, TailSeal::create(*check.options.key));
  }
  TROTH_TRY(check.io, common::io::PosixFileIo::open_root(check.directory));
  SegmentOptions segments;
  segments.volume = check.volume.uuid;
  segments.key = check.options.key;
  segments.first_number = check.volume.last_segment + 1;
  TROTH_TRY(check.segments, Segments::open(*check.io, "segments", segments, check.clock));
  check.index = std::make_unique<CheckedIndex>(*check.db);
  check.pool = std::make_unique<WorkPool>(0);
  check.blocks =
      std::make_unique<BlockStore>(*check.segments, *check.index, *check.pool, BlockStoreOptions{});
  return {};
}

// What a life that did not end in order leaves, and the next opening takes up.
Status note_unclean(Check& check) {
  if (!check.volume.clean)
    check.found("recovery", "the volume was not closed in order: opening it will recover", false,
                true);
  TROTH_TRY(const auto unsynced, check.db->read([](ReadTx& tx) { return read_unsynced(tx); }));
  std::size_t blocks = 0;
  for (const UnsyncedCommit& commit : unsynced)
    blocks += commit.blocks.size();
  if (blocks > 0)
    check.found("I2", fmt::format("{} blocks may not have reached the disk", blocks), false, true);
  return {};
}

// Records tell for themselves where they belong; a header that is not right is a sign, and no loss.
void note_headers(Check& check) {
  for (const SegmentInfo& segment : check.segments->list()) {
    if (!segment.header_ok)
      check.found("I9", fmt::format("the header of segment {} is damaged", segment.number), false,
                  true);
  }
}

Status count(Check& check) {
  const auto look = [&](ReadTx& tx) -> Status {
    TROTH_TRY(auto row, tx.query("SELECT (SELECT count(*) FROM node), (SELECT count(*) FROM "
                                 "commits)"));
    TROTH_TRY_VOID(row.step());
    check.report.nodes = row.column_uint64(0);
    check.report.commits = row.column_uint64(1);
    return {};
  };
  return check.db->read(look);
}

// First what can be derived, so that the checks see it repaired.
Status run(Check& check) {
  TROTH_TRY_VOID(open_all(check));
  check.say("database");
  TROTH_TRY_VOID(check.db->check(common::db::Database::CheckDepth::Full));
  TROTH_TRY_VOID(count(check));
  TROTH_TRY_VOID(note_unclean(check));
  note_headers(check);
  if (check.options.repair)
    TROTH_TRY_VOID(repair_index(check));
  check.say("rows");
  TROTH_TRY_VOID(check_rows(check));
  if (check.options.repair)
    TROTH_TRY_VOID(repair_rows(check));
  TROTH_TRY_VOID(check_log(check));
  TROTH_TRY_VOID(check_contents(check));
  if (check.options.blocks)
    TROTH_TRY_VOID(check_blocks(check));
  if (check.options.repair)
    TROTH_TRY_VOID(check.db->sync(check.clock.now() + kSyncPatience));
  return check.db->close();
}

}  // namespace

void Check::found(std::string_view invariant, std::string what, bool repaired, bool harmless) {
  ++report.total_findings;
  if (!repaired && !harmless)
    ++report.unsound;
  if (report.findings.size() < kMaxFindings)
    report.findings.push_back({std::string(invariant), std::move(what), repaired, harmless});
}

bool FsckReport::is_sound() const {
  return unsound == 0;
}

Status check_log(Check& check) {
  constexpr std::size_t kRecords = 1000;
  constexpr std::size_t kBytes = 16 << 20;
  Seq after{check.volume.floor.value == 0 ? 0 : check.volume.floor.value - 1};
  for (;;) {
    const auto records = check.db->read(
        [&](ReadTx& tx) { return read_records(tx, after, kRecords, kBytes, check.seal); });
    if (!records && records.error().code == ErrorCode::Corrupt) {
      check.found("I7", records.error().message);
      return {};  // what comes after it is not looked at: it is one log
    }
    if (!records)
      return tl::unexpected(records.error());
    if (records->empty())
      return {};
    after = records->back().seq;
  }
}

Result<FsckReport> check_volume(const std::string& directory, const FsckOptions& options,
                                const common::Clock& clock) {
  Check check(directory, options, clock);
  TROTH_TRY_VOID(run(check));
  return std::move(check.report);
}

}  // namespace fileserver::store
