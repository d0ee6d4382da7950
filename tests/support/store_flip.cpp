#include "tests/support/store_flip.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "fileserver/store/check/fsck.hpp"
#include "fileserver/store/volume.hpp"

namespace test_support {

namespace {

namespace fs = std::filesystem;
using namespace fileserver::store;  // NOLINT(google-build-using-namespace): all of it is about it

constexpr std::chrono::seconds kPatience{60};

// A failure of preparing, not of the volume under test.
void must(const common::Status& status, const char* doing) {
  if (!status) {
    std::fprintf(stderr, "%s: %s\n", doing, status.error().message.c_str());
    std::abort();
  }
}
template <typename T>
T must(common::Result<T> result, const char* doing) {
  if (!result) {
    std::fprintf(stderr, "%s: %s\n", doing, result.error().message.c_str());
    std::abort();
  }
  return *std::move(result);
}

std::string noise(std::size_t length, std::uint64_t state) {
  std::string text(length, '\0');
  for (char& c : text) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    c = static_cast<char>(state >> 56U);
  }
  return text;
}

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void spill(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::binary);
  out << text;
}

VolumeOptions small_options() {
  VolumeOptions options;
  options.compress = false;
  options.reserve_ahead = 100;
  options.segment_bytes = 1 << 20;
  options.flush_interval = std::chrono::milliseconds(5);
  return options;
}

void add_file(Volume& volume, const std::string& name, const std::string& bytes) {
  CommitRequest request;
  Create create;
  create.parent = kRootNode;
  create.name = name;
  create.mode = 0644;
  request.operations = {create};
  const NodeId node = must(volume.commit(request), "create").created[0];
  Edit edit;
  edit.bytes = common::as_bytes(bytes);
  Volume::WriteRequest write;
  write.node = node;
  write.edits = std::span(&edit, 1);
  must(volume.write(write), "write");
}

// What is on the disk of a process that dies now. The shared memory of the WAL is made anew at the
// next opening, and the lock says nothing.
std::map<std::string, std::string> files_in(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    const std::string name = fs::relative(entry.path(), directory).string();
    if (entry.is_regular_file() && !name.ends_with("-shm") && !name.ends_with(".lock"))
      files[name] = slurp(entry.path());
  }
  return files;
}

}  // namespace

FlipVolume::FlipVolume(const std::string& scratch, FlipState state)
    : scratch_(scratch), original_(scratch + "/original") {
  prepare(state);
}

void FlipVolume::prepare(FlipState state) {
  fs::create_directories(original_);
  auto volume =
      must(Volume::create(original_, common::VolumeId{1}, small_options(), clock_), "create");
  contents_ = {{"tail", "bytes that are kept in the database"},
               {"block", noise(6000, 1)},
               {"tree", noise(140'000, 2)},
               {"empty", ""}};
  for (const auto& [name, bytes] : contents_)
    add_file(*volume, name, bytes);
  if (state == FlipState::Closed) {
    must(volume->close(), "close");
    files_ = files_in(original_);
    return;
  }
  must(volume->sync(clock_.now() + kPatience), "sync");
  last_seq_ = volume->last_seq().value;
  // The mark follows the sync: it is there once the loss of the WAL's last frame is refused.
  const std::string probe = scratch_ + "/probe";
  for (bool marked = false; !marked;) {
    files_ = files_in(original_);
    fs::remove_all(probe);
    for (const auto& [name, bytes] : files_)
      spill(fs::path(probe) / name,
            name.ends_with("-wal") ? bytes.substr(0, bytes.size() - 1) : bytes);
    marked = !Volume::open(probe, small_options(), clock_);
  }
  fs::remove_all(probe);
}

std::uint64_t FlipVolume::bytes() const {
  std::uint64_t total = 0;
  for (const auto& [name, text] : files_)
    total += text.size();
  return total;
}

FlipVolume::Flip FlipVolume::flip(std::uint64_t byte, unsigned bit, bool fsck,
                                  unsigned thread) const {
  Flip result;
  const std::string copy = scratch_ + "/copy" + std::to_string(thread);
  fs::remove_all(copy);
  std::uint64_t at = byte;
  for (const auto& [name, text] : files_) {
    std::string bytes = text;
    if (result.file.empty() && at < bytes.size()) {
      bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ (1U << bit));
      result.file = name;
      result.offset = at;
    } else if (result.file.empty()) {
      at -= bytes.size();
    }
    spill(fs::path(copy) / name, bytes);
  }
  result.outcome = look(copy, fsck, result.why);
  return result;
}

FlipOutcome FlipVolume::look(const std::string& copy, bool fsck, std::string& why) const {
  bool refused = false;
  {
    const auto opened = Volume::open(copy, small_options(), clock_);
    if (!opened) {
      why = opened.error().message;
      return FlipOutcome::Refused;
    }
    Volume& volume = **opened;
    if (volume.report().rolled_back != 0 || volume.last_seq().value < last_seq_) {
      why = "commits are gone";
      return FlipOutcome::Older;
    }
    refused = volume.report().damaged_blocks != 0;
    for (const auto& [name, bytes] : contents_) {
      const auto found = volume.lookup(kRootNode, name);
      if (!found && found.error().code == common::ErrorCode::NotFound) {
        why = name + " is gone";
        return FlipOutcome::Older;
      }
      std::string text(bytes.size() + 1, '\0');
      const auto read = found
                            ? volume.read(found->attributes.node, 0,
                                          {reinterpret_cast<std::byte*>(text.data()), text.size()})
                            : common::Result<Volume::ReadReply>(tl::unexpected(found.error()));
      if (!read) {
        refused = true;
        why = read.error().message;
        continue;
      }
      text.resize(read->length);
      if (text != bytes) {
        why = name + " reads otherwise";
        return FlipOutcome::Wrong;
      }
    }
  }
  if (refused)
    return FlipOutcome::Unreadable;
  if (!fsck)
    return FlipOutcome::Unused;
  const auto report = check_volume(copy, {}, clock_);
  if (!report) {
    why = report.error().message;
    return FlipOutcome::Found;
  }
  if (!report->is_sound()) {
    why = report->findings.empty() ? "" : report->findings.front().what;
    return FlipOutcome::Found;
  }
  return FlipOutcome::Unused;
}

}  // namespace test_support
