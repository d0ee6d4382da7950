#pragma once

// Volumes in a directory of their own, with the shorthands that tests of them need.

#include <filesystem>
#include <memory>
#include <string>

#include "common/io/faulty_file_io.hpp"
#include "common/io/posix_file_io.hpp"
#include "fileserver/store/volume.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/test.hpp"

namespace test_support {

namespace fs = fileserver::store;

constexpr std::chrono::seconds kStableWithin{60};

inline common::ByteView view(std::string_view text) {
  return common::as_bytes(text);
}

class VolumeFixture {
 public:
  VolumeFixture() { options.reserve_ahead = 1000; }

  void create() {
    auto made = fs::Volume::create(path(), common::VolumeId{7}, options, clock);
    REQUIRE_OK(made);
    volume = *std::move(made);
  }
  common::Status open() {
    volume.reset();
    auto opened = fs::Volume::open(path(), options, clock);
    if (!opened)
      return tl::unexpected(opened.error());
    volume = *std::move(opened);
    return {};
  }
  // Leaves what a process leaves that is killed now: nothing more is synced or noted.
  void die() {
    const std::string kept = path() + "-killed";
    std::filesystem::copy(path(), kept, std::filesystem::copy_options::recursive);
    volume.reset();
    std::filesystem::remove_all(path());
    std::filesystem::rename(kept, path());
  }
  std::string path() const { return directory.path().string(); }

  fs::NodeId make(fs::NodeId parent, std::string name, fs::NodeKind kind = fs::NodeKind::File) {
    fs::Create create;
    create.parent = parent;
    create.name = std::move(name);
    create.kind = kind;
    create.mode = 0755;
    const auto done = commit({create});
    REQUIRE_OK(done);
    return done->created[0];
  }
  common::Result<fs::CommitReply> commit(std::vector<fs::Operation> operations,
                                         std::optional<fs::OperationKey> key = {}) {
    fs::CommitRequest request;
    request.operations = std::move(operations);
    request.key = key;
    return volume->commit(request);
  }
  common::Result<fs::CommitReply> put(fs::NodeId node, std::string_view bytes,
                                      std::uint64_t offset = 0, bool replace = true) {
    fs::Edit edit;
    edit.offset = offset;
    edit.bytes = view(bytes);
    fs::Volume::WriteRequest request;
    request.node = node;
    request.edits = std::span(&edit, 1);
    request.replace = replace;
    return volume->write(request);
  }
  std::string get(fs::NodeId node, fs::At at = {}) {
    const auto content = volume->content(node, at);
    REQUIRE_OK(content);
    std::string text(content->size, '?');
    const auto length =
        volume->read(*content, 0, {reinterpret_cast<std::byte*>(text.data()), text.size()});
    REQUIRE_OK(length);
    CHECK(*length == text.size());
    return text;
  }
  // From the next opening on, segments are where they can be made to fail.
  common::io::FaultyFileIo& use_faulty_disk() {
    auto root = common::io::PosixFileIo::open_root(path());
    REQUIRE_OK(root);
    disk = *std::move(root);
    faulty = std::make_unique<common::io::FaultyFileIo>(*disk);
    options.segment_io = faulty.get();
    return *faulty;
  }
  common::Instant soon() const { return clock.now() + kStableWithin; }

  TempDir directory;
  common::SystemClock clock;
  fs::VolumeOptions options;
  std::unique_ptr<common::io::PosixFileIo> disk;
  std::unique_ptr<common::io::FaultyFileIo> faulty;
  std::unique_ptr<fs::Volume> volume;
};

// Bytes that neither compress nor repeat.
inline std::string noise(std::size_t length, std::uint64_t seed = 1) {
  std::string text(length, '\0');
  std::uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (char& c : text) {
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
    c = static_cast<char>(state >> 56U);
  }
  return text;
}

}  // namespace test_support
