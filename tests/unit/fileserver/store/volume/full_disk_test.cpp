// A disk that is really full: a small file system in a file.

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <future>
#include <map>
#include <thread>

#include "tests/support/process.hpp"
#include "tests/unit/fileserver/store/volume/volume_fixture.hpp"

using common::ErrorCode;
using test_support::noise;
using test_support::view;
using namespace fileserver::store;  // NOLINT(google-build-using-namespace): every name here is of
                                    // it

namespace {

constexpr int kSkipped = 77;

template <typename... Args>
tl::unexpected<common::Error> wrong(fmt::format_string<Args...> format, Args&&... args) {
  return common::fail(ErrorCode::Internal, "{}", fmt::format(format, std::forward<Args>(args)...));
}

// Runs `work` in a child that has mounts of its own, which go with it. The child's exit code, and
// what was wrong.
int with_own_mounts(const std::function<Status()>& work, std::string& why) {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      ::_exit(kSkipped);
    const Status done = work();
    if (!done && ::write(ends[1], done.error().message.data(), done.error().message.size()) < 0)
      ::_exit(2);
    ::_exit(done ? 0 : done.error().code == ErrorCode::Unsupported ? kSkipped : 1);
  }
  ::close(ends[1]);
  std::array<char, 1000> text{};
  for (ssize_t got = 0; (got = ::read(ends[0], text.data(), text.size())) > 0;)
    why.append(text.data(), static_cast<std::size_t>(got));
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Status run(const std::string& program, const std::vector<std::string>& arguments) {
  const auto done = test_support::run_command(program, arguments);
  if (done && done->status.ok())
    return {};
  return common::fail(ErrorCode::Unsupported, "{}: {}", program,
                      done ? done->error_output : done.error().message);
}

// An ext4 of this size in place/mount.
Status mount_disk(const std::string& place, const char* size) {
  TROTH_TRY_VOID(run("truncate", {"-s", size, place + "/disk"}));
  TROTH_TRY_VOID(run("mkfs.ext4", {"-q", "-F", "-m", "0", place + "/disk"}));
  TROTH_TRY_VOID(run("mkdir", {place + "/mount"}));
  return run("mount", {"-o", "loop", place + "/disk", place + "/mount"});
}

// Somebody else takes all that is free.
Status fill_disk(const std::string& place) {
  const common::UniqueFd fd(
      ::open((place + "/mount/filler").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  const std::string piece(4096, 'x');
  while (fd.valid() && ::write(fd.get(), piece.data(), piece.size()) > 0) {
  }
  return fd.valid() && ::fsync(fd.get()) == 0 ? Status() : wrong("the disk cannot be filled");
}

// And gives it back.
Status free_disk(const std::string& place) {
  if (::unlink((place + "/mount/filler").c_str()) != 0)
    return common::fail_errno(errno, "removing the filler");
  // The file system gives room back once the removal itself is on its disk.
  const common::UniqueFd root(
      ::open((place + "/mount").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid() || ::syncfs(root.get()) != 0)
    return common::fail_errno(errno, "syncing the file system");
  return {};
}

class SmallDisk {
 public:
  explicit SmallDisk(std::string place) : place_(std::move(place)) {}

  Status go() {
    TROTH_TRY_VOID(mount_disk(place_, "48M"));
    TROTH_TRY_VOID(run("mkdir", {directory()}));
    options_.segment_bytes = 4 << 20;
    options_.retention = {std::chrono::seconds{0}, 1};
    options_.compress = false;
    TROTH_TRY(volume_, Volume::create(directory(), common::VolumeId{1}, options_, clock_));
    TROTH_TRY_VOID(fill());
    TROTH_TRY_VOID(check_all());
    // One large upload does not take what is kept, either.
    TROTH_TRY_VOID(refuse_large_upload());
    TROTH_TRY_VOID(remove_one());
    TROTH_TRY_VOID(fill_disk(place_));
    TROTH_TRY_VOID(check_all());
    // What frees may need room for itself; it says so, and nothing is lost.
    const Status removed = remove_one();
    if (!removed && removed.error().code != ErrorCode::NoSpace)
      return removed;
    TROTH_TRY_VOID(volume_->health());
    TROTH_TRY_VOID(free_disk(place_));
    TROTH_TRY_VOID(volume_->sync(clock_.now() + kLong));
    const std::size_t half = files_.size() / 2;
    while (files_.size() > half)
      TROTH_TRY_VOID(remove_one().map_error([&](const common::Error& e) {
        return e.in(fmt::format("removing one of {}", files_.size()));
      }));
    for (int i = 0; i < 10'000; ++i) {
      TROTH_TRY(const bool more, volume_->maintain().map_error(
                                     [](const common::Error& e) { return e.in("upkeep"); }));
      if (!more)
        break;
    }
    for (std::size_t i = 0; i < half / 2; ++i)
      TROTH_TRY_VOID(store().map_error([&](const common::Error& e) {
        return e.in(fmt::format("storing again, {} of {}", i, half / 2));
      }));
    TROTH_TRY_VOID(check_all());
    TROTH_TRY_VOID(volume_->close());
    volume_.reset();
    TROTH_TRY(volume_, Volume::open(directory(), options_, clock_));
    TROTH_TRY_VOID(check_all());
    return volume_->close();
  }

 private:
  static constexpr std::size_t kFile = 300'000;
  static constexpr std::chrono::seconds kLong{60};

  [[nodiscard]] std::string directory() const { return place_ + "/mount/volume"; }

  Status store() {
    const std::string name = "f" + std::to_string(++made_);
    const std::string bytes = noise(kFile, made_);
    Upload upload = volume_->blocks().begin_upload();
    Create create;
    create.parent = kRootNode;
    create.name = name;
    TROTH_TRY(create.content, make_content(volume_->blocks(), upload, view(bytes)));
    CommitRequest request;
    request.operations = {create};
    request.upload = &upload;
    TROTH_TRY_VOID(volume_->commit(request));
    files_[name] = made_;
    return {};
  }

  Status fill() {
    for (int i = 0; i < 1000; ++i) {
      const Status stored = store();
      if (stored)
        continue;
      if (stored.error().code != ErrorCode::NoSpace)
        return stored;
      return files_.size() > 20 ? Status() : wrong("full after {} files", files_.size());
    }
    return wrong("a disk of 48 MB does not become full");
  }

  Status refuse_large_upload() {
    Upload upload = volume_->blocks().begin_upload();
    for (std::uint64_t i = 0; i < 1000; ++i) {
      const std::string block = noise(kBlockBytes, 1'000'000 + i);
      const auto put = volume_->blocks().put(upload, BlockKind::Data, view(block));
      if (!put)
        return put.error().code == ErrorCode::NoSpace ? Status() : tl::unexpected(put.error());
    }
    return wrong("128 MB fit on a disk of 48");
  }

  Status remove_one() {
    CommitRequest request;
    request.operations = {Unlink{kRootNode, files_.begin()->first}};
    TROTH_TRY_VOID(volume_->commit(request));
    files_.erase(files_.begin());
    return {};
  }

  Status check_all() {
    for (const auto& [name, seed] : files_) {
      TROTH_TRY(const auto found, volume_->lookup(kRootNode, name));
      std::string text(kFile + 1, '?');
      TROTH_TRY(const auto reply,
                volume_->read(found.attributes.node, 0,
                              {reinterpret_cast<std::byte*>(text.data()), text.size()}));
      text.resize(reply.length);
      if (text != noise(kFile, seed))
        return wrong("{} reads otherwise", name);
    }
    TROTH_TRY(const auto entries, volume_->list_names(kRootNode, "", 10'000));
    return entries.size() == files_.size()
               ? Status()
               : wrong("{} entries, not {}", entries.size(), files_.size());
  }

  const std::string place_;
  const common::SystemClock clock_;
  VolumeOptions options_;
  std::unique_ptr<Volume> volume_;
  std::map<std::string, std::uint64_t> files_;  // acknowledged, with the seeds of their bytes
  std::uint64_t made_ = 0;
};

// The disk becomes full while much is in the log only: copying it into the database finds no room.
class FullCheckpoint {
 public:
  explicit FullCheckpoint(std::string place) : place_(std::move(place)) {}

  Status go() {
    TROTH_TRY_VOID(mount_disk(place_, "24M"));
    TROTH_TRY_VOID(run("mkdir", {directory()}));
    options_.segment_bytes = 1 << 20;
    TROTH_TRY(volume_, Volume::create(directory(), common::VolumeId{1}, options_, clock_));
    TROTH_TRY_VOID(store());
    TROTH_TRY_VOID(fill_under_a_look());
    const std::uint64_t before = volume_->status()->database.blocked_checkpoints;
    // The first may have been blocked by the look.
    TROTH_TRY_VOID(wait_for("no checkpoint found the disk full", [&] {
      return volume_->status()->database.blocked_checkpoints > before + 2;
    }));
    TROTH_TRY_VOID(volume_->health());
    TROTH_TRY_VOID(volume_->sync(clock_.now() + kLong));
    TROTH_TRY_VOID(check_all(*volume_));
    TROTH_TRY_VOID(check_copy());
    const Status refused = store();
    if (refused || refused.error().code != ErrorCode::NoSpace)
      return wrong("storing on a full disk: {}", refused ? "done" : refused.error().message);
    TROTH_TRY_VOID(free_disk(place_));
    const std::uint64_t whole = whole_checkpoints();
    TROTH_TRY_VOID(
        wait_for("no checkpoint was made up for", [&] { return whole_checkpoints() > whole; }));
    TROTH_TRY_VOID(volume_->health());
    for (int i = 0; i < 20; ++i)
      TROTH_TRY_VOID(store());
    TROTH_TRY_VOID(volume_->close());
    volume_.reset();
    TROTH_TRY(volume_, Volume::open(directory(), options_, clock_));
    if (!volume_->report().clean)
      return wrong("it was not closed in order");
    TROTH_TRY_VOID(check_all(*volume_));
    return volume_->close();
  }

 private:
  static constexpr std::size_t kFile = 3000;  // kept in the database: a page of it
  static constexpr int kWalPages = 600;
  static constexpr std::chrono::seconds kLong{60};

  [[nodiscard]] std::string directory() const { return place_ + "/mount/volume"; }
  [[nodiscard]] std::uint64_t whole_checkpoints() const {
    const auto status = volume_->status()->database;
    return status.checkpoints - status.blocked_checkpoints;
  }

  Status wait_for(const char* otherwise, const std::function<bool()>& condition) const {
    const common::Instant end = clock_.now() + kLong;
    while (!condition()) {
      if (clock_.now() > end)
        return wrong("{}", otherwise);
      std::this_thread::yield();
    }
    return {};
  }

  Status store() {
    Create create;
    create.parent = kRootNode;
    create.name = "f" + std::to_string(made_ + 1);
    const std::string bytes = noise(kFile, made_ + 1);
    create.content.size = create.content.allocated = kFile;
    create.content.tail = Bytes(view(bytes).begin(), view(bytes).end());
    CommitRequest request;
    request.operations = {create};
    TROTH_TRY_VOID(volume_->commit(request));
    ++made_;
    return {};
  }

  // Commits while somebody looks at the volume as it was, so that nothing is copied, until there is
  // much in the log; then the disk is filled, and the look ends.
  Status fill_under_a_look() {
    std::promise<void> looking;
    std::promise<void> enough;
    Status looked;
    const auto stay = [&](ReadTx& tx, At at) -> Status {
      TROTH_TRY(const auto root, read_attributes(tx, kRootNode, at));
      looking.set_value();
      enough.get_future().wait();
      return root ? Status() : wrong("no root");
    };
    std::thread reader([&] { looked = volume_->view(stay); });
    looking.get_future().wait();
    Status filled;
    while (filled && volume_->status()->database.wal_pages < kWalPages)
      filled = store();
    if (filled)
      filled = fill_disk(place_);
    enough.set_value();
    reader.join();
    TROTH_TRY_VOID(filled);
    return looked;
  }

  Status check_all(Volume& volume) const {
    for (std::uint64_t i = 1; i <= made_; ++i) {
      TROTH_TRY(const auto found, volume.lookup(kRootNode, "f" + std::to_string(i)));
      std::string text(kFile + 1, '?');
      TROTH_TRY(const auto reply,
                volume.read(found.attributes.node, 0,
                            {reinterpret_cast<std::byte*>(text.data()), text.size()}));
      text.resize(reply.length);
      if (text != noise(kFile, i))
        return wrong("file {} reads otherwise", i);
    }
    return {};
  }

  // What a power loss would leave now.
  Status check_copy() const {
    const std::string copy = place_ + "/copy";
    TROTH_TRY_VOID(run("cp", {"-r", directory(), copy}));
    TROTH_TRY(const auto volume, Volume::open(copy, options_, clock_));
    return check_all(*volume);
  }

  const std::string place_;
  const common::SystemClock clock_;
  VolumeOptions options_;
  std::unique_ptr<Volume> volume_;
  std::uint64_t made_ = 0;  // acknowledged
};

}  // namespace

TEST_CASE("F8: a disk that is full when the log is copied loses nothing, and it is made up for") {
  if (::geteuid() != 0)
    SKIP_TEST("mounting needs root");
  const test_support::TempDir place;
  std::string why;
  const int code = with_own_mounts([&] { return FullCheckpoint(place.path().string()).go(); }, why);
  if (code == kSkipped)
    SKIP_TEST("no file system can be mounted here");
  CHECK_MESSAGE(code == 0, why);
}

TEST_CASE("F8: a disk that is really full loses nothing, and comes back when there is room") {
  if (::geteuid() != 0)
    SKIP_TEST("mounting needs root");
  const test_support::TempDir place;
  std::string why;
  const int code = with_own_mounts([&] { return SmallDisk(place.path().string()).go(); }, why);
  if (code == kSkipped)
    SKIP_TEST("no file system can be mounted here");
  CHECK_MESSAGE(code == 0, why);
}
