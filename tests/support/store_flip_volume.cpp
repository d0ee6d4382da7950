// A volume as small as it can be that has every kind of page, record and row.

#include "tests/support/store_flip_volume.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

#include "fileserver/store/meta/reads.hpp"
#include "tests/support/store_flip.hpp"

namespace test_support {

namespace {

namespace fs = std::filesystem;
using namespace fileserver::store;  // NOLINT(google-build-using-namespace): all of it is about it

constexpr std::chrono::seconds kPatience{60};
// At so many pages the WAL is copied and cut: before the last words it is empty.
constexpr int kLogPages = 4;
// Copying it takes less.
constexpr std::chrono::milliseconds kBetweenCommits{50};

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

CommitReply commit(Volume& volume, std::vector<Operation> operations,
                   std::optional<OperationKey> key = {}) {
  CommitRequest request;
  request.operations = std::move(operations);
  request.key = key;
  return must(volume.commit(request), "commit");
}

void write(Volume& volume, NodeId node, std::uint64_t offset, const std::string& bytes) {
  Edit edit;
  edit.offset = offset;
  edit.bytes = common::as_bytes(bytes);
  Volume::WriteRequest request;
  request.node = node;
  request.edits = std::span(&edit, 1);
  must(volume.write(request), "write");
}

Bytes bytes_of(std::string_view text) {
  const auto view = common::as_bytes(text);
  return {view.begin(), view.end()};
}

}  // namespace

VolumeOptions flip_options(bool machine_restarted) {
  VolumeOptions options;
  options.boot_id = Bytes(1, machine_restarted ? std::byte{2} : std::byte{1});
  options.reserve_ahead = 100;
  options.segment_bytes = 1 << 20;
  options.flush_interval = std::chrono::milliseconds(5);
  options.readers = 2;
  return options;
}

FlipVolume::FlipVolume(const std::string& scratch, FlipState state)
    : scratch_(scratch), original_(scratch + "/original"), state_(state) {
  prepare();
  // Untouched it must be as it was, or all that follows says nothing.
  const std::string copy = scratch_ + "/untouched";
  restore(copy);
  std::string why;
  const FlipOutcome outcome = look(copy, true, why);
  if (outcome != FlipOutcome::Unused) {
    std::fprintf(stderr, "the volume itself is not sound (%d): %s\n", static_cast<int>(outcome),
                 why.c_str());
    std::abort();
  }
  fs::remove_all(copy);
}

NodeId FlipVolume::make(Volume& volume, const std::string& name, NodeKind kind) {
  Create create;
  create.parent = kRootNode;
  create.name = name;
  create.kind = kind;
  create.mode = 0644;
  const NodeId node = commit(volume, {create}).created[0];
  nodes_[name] = node;
  return node;
}

// One of each kind of row and record.
void FlipVolume::fill(Volume& volume) {
  const NodeId tail = make(volume, "tail");
  write(volume, tail, 0, "bytes that are kept in the database");
  write(volume, make(volume, "raw"), 0, noise(90, 1) + std::string(5000, '\0'));
  std::string text;
  for (int i = 0; text.size() < 6000; ++i)
    text += "line " + std::to_string(i % 10) + " of a text that can be compressed\n";
  write(volume, make(volume, "packed"), 0, text);
  // A list, with a hole in it.
  write(volume, make(volume, "tree"), kFlipLargest - 100, noise(100, 2));
  make(volume, "empty");
  make(volume, "directory", NodeKind::Directory);
  Create symlink;
  symlink.parent = kRootNode;
  symlink.name = "symlink";
  symlink.kind = NodeKind::Symlink;
  symlink.content.tail = bytes_of("to/somewhere");
  symlink.content.size = symlink.content.allocated = symlink.content.tail.size();
  nodes_["symlink"] = commit(volume, {symlink}).created[0];
  commit(volume, {Link{tail, nodes_["directory"], "another name"}}, OperationKey{{}, 1});
  commit(volume, {SetXattr{tail, "user.kept", bytes_of("first value")}});
  commit(volume, {SetSetting{std::string(kQuotaBytes), Bytes(8, std::byte{0x10})}});
  commit(volume, {RaiseFence{tail, 0, 99, common::FencingToken{5}}});
  before_ = volume.last_seq();
  commit(volume, {CreateSnapshot{"before", {}}});
  // History of all that has one.
  commit(volume, {SetXattr{tail, "user.kept", bytes_of("second value")}});
  commit(volume, {SetSetting{std::string(kQuotaBytes), Bytes(8, std::byte{0x20})}});
  commit(volume, {Rename{kRootNode, "empty", nodes_["directory"], "moved"}});
  commit(volume, {Unlink{nodes_["directory"], "another name"}});
  write(volume, tail, 0, "other");
  must(volume.pin(SessionId{7}, tail, volume.last_seq()), "pin");
  must(volume.reserve(SessionId{7}, 3, 1000), "reserve");
}

// Commits that are stable, and in the WAL only. Nothing before them is left there.
void FlipVolume::say_last_words() {
  VolumeOptions options = flip_options(false);
  options.checkpoint_pages = kLogPages;
  options.wal_cap_pages = 2 * kLogPages;
  const auto volume = must(Volume::open(original_, options, clock_), "open");
  const auto log_is_empty = [&] { return fs::file_size(original_ + "/meta.db-wal") == 0; };
  const common::Instant end = clock_.now() + kPatience;
  for (std::uint32_t mode = 0; !log_is_empty() && clock_.now() < end; ++mode) {
    SetAttributes change;
    change.node = nodes_["empty"];
    change.mode = 0600 + mode % 8;
    commit(*volume, {change});
    const common::Instant next = clock_.now() + kBetweenCommits;
    while (!log_is_empty() && clock_.now() < next)
      std::this_thread::yield();
  }
  // A look at the volume as it is keeps from being copied what comes after it.
  std::promise<void> looking;
  std::promise<void> enough;
  const auto stay = [&](ReadTx& tx, At at) -> Status {
    TROTH_TRY_VOID(read_attributes(tx, kRootNode, at));
    looking.set_value();
    enough.get_future().wait();
    return {};
  };
  std::thread reader([&] { must(volume->view(stay), "look"); });
  looking.get_future().wait();
  commit(*volume, {Rename{kRootNode, "raw", kRootNode, "renamed"}});
  write(*volume, nodes_["packed"], 0, noise(110, 4));
  must(volume->sync(clock_.now() + kPatience), "sync");
  last_ = volume->last_seq();
  answers_ = ask(*volume);
  // The mark follows the sync: it is there once the loss of the WAL's last frame is refused.
  const std::string probe = scratch_ + "/probe";
  for (bool marked = false; !marked;) {
    files_ = files_in(original_);
    restore(probe);
    const std::string log = probe + "/meta.db-wal";
    fs::resize_file(log, fs::file_size(log) - 1);
    marked = !Volume::open(probe, flip_options(false), clock_);
  }
  fs::remove_all(probe);
  enough.set_value();
  reader.join();
}

void FlipVolume::prepare() {
  fs::create_directories(original_);
  {
    const auto volume =
        must(Volume::create(original_, common::VolumeId{1}, flip_options(false), clock_), "create");
    fill(*volume);
    last_ = volume->last_seq();
    answers_ = ask(*volume);
    must(volume->close(), "close");
  }
  if (state_ == FlipState::Closed)
    files_ = files_in(original_);
  else
    say_last_words();
  for (const auto& [question, answer] : answers_)
    must(answer.map([](const std::string&) {}), question.c_str());
}

}  // namespace test_support
