#pragma once

// What a power loss may leave of a volume: a recording of everything that its database and its
// segments wrote, synced, made and removed, and images of the directory in which each step that no
// sync had covered is kept, dropped or torn.

#include <map>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/db/disk_probe.hpp"
#include "common/io/file_io.hpp"
#include "common/sim/random.hpp"
#include "common/sync/locked.hpp"

namespace test_support {

// The database's probe, and the segments' files: wraps the real ones below the volume's directory.
// Safe from any thread.
class StoreRecorder final : public common::db::DiskProbe, public common::io::FileIo {
 public:
  // What the caller knows, as of a moment of the recording.
  struct Notes {
    std::uint64_t committed = 0;  // the newest commit that has been answered
    std::uint64_t stable = 0;     // the newest that was reported stable
  };

  // A planted bug: syncs of the segments, or of the WAL, that do not happen.
  enum class Lie : std::uint8_t { None, Segments, Wal };

  explicit StoreRecorder(common::io::FileIo& wrapped, Lie lie = Lie::None)
      : wrapped_(wrapped), lie_(lie) {}

  // Reads the files as they are, which count as synced, and begins.
  void start(const std::string& directory);
  void note(const Notes& notes);

  [[nodiscard]] std::size_t length() const;
  // The last events before this position, for people.
  [[nodiscard]] std::string describe(std::size_t position) const;

  // How an image treats what no sync has covered.
  enum class Loss : std::uint8_t {
    Nothing,     // the process was killed: the kernel has everything
    Everything,  // the least that must be there
    Some,        // each step kept, dropped or torn at random
  };
  struct Image {
    std::map<std::string, std::vector<std::byte>> files;  // by path below the directory
    Notes notes;
    std::uint64_t signature = 0;  // equal: the same image, as far as it matters
    std::size_t unsynced = 0;     // steps that could be lost
  };
  // After a crash when so many events had happened.
  [[nodiscard]] Image make_image(std::size_t position, Loss loss,
                                 common::sim::Random& random) const;
  // The image in which exactly those unsynced steps are kept whose bit is set.
  [[nodiscard]] Image make_subset(std::size_t position, std::uint64_t kept) const;

  int on_write(common::db::DiskFile file, std::uint64_t offset,
               std::span<const std::byte> bytes) override;
  int on_sync(common::db::DiskFile file) override;
  int on_truncate(common::db::DiskFile file, std::uint64_t size) override;

  common::Result<std::unique_ptr<common::io::File>> open(std::string_view path,
                                                         common::io::OpenMode mode) override;
  common::Status rename(std::string_view from, std::string_view to) override;
  common::Status unlink(std::string_view path) override;
  common::Status make_directory(std::string_view path) override;
  common::Status remove_directory(std::string_view path) override;
  common::Result<std::vector<common::io::Entry>> list(std::string_view path) override;
  common::Status sync_directory(std::string_view path) override;

 private:
  class RecordedFile;
  enum class Kind : std::uint8_t { Write, Truncate, Sync, Name, NoName, SyncNames, Note };
  struct Event {
    Kind kind = Kind::Write;
    std::size_t inode = 0;
    std::uint64_t offset = 0;  // of a write; size of a truncate
    std::vector<std::byte> bytes;
    std::string path;  // Name, NoName; the directory of SyncNames
    Notes notes;
  };
  struct State {
    bool on = false;
    std::vector<std::vector<std::byte>> base;  // by inode
    std::map<std::string, std::size_t> names;  // at the beginning
    std::map<std::string, std::size_t> now;    // at the end
    std::vector<Event> events;
  };
  // What becomes of the unsynced step number `index` of an image.
  enum class Fate : std::uint8_t { Kept, Dropped, Torn };
  template <typename Decide>
  [[nodiscard]] Image build(std::size_t position, Decide decide, common::sim::Random* random) const;
  void add(Event event);
  [[nodiscard]] std::size_t inode_of(const std::string& path);

  common::io::FileIo& wrapped_;
  const Lie lie_;
  mutable common::Locked<State> state_;
};

// Makes `directory` (emptied before) hold these files.
void write_image(const StoreRecorder::Image& image, const std::string& directory);

}  // namespace test_support
