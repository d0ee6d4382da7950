#pragma once

// Segment files: blocks appended as self-describing records. Knows nothing of who refers to them.

#include <functional>
#include <memory>

#include "common/clock.hpp"
#include "common/io/file_io.hpp"
#include "fileserver/store/blocks/segment_record.hpp"

namespace fileserver::store {

struct SegmentOptions {
  std::uint32_t segment_bytes = 256 << 20;  // tests take less; at least one record of a full block
  VolumeUuid volume{};
  // No new segment gets a smaller number, whatever files there are: one may have been lost.
  std::uint32_t first_number = 1;
  const common::crypto::Secret* key = nullptr;  // of the volume; null: not sealed. Must outlive
  // How many bytes of the disk are not kept for others; null: nobody counts. From any thread.
  std::function<std::uint64_t()> room;
};

// Who writes: what is kept of the disk is for what gives more of it back.
enum class UseOfRoom : std::uint8_t { Growing, MakingRoom };

struct SegmentInfo {
  std::uint32_t number = 0;
  std::uint64_t bytes = 0;  // up to the end of its last record
  bool closed = false;      // nothing will be appended to it
  bool header_ok = true;    // of its file, when it was opened
};

// Found by a scan.
struct ScannedRecord {
  RecordHeader header;
  Placement placement;
};
struct ScanResult {
  std::uint64_t records = 0;
  std::uint64_t end = 0;      // after the last whole record
  std::uint64_t skipped = 0;  // bytes before `end` that are in no whole record
};

// Safe from any thread. Every call may block on the disk; only sync() waits for another's sync.
class Segments {
 public:
  // Opens or makes the directory `directory` below `io`. Refuses a segment of another volume
  // (InvalidArgument) or a newer format (Unsupported); a damaged header does not prevent opening,
  // the records below it are judged one by one. `io` and `clock` must outlive this object.
  [[nodiscard]] static Result<std::unique_ptr<Segments>> open(common::io::FileIo& io,
                                                              std::string directory,
                                                              SegmentOptions options,
                                                              const common::Clock& clock);
  ~Segments();  // closes the active segment's file without a sync

  // Writes the blocks, next to each other where they fit, and returns their places: readable at
  // once, safe from kill -9; durable after sync(). NoSpace leaves nothing behind that counts. After
  // a failed sync every append fails with that error (I12).
  [[nodiscard]] Result<std::vector<Placement>> append(std::span<const PreparedBlock> blocks,
                                                      UseOfRoom use = UseOfRoom::Growing);

  // Reads and verifies one block into `into` (kBlockBytes always suffices); returns its length.
  // Corrupt: the bytes there are not that block; NotFound: no such segment (look the place up
  // again: it may have been moved); InvalidArgument: it is whole, and of the other kind; IoError:
  // the device.
  [[nodiscard]] Result<std::size_t> read(const BlockName& name, BlockKind kind,
                                         const Placement& placement, std::span<std::byte> into);

  // Some data blocks at a time, which takes half as long as one by one or less: those that lie
  // there as they are, not compressed and not sealed. `done` is set for each that was read and
  // verified; of the others nothing may be used, and read() tells what is with them.
  struct Wanted {
    BlockName name;
    Placement placement;
    std::span<std::byte> into;
    bool done = false;
  };
  static constexpr std::size_t kTogether = 16;  // at most
  void read_together(std::span<Wanted> wanted);

  // What was appended before this call is on the disk when it returns (fdatasync of each segment
  // written since, and of the directory if a segment is new). Failure poisons: append() then
  // refuses.
  [[nodiscard]] Status sync();

  // By number. The active one last.
  [[nodiscard]] std::vector<SegmentInfo> list();
  // The highest number there is; 0 if there is none. What is appended from now on gets no lower
  // one.
  [[nodiscard]] std::uint32_t newest() const;

  // Visits every whole record in order of place; goes on at the next multiple of 64 where there is
  // none. With `verify`, payloads are checked as a read would (CRC and name), else headers and CRC.
  [[nodiscard]] Result<ScanResult> scan(std::uint32_t segment, bool verify,
                                        const std::function<Status(const ScannedRecord&)>& visit);

  // Cuts a closed segment after its last whole record; returns how many bytes went.
  [[nodiscard]] Result<std::uint64_t> cut_tail(std::uint32_t segment);

  // Syncs what a former process may have left of this segment in the kernel's hands, and has the
  // kernel forget its copy: reads then show what the disk has. After a sync that failed the copy
  // may be right and no later sync would tell that the disk is not. Failure poisons.
  [[nodiscard]] Status settle_former(std::uint32_t segment);

  // No more appending to the active one; the next append begins another.
  [[nodiscard]] Status close_active();

  // Deletes a closed segment that is not the newest; reads under way end well.
  [[nodiscard]] Status remove(std::uint32_t segment);

  [[nodiscard]] Status health() const;

 private:
  struct State;
  explicit Segments(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

}  // namespace fileserver::store
