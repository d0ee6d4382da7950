#include <algorithm>
#include <cerrno>

#include "common/crypto/aead.hpp"
#include "common/failpoint/failpoint.hpp"
#include "fileserver/store/blocks/segments_state.hpp"

namespace fileserver::store {

namespace {

using common::ErrorCode;
using common::MutexLock;
using common::io::File;
using common::io::OpenMode;

// One call writes at most this much: more saves no time, and it is kept in memory per thread.
constexpr std::size_t kWriteBytes = 1 << 20;
// Room is reserved on the disk this far ahead: enough for extents to be large, little enough that a
// small volume on a small disk does not take it all.
constexpr std::uint64_t kAllocateAhead = 8 << 20;
// From here on writes take turns: the kernel lets one call at a time write to a file, and has the
// others spin meanwhile.
constexpr std::size_t kLargeWrite = 64 * 1024;
// After so many bytes the kernel is asked to begin writing them, so that a sync after a long stream
// has little left to do.
constexpr std::uint64_t kWritebackBytes = 8 << 20;

}  // namespace

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
Result<Segments::State::Reservation> Segments::State::reserve(std::span<const PreparedBlock> blocks,
                                                              UseOfRoom use) {
  std::optional<std::uint64_t> room;  // looked at where the file has to grow
  while (true) {
    std::uint32_t full = 0;
    std::uint64_t grows_by = 0;
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
        const bool grows = entry.end + place.length > entry.allocated;
        if (place.blocks > 0 && grows && options.room && !room) {
          grows_by = place.length;
        } else if (place.blocks > 0) {
          entry.end += place.length;
          ++entry.in_flight;
          if (grows) {
            // Near the end of the disk nothing is taken ahead of need.
            const bool ahead = !room || *room >= place.length + 2 * kAllocateAhead;
            entry.allocated = std::min<std::uint64_t>(options.segment_bytes,
                                                      entry.end + (ahead ? kAllocateAhead : 0));
            place.allocate_to = ahead ? entry.allocated : 0;
            entry.needs_cut = true;
          }
          place.handle = {entry.file, entry.key, entry.end};
          return place;
        } else {
          full = locked->active;
          entry.closed = true;
          locked->active = 0;
        }
      }
    }
    if (grows_by != 0) {
      room = options.room();
      if (use == UseOfRoom::Growing && *room < grows_by)
        return common::fail_posix(ENOSPC,
                                  "the disk of this volume is full: remove files, or add room");
      continue;
    }
    if (full != 0)
      cut_if_idle(full);
    TROTH_TRY_VOID(begin_segment());
  }
}

Status Segments::State::write_bytes(File& file, std::uint64_t offset, ByteView bytes) {
  if (bytes.size() < kLargeWrite)
    return file.write_at(offset, bytes);
  MutexLock lock(writing);
  return file.write_at(offset, bytes);
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
  TROTH_TRY_VOID(
      write_bytes(*place.handle.file, place.offset, ByteView(buffer).first(place.length)));
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

Result<std::vector<Placement>> Segments::append(std::span<const PreparedBlock> blocks,
                                                UseOfRoom use) {
  std::vector<Placement> placements;
  placements.reserve(blocks.size());
  while (!blocks.empty()) {
    TROTH_TRY(const State::Reservation place, state_->reserve(blocks, use));
    const Status written = state_->write(place, blocks, placements);
    state_->finish(place, written);
    TROTH_TRY_VOID(written);
    blocks = blocks.subspan(place.blocks);
  }
  return placements;
}

}  // namespace fileserver::store
