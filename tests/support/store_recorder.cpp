#include "tests/support/store_recorder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "common/io/unique_fd.hpp"

namespace test_support {

using common::Result;
using common::Status;
using common::db::DiskFile;
using common::io::File;
using common::sim::mix;
using common::sim::Random;

namespace {

constexpr std::array<const char*, 4> kDatabaseFiles{"meta.db", "meta.db-wal", "meta.db-journal",
                                                    "meta.db-mark"};
constexpr std::uint64_t kSector = 512;

std::vector<std::byte> read_whole(const std::filesystem::path& path) {
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

// Passes everything on, and notes what changes bytes.
class StoreRecorder::RecordedFile final : public File {
 public:
  RecordedFile(StoreRecorder& recorder, std::unique_ptr<File> file, std::size_t inode)
      : recorder_(recorder), file_(std::move(file)), inode_(inode) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) override {
    return file_->read_at(offset, into);
  }
  Status write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    recorder_.add({Kind::Write, inode_, offset, {bytes.begin(), bytes.end()}, {}, {}});
    return file_->write_at(offset, bytes);
  }
  Result<std::uint64_t> append(std::span<const std::byte> bytes) override {
    TROTH_TRY(const std::uint64_t end, file_->size());
    TROTH_TRY_VOID(write_at(end, bytes));
    return end;
  }
  Status sync() override {
    TROTH_TRY_VOID(file_->sync());
    if (recorder_.lie_ != Lie::Segments)
      recorder_.add({Kind::Sync, inode_, 0, {}, {}, {}});
    return {};
  }
  Status truncate(std::uint64_t size) override {
    recorder_.add({Kind::Truncate, inode_, size, {}, {}, {}});
    return file_->truncate(size);
  }
  Result<std::uint64_t> size() override { return file_->size(); }

 private:
  StoreRecorder& recorder_;
  const std::unique_ptr<File> file_;
  const std::size_t inode_;
};

void StoreRecorder::start(const std::string& directory) {
  auto state = state_.lock();
  state->base.clear();
  state->names.clear();
  state->events.clear();
  for (const char* const name : kDatabaseFiles)
    state->base.push_back(read_whole(directory + "/" + name));
  const std::filesystem::path segments = directory + "/segments";
  if (std::filesystem::is_directory(segments)) {
    for (const auto& entry : std::filesystem::directory_iterator(segments)) {
      state->names["segments/" + entry.path().filename().string()] = state->base.size();
      state->base.push_back(read_whole(entry.path()));
    }
  }
  state->now = state->names;
  state->on = true;
}

void StoreRecorder::add(Event event) {
  auto state = state_.lock();
  if (state->on)
    state->events.push_back(std::move(event));
}

void StoreRecorder::note(const Notes& notes) {
  add({Kind::Note, 0, 0, {}, {}, notes});
}

std::size_t StoreRecorder::length() const {
  return state_.lock()->events.size();
}

std::string StoreRecorder::describe(std::size_t position) const {
  static constexpr std::array kKinds{"write",   "truncate",   "sync", "name",
                                     "no name", "sync names", "note"};
  auto state = state_.lock();
  std::string text;
  constexpr std::size_t kShown = 12;
  for (std::size_t i = position > kShown ? position - kShown : 0;
       i < std::min(position, state->events.size()); ++i) {
    const Event& event = state->events[i];
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", i,
                        kKinds[static_cast<std::size_t>(event.kind)]);
    if (event.kind == Kind::Note)
      text += fmt::format(" {}/{}", event.notes.committed, event.notes.stable);
    else if (event.kind <= Kind::Sync)
      text +=
          fmt::format(" {} {}+{}",
                      event.inode < kDatabaseFiles.size() ? kDatabaseFiles[event.inode] : "segment",
                      event.offset, event.bytes.size());
  }
  return text;
}

std::size_t StoreRecorder::inode_of(const std::string& path) {
  auto state = state_.lock();
  const auto found = state->now.find(path);
  if (found != state->now.end())
    return found->second;
  const std::size_t inode = state->base.size();
  state->base.emplace_back();
  state->now[path] = inode;
  if (state->on)
    state->events.push_back({Kind::Name, inode, 0, {}, path, {}});
  return inode;
}

int StoreRecorder::on_write(DiskFile file, std::uint64_t offset, std::span<const std::byte> bytes) {
  add({Kind::Write, static_cast<std::size_t>(file), offset, {bytes.begin(), bytes.end()}, {}, {}});
  return 0;
}

int StoreRecorder::on_sync(DiskFile file) {
  if (lie_ != Lie::Wal || file != DiskFile::Wal)
    add({Kind::Sync, static_cast<std::size_t>(file), 0, {}, {}, {}});
  return 0;
}

int StoreRecorder::on_truncate(DiskFile file, std::uint64_t size) {
  add({Kind::Truncate, static_cast<std::size_t>(file), size, {}, {}, {}});
  return 0;
}

Result<std::unique_ptr<File>> StoreRecorder::open(std::string_view path,
                                                  common::io::OpenMode mode) {
  TROTH_TRY(auto file, wrapped_.open(path, mode));
  const std::size_t inode = inode_of(std::string(path));
  return std::unique_ptr<File>(std::make_unique<RecordedFile>(*this, std::move(file), inode));
}

Status StoreRecorder::rename(std::string_view, std::string_view) {
  return common::fail(common::ErrorCode::Unsupported, "segments are never renamed");
}

Status StoreRecorder::unlink(std::string_view path) {
  TROTH_TRY_VOID(wrapped_.unlink(path));
  auto state = state_.lock();
  state->now.erase(std::string(path));
  if (state->on)
    state->events.push_back({Kind::NoName, 0, 0, {}, std::string(path), {}});
  return {};
}

Status StoreRecorder::make_directory(std::string_view path) {
  return wrapped_.make_directory(path);
}

Status StoreRecorder::remove_directory(std::string_view path) {
  return wrapped_.remove_directory(path);
}

Result<std::vector<common::io::Entry>> StoreRecorder::list(std::string_view path) {
  return wrapped_.list(path);
}

Status StoreRecorder::sync_directory(std::string_view path) {
  TROTH_TRY_VOID(wrapped_.sync_directory(path));
  add({Kind::SyncNames, 0, 0, {}, std::string(path), {}});
  return {};
}

template <typename Decide>
StoreRecorder::Image StoreRecorder::build(std::size_t position, Decide decide,
                                          Random* random) const {
  auto state = state_.lock();
  const auto& events = state->events;
  position = std::min(position, events.size());
  Image image;
  std::map<std::size_t, std::size_t> last_sync;
  std::size_t names_synced = 0;
  for (std::size_t i = 0; i < position; ++i) {
    const Event& event = events[i];
    if (event.kind == Kind::Sync)
      last_sync[event.inode] = i + 1;
    else if (event.kind == Kind::SyncNames && event.path == "segments")
      names_synced = i + 1;
    else if (event.kind == Kind::Note)
      image.notes = event.notes;
  }
  auto files = state->base;
  auto names = state->names;
  std::size_t step = 0;
  for (std::size_t i = 0; i < position; ++i) {
    const Event& event = events[i];
    const bool bytes = event.kind == Kind::Write || event.kind == Kind::Truncate;
    const bool name = event.kind == Kind::Name || event.kind == Kind::NoName;
    if (!bytes && !name)
      continue;
    const auto synced = last_sync.find(event.inode);
    const bool safe = name ? i < names_synced : synced != last_sync.end() && i < synced->second;
    const Fate fate = safe ? Fate::Kept : decide(step++, event.inode);
    if (fate == Fate::Dropped)
      continue;
    image.signature = mix(image.signature, mix(i, static_cast<std::uint64_t>(fate)));
    if (event.kind == Kind::Truncate) {
      files[event.inode].resize(event.offset);
    } else if (event.kind == Kind::Name) {
      names[event.path] = event.inode;
    } else if (event.kind == Kind::NoName) {
      names.erase(event.path);
    } else if (fate == Fate::Kept || random == nullptr || event.bytes.empty()) {
      apply_write(files[event.inode], event.offset, event.bytes);
    } else {
      // Some stretch of it arrives: whole sectors, or any bytes.
      std::uint64_t from = random->below(event.bytes.size());
      std::uint64_t to = from + random->below(event.bytes.size() - from) + 1;
      if (random->below(2) == 0) {
        from -= (event.offset + from) % kSector <= from ? (event.offset + from) % kSector : from;
        to = std::min<std::uint64_t>(event.bytes.size(), from + kSector);
      }
      image.signature = mix(image.signature, mix(from, to));
      apply_write(files[event.inode], event.offset + from,
                  std::span(event.bytes).subspan(from, to - from));
    }
  }
  image.unsynced = step;
  for (std::size_t i = 0; i < kDatabaseFiles.size(); ++i) {
    if (i != static_cast<std::size_t>(DiskFile::Journal))
      image.files[kDatabaseFiles[i]] = std::move(files[i]);
  }
  for (const auto& [path, inode] : names)
    image.files[path] = files[inode];
  image.signature = mix(image.signature, image.notes.stable);
  return image;
}

StoreRecorder::Image StoreRecorder::make_image(std::size_t position, Loss loss,
                                               Random& random) const {
  if (loss == Loss::Nothing)
    return build(
        position, [](std::size_t, std::size_t) { return Fate::Kept; }, nullptr);
  if (loss == Loss::Everything)
    return build(
        position, [](std::size_t, std::size_t) { return Fate::Dropped; }, nullptr);
  // Some images lose nearly everything, some nearly nothing: both ends find bugs of their own. In
  // every other one some files lose nothing and some all: then what refers is there, and what it
  // refers to is not.
  const std::uint64_t kept_of_eight = random.below(9);
  const bool by_file = random.below(2) == 0;
  std::map<std::size_t, std::uint64_t> luck;  // of a file, if they have different ones
  const auto decide = [&](std::size_t, std::size_t inode) {
    const std::uint64_t its = by_file ? luck.try_emplace(inode, random.below(3)).first->second : 2;
    if (its < 2)
      return its == 0 ? Fate::Kept : Fate::Dropped;
    if (random.below(8) < kept_of_eight)
      return Fate::Kept;
    return random.below(3) == 0 ? Fate::Torn : Fate::Dropped;
  };
  return build(position, decide, &random);
}

StoreRecorder::Image StoreRecorder::make_subset(std::size_t position, std::uint64_t kept) const {
  return build(
      position,
      [&](std::size_t step, std::size_t) {
        return step < 64 && (kept >> step & 1) != 0 ? Fate::Kept : Fate::Dropped;
      },
      nullptr);
}

void write_image(const StoreRecorder::Image& image, const std::string& directory) {
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory + "/segments");
  for (const auto& [name, bytes] : image.files) {
    const common::UniqueFd out(
        ::open((directory + "/" + name).c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
    if (!out.valid() ||
        ::write(out.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      std::perror("writing an image");
      std::abort();
    }
  }
}

}  // namespace test_support
