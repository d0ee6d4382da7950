#pragma once

// What a power loss may leave of a database: a recording of everything it wrote and synced, and
// images of its files in which each write after a file's last sync is kept, dropped or torn.

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "common/db/disk_probe.hpp"
#include "common/sync/locked.hpp"

namespace test_support {

// Records while it is switched on. What the files hold at that moment counts as synced.
class RecordingDisk final : public common::db::DiskProbe {
 public:
  struct Options {
    // A planted bug: the database believes in syncs of the WAL that do not happen.
    bool wal_syncs_lie = false;
  };
  RecordingDisk() = default;
  explicit RecordingDisk(Options options) : options_(options) {}

  // Copies the database's files as they are and begins.
  void start(const std::string& path);
  // Notes that commit `number` was reported stable (by now: everything recorded later is later).
  void note_stable(std::uint64_t number);

  [[nodiscard]] std::size_t length() const;

  struct Image {
    std::uint64_t stable = 0;  // the last commit reported stable before the power failed
  };
  // Makes, at `path`, the files after a power loss at `position` of the recording.
  [[nodiscard]] Image make_image(std::size_t position, std::mt19937_64& random,
                                 const std::string& path) const;

  int on_write(common::db::DiskFile file, std::uint64_t offset,
               std::span<const std::byte> bytes) override;
  int on_sync(common::db::DiskFile file) override;
  int on_truncate(common::db::DiskFile file, std::uint64_t size) override;

 private:
  enum class Kind : std::uint8_t { Write, Sync, Truncate, Stable };
  struct Event {
    Kind kind = Kind::Write;
    common::db::DiskFile file{};
    std::uint64_t offset = 0;  // of a write; size of a truncate; number of a stable
    std::vector<std::byte> bytes;
  };
  using Files = std::array<std::vector<std::byte>, 4>;  // by DiskFile
  struct State {
    bool on = false;
    Files begin;
    std::vector<Event> events;
  };
  int add(Event event);

  const Options options_{};
  mutable common::Locked<State> state_;
};

}  // namespace test_support
