#include "tests/support/db_crash_model.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>

namespace test_support {

using common::db::DiskFile;

namespace {

constexpr std::array<const char*, 4> kSuffixes{"", "-wal", "-journal", "-mark"};

std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  return {bytes.begin(), bytes.end()};
}

void apply_write(std::vector<std::byte>& file, std::uint64_t offset,
                 std::span<const std::byte> bytes) {
  if (bytes.empty())
    return;
  if (file.size() < offset + bytes.size())
    file.resize(offset + bytes.size());
  std::memcpy(file.data() + offset, bytes.data(), bytes.size());
}

}  // namespace

void RecordingDisk::start(const std::string& path) {
  auto state = state_.lock();
  state->on = true;
  for (std::size_t i = 0; i < kSuffixes.size(); ++i) {
    state->begin[i] = read_file(path + kSuffixes[i]);
  }
}

int RecordingDisk::add(Event event) {
  auto state = state_.lock();
  if (state->on)
    state->events.push_back(std::move(event));
  return 0;
}

void RecordingDisk::note_stable(std::uint64_t number) {
  add({Kind::Stable, {}, number, {}});
}

int RecordingDisk::on_write(DiskFile file, std::uint64_t offset, std::span<const std::byte> bytes) {
  return add({Kind::Write, file, offset, {bytes.begin(), bytes.end()}});
}

int RecordingDisk::on_sync(DiskFile file) {
  if (options_.wal_syncs_lie && file == DiskFile::Wal)
    return 0;
  return add({Kind::Sync, file, 0, {}});
}

int RecordingDisk::on_truncate(DiskFile file, std::uint64_t size) {
  return add({Kind::Truncate, file, size, {}});
}

std::size_t RecordingDisk::length() const {
  return state_.lock()->events.size();
}

RecordingDisk::Image RecordingDisk::make_image(std::size_t position, std::mt19937_64& random,
                                               const std::string& path) const {
  auto state = state_.lock();
  const auto& events = state->events;
  std::array<std::size_t, 4> last_sync{};
  Image image;
  for (std::size_t i = 0; i < position; ++i) {
    if (events[i].kind == Kind::Sync)
      last_sync[static_cast<std::size_t>(events[i].file)] = i;
    if (events[i].kind == Kind::Stable)
      image.stable = events[i].offset;
  }
  // Some images lose nearly everything, some nearly nothing: both ends find bugs of their own.
  const auto kept_of_eight = random() % 9;
  Files files = state->begin;
  for (std::size_t i = 0; i < position; ++i) {
    const Event& event = events[i];
    if (event.kind != Kind::Write && event.kind != Kind::Truncate)
      continue;
    const auto index = static_cast<std::size_t>(event.file);
    const bool synced = i < last_sync[index];
    const bool kept = synced || random() % 8 < kept_of_eight;
    if (event.kind == Kind::Truncate) {
      if (kept)
        files[index].resize(event.offset);
      continue;
    }
    std::span<const std::byte> bytes = event.bytes;
    std::uint64_t offset = event.offset;
    if (!kept && random() % 3 == 0 && !bytes.empty()) {  // torn: some stretch of it arrives
      const std::size_t from = random() % bytes.size();
      bytes = bytes.subspan(from, random() % (bytes.size() - from) + 1);
      offset += from;
    } else if (!kept) {
      continue;
    }
    apply_write(files[index], offset, bytes);
  }
  for (std::size_t i = 0; i < kSuffixes.size(); ++i) {
    if (i == static_cast<std::size_t>(DiskFile::Journal))
      continue;
    std::ofstream out(path + kSuffixes[i], std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(files[i].data()),
              static_cast<std::streamsize>(files[i].size()));
  }
  return image;
}

}  // namespace test_support
