#include "fileserver/dump/loader.hpp"

#include <filesystem>

#include "common/crypto/random.hpp"
#include "common/failpoint/failpoint.hpp"
#include "common/io/atomic_file.hpp"
#include "common/io/posix_file_io.hpp"
#include "fileserver/dump/dumper.hpp"
#include "fileserver/store/check/fsck.hpp"

namespace fileserver::dump {

namespace {

using common::ErrorCode;
using common::fail;
using store::Volume;

constexpr std::string_view kPartial = ".load";
constexpr std::string_view kPositionFile = "load-position";
// Blocks that are entered into the index at once.
constexpr std::size_t kBlocksAtOnce = 64;
constexpr std::chrono::minutes kSyncPatience{10};

}  // namespace

Loader::Loader(LoadOptions options, const common::Clock& clock, RecordReader reader)
    : options_(std::move(options)), clock_(clock), reader_(std::move(reader)) {}

Result<std::unique_ptr<Loader>> Loader::into_new(const std::string& directory, LoadOptions options,
                                                 const common::Clock& clock) {
  std::error_code error;
  if (std::filesystem::exists(directory, error))
    return fail(ErrorCode::AlreadyExists, "{} is there already: a dump makes a new volume",
                directory);
  TROTH_TRY(auto reader, RecordReader::create());
  std::unique_ptr<Loader> loader(new Loader(std::move(options), clock, std::move(reader)));
  loader->directory_ = directory;
  loader->partial_ = directory + std::string(kPartial);
  TROTH_TRY_VOID(loader->take_up());
  return loader;
}

Result<std::unique_ptr<Loader>> Loader::onto(Volume& copy, LoadOptions options,
                                             const common::Clock& clock) {
  TROTH_TRY(auto reader, RecordReader::create());
  std::unique_ptr<Loader> loader(new Loader(std::move(options), clock, std::move(reader)));
  loader->volume_ = &copy;
  return loader;
}

Loader::~Loader() {
  upload_.reset();
  if (!finished_ && !directory_.empty() && (!options_.keep_partial || position_.empty()))
    remove_partial();
}

void Loader::remove_partial() {
  upload_.reset();
  made_.reset();
  volume_ = nullptr;
  io_.reset();
  std::error_code ignored;  // what stays is refused by the next one that makes it
  std::filesystem::remove_all(partial_, ignored);
  position_.clear();
}

// What an earlier loader has left, if it may be gone on with.
Status Loader::take_up() {
  std::error_code error;
  if (!std::filesystem::exists(partial_, error))
    return {};
  if (!options_.keep_partial) {
    remove_partial();
    return {};
  }
  TROTH_TRY(io_, common::io::PosixFileIo::open_root(partial_));
  auto position = common::io::read_whole_file(*io_, kPositionFile, kMaxPosition);
  if (!position) {
    remove_partial();
    return {};
  }
  auto opened = Volume::open(partial_, options_.volume, clock_);
  // After a power loss what came later than the position may be there in part: nothing would tell.
  if (!opened || (*opened)->report().power_lost) {
    const bool is_busy = !opened && opened.error().code == ErrorCode::Busy;
    if (is_busy)
      return tl::unexpected(std::move(opened).error());
    if (opened)
      opened->reset();
    remove_partial();
    return {};
  }
  made_ = *std::move(opened);
  volume_ = made_.get();
  position_ = *std::move(position);
  return {};
}

Status Loader::feed(ByteView bytes) {
  if (failed_)
    return tl::unexpected(*failed_);
  const Status done = feed_whole(bytes);
  if (!done)
    failed_ = done.error();
  return done;
}

Status Loader::feed_whole(ByteView bytes) {
  reader_.feed(bytes);
  const auto key_for = [this](const Begin&) -> Result<const Secret*> { return options_.key; };
  for (;;) {
    TROTH_TRY(const auto record, reader_.next(key_for));
    if (!record)
      return {};
    TROTH_TRY_VOID(take(*record));
  }
}

Status Loader::take(const Record& record) {
  switch (record.type) {
    case RecordType::Begin:
      return take_begin();
    case RecordType::Rows:
      return take_rows(record.payload);
    case RecordType::Block:
      return take_block(record.payload);
    case RecordType::Commit:
      return take_commit(record.payload);
    case RecordType::Position:
      return take_position(record.payload);
    case RecordType::End:
      return enter_blocks();
  }
  return {};
}

// --- beginning ---

Status Loader::take_begin() {
  return directory_.empty() ? begin_onto() : begin_new();
}

Status Loader::begin_onto() {
  const Begin& begin = *reader_.begin();
  if (begin.what != What::Commits)
    return fail(ErrorCode::InvalidArgument,
                "this is a dump of a whole volume: load it into a new directory");
  if (begin.uuid != volume_->uuid())
    return fail(ErrorCode::InvalidArgument, "this is a dump of another volume");
  const Seq stands = volume_->last_seq();
  if (stands < begin.from)
    return fail(ErrorCode::Conflict, "the copy stands at {}, and the dump begins after {}",
                stands.value, begin.from.value);
  if (stands > begin.head.seq)
    return fail(ErrorCode::Conflict, "the copy stands at {} already, beyond the dump's end {}",
                stands.value, begin.head.seq.value);
  // The same seq may have been given to another commit where two volumes came from one.
  TROTH_TRY(const store::ImageHead here, volume_->image_head(begin.from));
  if (here.seq != begin.from || here.commit != begin.from_commit)
    return fail(ErrorCode::Conflict, "commit {} of the copy is not the one that was dumped",
                begin.from.value);
  return {};
}

Status Loader::begin_new() {
  const Begin& begin = *reader_.begin();
  if (begin.what == What::Commits)
    return fail(ErrorCode::InvalidArgument,
                "this is a dump of the commits after {}: it needs a copy that stands there",
                begin.from.value);
  if (begin.continues != position_) {
    if (!begin.continues.empty())
      return fail(ErrorCode::Conflict,
                  "the dump goes on from a position that was not reached here");
    remove_partial();  // begun anew
  }
  if (!position_.empty())
    return {};
  TROTH_TRY_VOID(make_directory());
  // One that goes a way of its own is another volume: what mounts have of the first is not of this.
  store::VolumeUuid uuid = begin.uuid;
  if (options_.then == LoadOptions::Then::Serve)
    TROTH_TRY_VOID(common::crypto::random_bytes(uuid));
  TROTH_TRY(made_, Volume::create_copy(partial_, options_.id.value_or(begin.volume), uuid,
                                       options_.volume, clock_));
  volume_ = made_.get();
  return {};
}

Status Loader::make_directory() {
  std::error_code error;
  std::filesystem::create_directory(partial_, error);
  if (error)
    return common::fail_errno(error.value(), "make {}", partial_);
  std::filesystem::permissions(partial_, std::filesystem::perms::owner_all, error);
  TROTH_TRY(io_, common::io::PosixFileIo::open_root(partial_));
  return {};
}

// --- what comes ---

Status Loader::take_rows(ByteView payload) {
  if (directory_.empty())
    return fail(ErrorCode::Protocol, "a dump of commits has rows");
  TROTH_TRY(const Rows rows, decode_rows(payload));
  TROTH_TRY_VOID(volume_->load_image(rows.table, rows.rows));
  totals_.rows += rows.rows.size();
  return {};
}

Status Loader::take_block(ByteView payload) {
  TROTH_TRY(const Block block, decode_block(payload));
  if (!upload_)
    upload_.emplace(volume_->blocks().begin_upload());
  TROTH_TRY_VOID(volume_->blocks().put_named(*upload_, block.name, block.kind, block.bytes));
  ++totals_.blocks;
  // Those of a commit are entered with it.
  if (!directory_.empty() && upload_->written().size() >= kBlocksAtOnce)
    return enter_blocks();
  return {};
}

Status Loader::enter_blocks() {
  if (!upload_)
    return {};
  if (!directory_.empty())
    TROTH_TRY_VOID(volume_->load_blocks(*upload_));
  upload_.reset();
  return {};
}

Status Loader::take_commit(ByteView payload) {
  if (!directory_.empty())
    return fail(ErrorCode::Protocol, "a dump of a whole volume has commits");
  TROTH_TRY(const store::CommitRecord record, store::decode_record(payload));
  ++totals_.commits;
  if (record.seq > volume_->last_seq())
    TROTH_TRY_VOID(volume_->redo(record, upload_ ? &*upload_ : nullptr));
  upload_.reset();
  return {};
}

Status Loader::take_position(ByteView payload) {
  TROTH_TRY_VOID(enter_blocks());
  if (directory_.empty()) {
    position_.assign(payload.begin(), payload.end());
    return {};
  }
  TROTH_TRY_VOID(volume_->sync(clock_.now() + kSyncPatience));
  TROTH_FAILPOINT_TRY("dump.load.before_position");
  if (options_.keep_partial)
    TROTH_TRY_VOID(common::io::write_file_atomically(*io_, kPositionFile, payload));
  position_.assign(payload.begin(), payload.end());
  return {};
}

// --- the end ---

Result<LoadReport> Loader::finish() {
  if (failed_)
    return tl::unexpected(*failed_);
  auto done = finish_whole();
  if (!done)
    failed_ = done.error();
  return done;
}

Result<LoadReport> Loader::finish_whole() {
  if (const Status whole = reader_.finish(); !whole) {
    if (directory_.empty() && reader_.begin())
      return tl::unexpected(
          whole.error().in(fmt::format("the copy stands at commit {}", volume_->last_seq().value)));
    return tl::unexpected(whole.error());
  }
  LoadReport report;
  report.begin = *reader_.begin();
  report.totals = totals_;
  report.totals.bytes = reader_.bytes();
  if (!directory_.empty())
    TROTH_TRY_VOID(finish_rows());
  report.seq = volume_->last_seq();
  if (report.seq != report.begin.head.seq)
    return fail(ErrorCode::Corrupt, "the volume stands at {} after a dump up to {}",
                report.seq.value, report.begin.head.seq.value);
  TROTH_TRY_VOID(check_image());
  if (directory_.empty())
    TROTH_TRY_VOID(volume_->sync(clock_.now() + kSyncPatience));
  else
    TROTH_TRY_VOID(settle());
  finished_ = true;
  return report;
}

Status Loader::finish_rows() {
  const Begin& begin = *reader_.begin();
  TROTH_TRY_VOID(enter_blocks());
  return volume_->finish_image(begin.head);
}

// The result says the same as its original said.
Status Loader::check_image() {
  const Begin& begin = *reader_.begin();
  const auto scope =
      begin.what == What::History ? store::ImageScope::History : store::ImageScope::Present;
  TROTH_TRY(const auto digest, image_digest(*volume_, begin.head.seq, scope));
  if (digest != reader_.end()->image)
    return fail(ErrorCode::Corrupt, "the volume that was loaded is not the one that was dumped");
  return {};
}

Status Loader::settle() {
  TROTH_TRY_VOID(volume_->close());
  made_.reset();
  volume_ = nullptr;
  if (options_.check) {
    store::FsckOptions how;
    how.blocks = false;  // each was verified when it came
    how.key = options_.volume.key;
    TROTH_TRY(const store::FsckReport found, store::check_volume(partial_, how, clock_));
    if (!found.is_sound())
      return fail(ErrorCode::Corrupt, "the volume that was dumped is damaged: {} {}",
                  found.findings.front().invariant, found.findings.front().what);
  }
  // From here on there is nothing to go on with: it is either whole, or begun anew.
  if (options_.keep_partial) {
    const Status gone = io_->unlink(kPositionFile);
    if (!gone && gone.error().code != ErrorCode::NotFound)
      return gone;
  }
  if (options_.then == LoadOptions::Then::Serve) {
    TROTH_TRY(made_, Volume::open(partial_, options_.volume, clock_));
    TROTH_TRY_VOID(made_->begin_epoch(common::Epoch{made_->epoch().value + 1}));
    TROTH_TRY_VOID(made_->close());
    made_.reset();
  }
  TROTH_FAILPOINT_TRY("dump.load.before_rename");
  const std::filesystem::path target(directory_);
  const std::string parent = target.has_parent_path() ? target.parent_path().string() : ".";
  TROTH_TRY(const auto above, common::io::PosixFileIo::open_root(parent));
  return above->rename_durably(target.filename().string() + std::string(kPartial),
                               target.filename().string());
}

}  // namespace fileserver::dump
