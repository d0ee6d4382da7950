#include "fileserver/store/blocks/segments.hpp"

#include <algorithm>

#include "common/crypto/aead.hpp"
#include "common/crypto/hkdf.hpp"
#include "common/failpoint/failpoint.hpp"
#include "fileserver/store/blocks/block_name.hpp"
#include "fileserver/store/blocks/segment_scan.hpp"
#include "fileserver/store/blocks/segments_state.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::fail;
using common::MutexLock;
using common::crypto::Secret;
using common::io::File;
using common::io::OpenMode;

// Handles of closed segments kept open; 64 GiB of hot blocks.
constexpr std::size_t kMaxOpenFiles = 256;
constexpr std::string_view kKeyLabel = "troth segment";
// From here on copying a block costs more than one system call.
constexpr std::size_t kWorthNoCopy = 32 * 1024;

}  // namespace

std::string Segments::State::path(std::uint32_t segment) const {
  const std::string name = segment_file_name(segment);
  return directory.empty() ? name : fmt::format("{}/{}", directory, name);
}

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

// Whether the header is whole and belongs there. If not, that is for others to report: the records
// tell for themselves where they belong. Fails if the segment must not be used at all.
Result<bool> Segments::State::check_header(File& file, std::uint32_t segment) const {
  std::array<std::byte, kSegmentHeaderBytes> bytes{};
  if (!file.read_exactly(0, bytes))
    return false;
  const auto header = decode_segment_header(bytes);
  if (!header && header.error().code == ErrorCode::Unsupported)
    return tl::unexpected(header.error().in(path(segment)));
  if (!header)
    return false;
  if (header->volume != options.volume)
    return fail(ErrorCode::InvalidArgument,
                "{} belongs to another volume: move it out of this directory", path(segment));
  return header->segment == segment;
}

// Takes a segment that was there when the directory was opened.
Status Segments::State::adopt(std::uint32_t segment) {
  TROTH_TRY(const auto file, io.open(path(segment), OpenMode::Read));
  TROTH_TRY(const bool header_ok, check_header(*file, segment));
  TROTH_TRY(const std::uint64_t size, file->size());
  TROTH_TRY(auto key, key_of(segment));
  auto locked = table.lock();
  Entry& entry = locked->entries[segment];
  entry.end = size;
  entry.key = std::move(key);
  entry.header_ok = header_ok;
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
  {
    auto table = state->table.lock();
    table->next_number = std::max<std::uint32_t>(options.first_number, 1);
    // Whoever made a segment may have been killed before the directory was synced.
    table->directory_dirty = true;
  }
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
void Segments::State::close_idle_files(Table& table) {
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

Result<Segments::State::Handle> Segments::State::open_segment(std::uint32_t segment) {
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
  auto locked = table.lock();
  const auto found = locked->entries.find(segment);
  if (found == locked->entries.end())  // removed meanwhile; what was opened still reads well
    return fail(ErrorCode::NotFound, "there is no segment {}", segment);
  Entry& entry = found->second;
  if (!entry.file) {
    entry.file = std::move(file);
    entry.writable = false;
  }
  const Handle handle{entry.file, entry.key, entry.end};
  close_idle_files(*locked);
  return handle;
}

namespace {

Status check_wanted(const RecordHeader& header, const BlockName& name, const Placement& placement) {
  if (header.name == name && header.stored_length == placement.length)
    return {};
  return fail(ErrorCode::Corrupt, "another block lies at segment {} offset {}", placement.segment,
              placement.offset);
}

tl::unexpected<common::Error> ends_inside(const Placement& placement) {
  return fail(ErrorCode::Corrupt, "segment {} ends inside the record at {}", placement.segment,
              placement.offset);
}

// The block is whole; asking for the wrong kind is the caller's mistake and no damage.
Result<std::size_t> of_kind(Result<std::size_t> length, const RecordHeader& header,
                            BlockKind kind) {
  if (length && header.kind != kind)
    return fail(ErrorCode::InvalidArgument, "the block is of the other kind");
  return length;
}

Status check_placement(const Placement& placement) {
  if (placement.offset % kRecordAlignment == 0 && placement.offset >= kSegmentHeaderBytes &&
      placement.length <= kBlockBytes + common::crypto::kAeadOverhead)
    return {};
  return fail(ErrorCode::Corrupt, "no record can be at segment {} offset {} length {}",
              placement.segment, placement.offset, placement.length);
}

using HeaderBytes = std::array<std::byte, kRecordHeaderBytes>;

// Reads a large raw block to where it is wanted, and verifies nothing but that it is the one;
// nullopt: it is none, read it otherwise.
Result<std::optional<RecordHeader>> fetch_in_place(File& file, const BlockName& name,
                                                   const Placement& placement, HeaderBytes& bytes,
                                                   std::span<std::byte> into) {
  using Fetched = std::optional<RecordHeader>;
  if (placement.length < kWorthNoCopy || placement.length % kRecordAlignment != 0 ||
      into.size() < placement.length)
    return Fetched();
  TROTH_TRY(std::size_t got, file.read_at(placement.offset, bytes));
  if (got < bytes.size())
    return ends_inside(placement);
  TROTH_TRY(const RecordHeader header, decode_record_header(bytes));
  TROTH_TRY_VOID(check_wanted(header, name, placement));
  if (header.codec != Codec::Raw || header.sealed)
    return Fetched();
  const std::span<std::byte> payload = into.first(placement.length);
  TROTH_TRY(got, file.read_at(placement.offset + kRecordHeaderBytes, payload));
  if (got < payload.size()) {
    std::ranges::fill(payload, std::byte{0});
    return ends_inside(placement);
  }
  return Fetched(header);
}

// The same, verified.
Result<std::optional<std::size_t>> read_in_place(File& file, const BlockName& name, BlockKind kind,
                                                 const Placement& placement,
                                                 std::span<std::byte> into) {
  HeaderBytes bytes{};
  TROTH_TRY(const auto header, fetch_in_place(file, name, placement, bytes, into));
  if (!header)
    return std::optional<std::size_t>();
  TROTH_TRY(const std::size_t length,
            of_kind(verify_raw_record(bytes, into.first(placement.length), placement.segment,
                                      placement.offset),
                    *header, kind));
  return std::optional(length);
}

}  // namespace

// Reads a data block and verifies all but its name; false: not to be had so.
Result<bool> Segments::State::read_unnamed(const Wanted& wanted) {
  TROTH_TRY_VOID(check_placement(wanted.placement));
  TROTH_TRY(const Handle handle, open_segment(wanted.placement.segment));
  if (handle.key)
    return false;
  HeaderBytes bytes{};
  TROTH_TRY(const auto header,
            fetch_in_place(*handle.file, wanted.name, wanted.placement, bytes, wanted.into));
  if (!header || header->kind != BlockKind::Data)
    return false;
  // At once, while the CPU has it in its cache.
  TROTH_TRY_VOID(check_raw_record({bytes, wanted.into.first(wanted.placement.length),
                                   wanted.placement.segment, wanted.placement.offset}));
  return true;
}

void Segments::read_together(std::span<Wanted> wanted) {
  std::array<Wanted*, kTogether> read{};
  std::array<ByteView, kTogether> blocks;
  std::array<BlockName, kTogether> names;
  std::size_t count = 0;
  for (Wanted& one : wanted.first(std::min(wanted.size(), kTogether))) {
    if (const auto there = state_->read_unnamed(one); !there || !*there)
      continue;
    blocks[count] = one.into.first(one.placement.length);
    read[count++] = &one;
  }
  const Status named =
      name_blocks(BlockKind::Data, std::span(blocks).first(count), std::span(names).first(count));
  for (std::size_t i = 0; i < count; ++i)
    read[i]->done = named && names[i] == read[i]->name;
  for (const Wanted& one : wanted) {
    if (!one.done)
      std::ranges::fill(one.into, std::byte{0});
  }
}

Result<std::size_t> Segments::read(const BlockName& name, BlockKind kind,
                                   const Placement& placement, std::span<std::byte> into) {
  TROTH_TRY_VOID(check_placement(placement));
  TROTH_TRY(const State::Handle handle, state_->open_segment(placement.segment));
  if (!handle.key) {
    TROTH_TRY(const auto length, read_in_place(*handle.file, name, kind, placement, into));
    if (length)
      return *length;
  }
  thread_local Bytes buffer;
  buffer.resize(record_size(kBlockBytes, true));
  const std::span<std::byte> record = std::span(buffer).first(record_size(placement.length, false));
  TROTH_TRY(const std::size_t got, handle.file->read_at(placement.offset, record));
  if (got < record.size())
    return ends_inside(placement);
  TROTH_TRY(const RecordHeader header,
            decode_record_header(ByteView(record).first<kRecordHeaderBytes>()));
  TROTH_TRY_VOID(check_wanted(header, name, placement));
  return of_kind(decode_record(record, placement.segment, placement.offset, handle.key.get(), into),
                 header, kind);
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
    infos.push_back({number, entry.end, entry.closed, entry.header_ok});
  return infos;
}

std::uint32_t Segments::newest() const {
  auto table = state_->table.lock();
  return table->entries.empty() ? 0 : table->entries.rbegin()->first;
}

Result<ScanResult> Segments::scan(std::uint32_t segment, bool verify,
                                  const std::function<Status(const ScannedRecord&)>& visit) {
  TROTH_TRY(const State::Handle handle, state_->open_segment(segment));
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
    State::Entry& entry = found->second;
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

Status Segments::settle_former(std::uint32_t segment) {
  TROTH_TRY_VOID(health());
  TROTH_TRY(const auto file, state_->io.open(state_->path(segment), OpenMode::ReadWrite));
  if (const Status synced = file->sync(); !synced)
    return state_->poison(synced.error());
  file->drop_cached();
  return {};
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
