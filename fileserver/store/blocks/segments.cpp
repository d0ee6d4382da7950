#include "fileserver/store/blocks/segments.hpp"

#include <algorithm>
#include <map>

#include "common/crypto/aead.hpp"
#include "common/crypto/hkdf.hpp"
#include "common/failpoint/failpoint.hpp"
#include "common/sync/locked.hpp"
#include "common/sync/mutex.hpp"
#include "fileserver/store/blocks/segment_scan.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::Locked;
using common::MutexLock;
using common::crypto::Secret;
using common::io::File;
using common::io::OpenMode;

// One call writes at most this much: more saves no time, and it is kept in memory per thread.
constexpr std::size_t kWriteBytes = 1 << 20;
// Room is reserved on the disk this far ahead: enough for extents to be large, little enough that a
// small volume on a small disk does not take it all.
constexpr std::uint64_t kAllocateAhead = 8 << 20;
// After so many bytes the kernel is asked to begin writing them, so that a sync after a long stream
// has little left to do.
constexpr std::uint64_t kWritebackBytes = 8 << 20;
// Handles of closed segments kept open; 64 GiB of hot blocks.
constexpr std::size_t kMaxOpenFiles = 256;
constexpr std::string_view kKeyLabel = "troth segment";

// One segment. Reached only under the lock of the table.
struct Entry {
  std::shared_ptr<File> file;         // null: not open at the moment
  std::shared_ptr<const Secret> key;  // null: not sealed
  std::uint64_t end = 0;              // what is reserved ends here
  std::uint64_t allocated = 0;        // room is reserved on the disk up to here
  std::uint64_t written_back = 0;     // the kernel was asked to write up to here
  std::uint64_t written = 0;          // appends that are done
  std::uint64_t synced = 0;           // of them, those before the last good sync
  std::uint64_t last_used = 0;
  std::uint32_t in_flight = 0;  // appends that have reserved and not finished
  bool writable = false;        // `file` is
  bool closed = true;
  bool needs_cut = false;  // something may lie behind `end`
};

struct Table {
  std::map<std::uint32_t, Entry> entries;
  std::uint32_t active = 0;  // 0: the next append begins one
  std::uint32_t next_number = 1;
  std::uint64_t uses = 0;
  bool directory_dirty = false;
  Status health;
};

// What a thread needs of a segment to use it without the lock.
struct Handle {
  std::shared_ptr<File> file;
  std::shared_ptr<const Secret> key;
  std::uint64_t end = 0;
};

// A place that belongs to one append until it is finished.
struct Reservation {
  std::uint32_t segment = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::size_t blocks = 0;
  Handle handle;
  std::uint64_t allocate_to = 0;  // 0: nothing to do
};

std::string join(std::string_view directory, std::string_view name) {
  return directory.empty() ? std::string(name) : fmt::format("{}/{}", directory, name);
}

}  // namespace

struct Segments::State {
  State(common::io::FileIo& io_, std::string directory_, SegmentOptions options_,
        const common::Clock& clock_)
      : io(io_), directory(std::move(directory_)), options(options_), clock(clock_) {}

  [[nodiscard]] std::string path(std::uint32_t segment) const {
    return join(directory, segment_file_name(segment));
  }
  [[nodiscard]] Result<std::shared_ptr<const Secret>> key_of(std::uint32_t segment) const;
  [[nodiscard]] Status make_directory();
  [[nodiscard]] Status adopt(std::uint32_t segment);
  [[nodiscard]] Status check_header(File& file, std::uint32_t segment) const;
  [[nodiscard]] Result<Handle> open_segment(std::uint32_t segment);
  [[nodiscard]] Status begin_segment();
  [[nodiscard]] Result<std::unique_ptr<File>> make_file(std::uint32_t segment);
  [[nodiscard]] Result<Reservation> reserve(std::span<const PreparedBlock> blocks);
  [[nodiscard]] Status write(const Reservation& place, std::span<const PreparedBlock> blocks,
                             std::vector<Placement>& placements);
  void finish(const Reservation& place, const Status& outcome);
  void cut_if_idle(std::uint32_t segment);
  [[nodiscard]] Status poison(const common::Error& why);

  common::io::FileIo& io;
  const std::string directory;
  const SegmentOptions options;
  const common::Clock& clock;
  Locked<Table> table;
  // Held while a segment's file is made, so that only one is. Taken before the table's lock.
  common::Mutex making;
  // Held through a sync: a second one must not return before the first has told of a failure, since
  // the kernel reports it to one of them only. Taken before the table's lock.
  common::Mutex syncing;
};

Result<std::shared_ptr<const Secret>> Segments::State::key_of(std::uint32_t segment) const {
  if (options.key == nullptr)
    return nullptr;
  std::array<std::byte, sizeof(VolumeUuid) + 4> context{};
  std::copy(options.volume.begin(), options.volume.end(), context.begin());
  for (std::size_t i = 0; i < 4; ++i)
    context[options.volume.size() + i] = static_cast<std::byte>(segment >> (24 - 8 * i));
  TROTH_TRY(auto key, common::crypto::derive_key(*options.key, kKeyLabel, context));
  return std::make_shared<const Secret>(std::move(key));
}

Status Segments::State::make_directory() {
  if (directory.empty())
    return {};
  const Status made = io.make_directory(directory);
  if (!made && made.error().code != ErrorCode::AlreadyExists)
    return made;
  // Also where it existed: a former start may have ended between the two.
  return io.sync_directory(common::io::parent_of(directory));
}

Status Segments::State::check_header(File& file, std::uint32_t segment) const {
  std::array<std::byte, kSegmentHeaderBytes> bytes{};
  // Unreadable or damaged: its records tell for themselves where they belong.
  if (!file.read_exactly(0, bytes))
    return {};
  const auto header = decode_segment_header(bytes);
  if (!header)
    return header.error().code == ErrorCode::Unsupported
               ? Status(tl::unexpected(header.error().in(path(segment))))
               : Status();
  if (header->volume != options.volume)
    return fail(ErrorCode::InvalidArgument,
                "{} belongs to another volume: move it out of this directory", path(segment));
  return {};
}

// Takes a segment that was there when the directory was opened.
Status Segments::State::adopt(std::uint32_t segment) {
  TROTH_TRY(const auto file, io.open(path(segment), OpenMode::Read));
  TROTH_TRY_VOID(check_header(*file, segment));
  TROTH_TRY(const std::uint64_t size, file->size());
  auto locked = table.lock();
  locked->entries[segment].end = size;
  locked->next_number = std::max(locked->next_number, segment + 1);
  return {};
}

Result<std::unique_ptr<Segments>> Segments::open(common::io::FileIo& io, std::string directory,
                                                 SegmentOptions options,
                                                 const common::Clock& clock) {
  if (options.segment_bytes < kSegmentHeaderBytes + record_size(kBlockBytes, true))
    return fail(ErrorCode::InvalidArgument, "segments of {} bytes hold no full block",
                options.segment_bytes);
  auto state = std::make_unique<State>(io, std::move(directory), options, clock);
  TROTH_TRY_VOID(state->make_directory());
  TROTH_TRY(const auto entries, io.list(state->directory));
  for (const auto& entry : entries) {
    const auto segment = segment_of_file_name(entry.name);
    if (segment && entry.kind == common::io::EntryKind::File)
      TROTH_TRY_VOID(state->adopt(*segment));
  }
  return std::unique_ptr<Segments>(new Segments(std::move(state)));
}

Segments::Segments(std::unique_ptr<State> state) : state_(std::move(state)) {}

Segments::~Segments() {
  static_cast<void>(close_active());
}

// Closes the handles that were not used for longest, down to the cap. Those with bytes to be synced
// stay: the kernel tells of a failed write only through a handle that was open at the time.
void close_idle_files(Table& table) {
  std::vector<Entry*> idle;
  for (auto& [number, entry] : table.entries) {
    if (entry.file && entry.closed && entry.in_flight == 0 && entry.synced == entry.written)
      idle.push_back(&entry);
  }
  if (idle.size() <= kMaxOpenFiles)
    return;
  std::ranges::sort(idle, {}, &Entry::last_used);
  for (std::size_t i = 0; i < idle.size() - kMaxOpenFiles / 2; ++i)
    idle[i]->file.reset();
}

Result<Handle> Segments::State::open_segment(std::uint32_t segment) {
  {
    auto locked = table.lock();
    const auto found = locked->entries.find(segment);
    if (found == locked->entries.end())
      return fail(ErrorCode::NotFound, "there is no segment {}", segment);
    Entry& entry = found->second;
    entry.last_used = ++locked->uses;
    if (entry.file)
      return Handle{entry.file, entry.key, entry.end};
  }
  TROTH_TRY(std::shared_ptr<File> file, io.open(path(segment), OpenMode::Read));
  TROTH_TRY(auto key, key_of(segment));
  auto locked = table.lock();
  const auto found = locked->entries.find(segment);
  if (found == locked->entries.end())  // removed meanwhile; what was opened still reads well
    return fail(ErrorCode::NotFound, "there is no segment {}", segment);
  Entry& entry = found->second;
  if (!entry.file) {
    entry.file = std::move(file);
    entry.key = std::move(key);
    entry.writable = false;
  }
  const Handle handle{entry.file, entry.key, entry.end};
  close_idle_files(*locked);
  return handle;
}

Result<std::unique_ptr<File>> Segments::State::make_file(std::uint32_t segment) {
  TROTH_FAILPOINT_TRY("segments.create.before");
  TROTH_TRY(auto file, io.open(path(segment), OpenMode::CreateNew));
  TROTH_FAILPOINT("segments.create.before_header");
  std::array<std::byte, kSegmentHeaderBytes> bytes{};
  encode_segment_header({.segment = segment,
                         .volume = options.volume,
                         .created = clock.wall_now().time_since_epoch().count()},
                        bytes);
  if (Status written = file->write_at(0, bytes); !written) {
    static_cast<void>(io.unlink(path(segment)));
    return tl::unexpected(std::move(written).error());
  }
  return file;
}

// Makes the next segment, unless somebody has just done so.
Status Segments::State::begin_segment() {
  MutexLock lock(making);
  std::uint32_t number = 0;
  {
    auto locked = table.lock();
    if (locked->active != 0)
      return {};
    // Not given again even if making the file fails half-way.
    number = locked->next_number++;
  }
  TROTH_TRY(auto key, key_of(number));
  TROTH_TRY(auto file, make_file(number));
  auto locked = table.lock();
  Entry& entry = locked->entries[number];
  entry.file = std::move(file);
  entry.key = std::move(key);
  entry.end = kSegmentHeaderBytes;
  entry.written = 1;  // its header
  entry.writable = true;
  entry.closed = false;
  locked->active = number;
  locked->directory_dirty = true;
  close_idle_files(*locked);
  return {};
}

// A place for the first of `blocks`, as many as fit and one call may write.
Result<Reservation> Segments::State::reserve(std::span<const PreparedBlock> blocks) {
  while (true) {
    std::uint32_t full = 0;
    {
      auto locked = table.lock();
      TROTH_TRY_VOID(locked->health);
      if (locked->active != 0) {
        Entry& entry = locked->entries[locked->active];
        Reservation place{.segment = locked->active, .offset = entry.end};
        for (const PreparedBlock& block : blocks) {
          const std::size_t size = record_size(block.payload.size(), options.key != nullptr);
          if (entry.end + place.length + size > options.segment_bytes ||
              (place.blocks > 0 && place.length + size > kWriteBytes))
            break;
          place.length += size;
          ++place.blocks;
        }
        if (place.blocks > 0) {
          entry.end += place.length;
          ++entry.in_flight;
          if (entry.end > entry.allocated) {
            entry.allocated =
                std::min<std::uint64_t>(options.segment_bytes, entry.end + kAllocateAhead);
            place.allocate_to = entry.allocated;
            entry.needs_cut = true;
          }
          place.handle = {entry.file, entry.key, entry.end};
          return place;
        }
        full = locked->active;
        entry.closed = true;
        locked->active = 0;
      }
    }
    if (full != 0)
      cut_if_idle(full);
    TROTH_TRY_VOID(begin_segment());
  }
}

Status Segments::State::write(const Reservation& place, std::span<const PreparedBlock> blocks,
                              std::vector<Placement>& placements) {
  // One for each thread and at most kWriteBytes or one record: asking for memory each time costs
  // more than the copy.
  thread_local Bytes buffer;
  buffer.resize(std::max<std::size_t>(buffer.size(), place.length));
  std::size_t at = 0;
  for (const PreparedBlock& block : blocks.first(place.blocks)) {
    const std::size_t size = record_size(block.payload.size(), options.key != nullptr);
    const auto offset = static_cast<std::uint32_t>(place.offset + at);
    TROTH_TRY_VOID(encode_record(block, place.segment, offset, place.handle.key.get(),
                                 std::span(buffer).subspan(at, size)));
    const std::size_t sealed = options.key != nullptr ? common::crypto::kAeadOverhead : 0;
    placements.push_back(
        {place.segment, offset, static_cast<std::uint32_t>(block.payload.size() + sealed)});
    at += size;
  }
  // A hint: if there is no room, the write itself will tell.
  if (place.allocate_to != 0)
    static_cast<void>(place.handle.file->allocate(place.allocate_to));
  TROTH_FAILPOINT_TRY("segments.append.before_write");
  TROTH_TRY_VOID(place.handle.file->write_at(place.offset, ByteView(buffer).first(place.length)));
  TROTH_FAILPOINT("segments.append.after_write");
  return {};
}

void Segments::State::finish(const Reservation& place, const Status& outcome) {
  std::uint64_t writeback_from = 0;
  std::uint64_t writeback_to = 0;
  bool closed = false;
  {
    auto locked = table.lock();
    Entry& entry = locked->entries[place.segment];
    --entry.in_flight;
    ++entry.written;  // also after a failure: part of it may be there
    if (!outcome) {
      entry.needs_cut = true;
      if (entry.end == place.offset + place.length)
        entry.end = place.offset;
      // A full disk may have room again; of any other failure nobody knows what it did to the file.
      if (outcome.error().code != ErrorCode::NoSpace && locked->active == place.segment) {
        entry.closed = true;
        locked->active = 0;
      }
    } else if (entry.end >= entry.written_back + kWritebackBytes) {
      writeback_from = entry.written_back;
      writeback_to = entry.written_back = place.offset;
    }
    closed = entry.closed;
  }
  if (writeback_to > writeback_from)
    place.handle.file->start_writeback(writeback_from, writeback_to - writeback_from);
  if (closed)
    cut_if_idle(place.segment);
}

// Gives back what was reserved on the disk behind the end of a closed segment.
void Segments::State::cut_if_idle(std::uint32_t segment) {
  std::shared_ptr<File> file;
  std::uint64_t end = 0;
  {
    auto locked = table.lock();
    const auto found = locked->entries.find(segment);
    if (found == locked->entries.end() || !locked->health)
      return;
    Entry& entry = found->second;
    if (!entry.closed || entry.in_flight != 0 || !entry.needs_cut || !entry.file)
      return;
    entry.needs_cut = false;
    ++entry.written;
    file = entry.file;
    end = entry.end;
  }
  // Failing costs space only, until cut_tail().
  static_cast<void>(file->truncate(end));
}

Result<std::vector<Placement>> Segments::append(std::span<const PreparedBlock> blocks) {
  std::vector<Placement> placements;
  placements.reserve(blocks.size());
  while (!blocks.empty()) {
    TROTH_TRY(const Reservation place, state_->reserve(blocks));
    const Status written = state_->write(place, blocks, placements);
    state_->finish(place, written);
    TROTH_TRY_VOID(written);
    blocks = blocks.subspan(place.blocks);
  }
  return placements;
}

Result<std::size_t> Segments::read(const BlockName& name, BlockKind kind,
                                   const Placement& placement, std::span<std::byte> into) {
  if (placement.offset % kRecordAlignment != 0 || placement.offset < kSegmentHeaderBytes ||
      placement.length > kBlockBytes + common::crypto::kAeadOverhead)
    return fail(ErrorCode::Corrupt, "no record can be at segment {} offset {} length {}",
                placement.segment, placement.offset, placement.length);
  TROTH_TRY(const Handle handle, state_->open_segment(placement.segment));
  thread_local Bytes buffer;
  buffer.resize(record_size(kBlockBytes, true));
  const std::span<std::byte> record = std::span(buffer).first(record_size(placement.length, false));
  TROTH_TRY(const std::size_t got, handle.file->read_at(placement.offset, record));
  if (got < record.size())
    return fail(ErrorCode::Corrupt, "segment {} ends inside the record at {}", placement.segment,
                placement.offset);
  TROTH_TRY(const RecordHeader header,
            decode_record_header(ByteView(record).first<kRecordHeaderBytes>()));
  if (header.name != name || header.kind != kind || header.stored_length != placement.length)
    return fail(ErrorCode::Corrupt, "another block lies at segment {} offset {}", placement.segment,
                placement.offset);
  return decode_record(record, placement.segment, placement.offset, handle.key.get(), into);
}

Status Segments::State::poison(const common::Error& why) {
  auto locked = table.lock();
  if (locked->health) {
    locked->health = tl::unexpected(
        why.in("a sync of the segments failed: what was written last may be lost, and nothing is "
               "written until the volume is opened again"));
  }
  return locked->health;
}

Status Segments::sync() {
  struct Dirty {
    std::uint32_t segment;
    std::uint64_t written;
    std::shared_ptr<File> file;
  };
  MutexLock lock(state_->syncing);
  std::vector<Dirty> dirty;
  bool directory = false;
  {
    auto table = state_->table.lock();
    TROTH_TRY_VOID(table->health);
    for (const auto& [number, entry] : table->entries) {
      if (entry.synced < entry.written)
        dirty.push_back({number, entry.written, entry.file});
    }
    directory = std::exchange(table->directory_dirty, false);
  }
  const auto checked = [&](const Status& outcome) {
    return outcome ? outcome : state_->poison(outcome.error());
  };
  for (const Dirty& one : dirty) {
    TROTH_FAILPOINT("segments.sync.before");
    TROTH_TRY_VOID(checked(one.file->sync()));
  }
  if (directory)
    TROTH_TRY_VOID(checked(state_->io.sync_directory(state_->directory)));
  TROTH_FAILPOINT("segments.sync.after");
  auto table = state_->table.lock();
  for (const Dirty& one : dirty) {
    if (const auto found = table->entries.find(one.segment); found != table->entries.end())
      found->second.synced = one.written;
  }
  return {};
}

std::vector<SegmentInfo> Segments::list() {
  auto table = state_->table.lock();
  std::vector<SegmentInfo> infos;
  infos.reserve(table->entries.size());
  for (const auto& [number, entry] : table->entries)
    infos.push_back({number, entry.end, entry.closed});
  return infos;
}

std::uint32_t Segments::newest() const {
  auto table = state_->table.lock();
  return table->entries.empty() ? 0 : table->entries.rbegin()->first;
}

Result<ScanResult> Segments::scan(std::uint32_t segment, bool verify,
                                  const std::function<Status(const ScannedRecord&)>& visit) {
  TROTH_TRY(const Handle handle, state_->open_segment(segment));
  return scan_records(*handle.file, segment, handle.end, handle.key.get(), verify, visit);
}

Result<std::uint64_t> Segments::cut_tail(std::uint32_t segment) {
  TROTH_TRY_VOID(health());
  TROTH_TRY(const auto scanned,
            scan(segment, false, [](const ScannedRecord&) { return Status(); }));
  TROTH_FAILPOINT_TRY("segments.cut_tail.before");
  // Handles of segments from a former life are for reading.
  TROTH_TRY(std::shared_ptr<File> file,
            state_->io.open(state_->path(segment), OpenMode::ReadWrite));
  std::uint64_t before = 0;
  {
    auto table = state_->table.lock();
    const auto found = table->entries.find(segment);
    if (found == table->entries.end())
      return fail(ErrorCode::NotFound, "there is no segment {}", segment);
    Entry& entry = found->second;
    if (!entry.closed || entry.in_flight != 0)
      return fail(ErrorCode::Busy, "segment {} is still being written", segment);
    before = std::exchange(entry.end, scanned.end);
    // Kept, since only a handle that was open when writing failed tells of it; one that has bytes
    // to be synced stays for the same reason.
    if (!entry.writable)
      entry.file = file;
    entry.writable = true;
    entry.needs_cut = false;
    ++entry.written;
    file = entry.file;
  }
  // Also where nothing is cut: this gives back what was reserved behind the end.
  TROTH_TRY_VOID(file->truncate(scanned.end));
  return before - scanned.end;
}

Status Segments::close_active() {
  std::uint32_t segment = 0;
  {
    auto table = state_->table.lock();
    segment = std::exchange(table->active, 0);
    if (segment != 0)
      table->entries[segment].closed = true;
  }
  if (segment != 0)
    state_->cut_if_idle(segment);
  return {};
}

Status Segments::remove(std::uint32_t segment) {
  {
    auto table = state_->table.lock();
    TROTH_TRY_VOID(table->health);
    const auto found = table->entries.find(segment);
    if (found == table->entries.end())
      return fail(ErrorCode::NotFound, "there is no segment {}", segment);
    if (!found->second.closed || found->second.in_flight != 0)
      return fail(ErrorCode::Busy, "segment {} is still being written", segment);
    if (std::next(found) == table->entries.end())
      return fail(ErrorCode::Busy, "segment {} is the newest, whose number must not be given again",
                  segment);
  }
  TROTH_FAILPOINT_TRY("segments.remove.before");
  TROTH_TRY_VOID(state_->io.unlink(state_->path(segment)));
  TROTH_FAILPOINT("segments.remove.after");
  auto table = state_->table.lock();
  table->entries.erase(segment);
  table->directory_dirty = true;
  return {};
}

Status Segments::health() const {
  return state_->table.lock()->health;
}

}  // namespace fileserver::store
