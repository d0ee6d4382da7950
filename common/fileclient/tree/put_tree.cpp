#include "common/fileclient/tree/put_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>

#include "common/fileclient/transfer/file_time.hpp"
#include "common/fileclient/transfer/work_queue.hpp"
#include "common/fileclient/tree/small_files.hpp"
#include "common/fileclient/tree/tree_walk.hpp"
#include "common/io/unique_fd.hpp"

namespace common::fileclient {
namespace {

constexpr std::size_t kMkdirsAtOnce = 200;
constexpr std::size_t kTimesAtOnce = 500;

Result<std::vector<std::string>> names_in(int directory) {
  UniqueFd fd(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid())
    return fail_errno(errno, "open the directory");
  DIR* stream = ::fdopendir(fd.get());
  if (stream == nullptr)
    return fail_errno(errno, "read the directory");
  static_cast<void>(fd.release());
  std::vector<std::string> names;
  errno = 0;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this function's own
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..")
      names.emplace_back(name);
    errno = 0;
  }
  const int error = errno;
  ::closedir(stream);
  if (error != 0)
    return fail_errno(error, "read the directory");
  std::sort(names.begin(), names.end());
  return names;
}

struct Below {
  std::string name;
  Fid fid;  // node 0: not made yet
  struct stat info {};
  bool made = false;  // by us, so that nothing is in it
};

struct PutLevel {
  Fid remote;
  std::size_t path_length = 0;
  std::vector<Below> directories;  // still to be gone into; the last one first
};

class TreePut {
 public:
  TreePut(FileClient& client, TreeReport& report, const TreeOptions& options)
      : client_(client), report_(report), options_(options), queue_(options.transfer.threads) {}

  Status run(int local, const std::string& local_path, const Found& remote);

 private:
  [[nodiscard]] CallOptions calls() const { return options_.transfer.calls; }
  [[nodiscard]] Progress* progress() const { return options_.transfer.progress; }
  [[nodiscard]] std::string path_of(const std::string& name) const { return joined(path_, name); }

  Status open_level(Fid remote, bool made);
  Status take(const std::string& name, const fileproto::Attributes* there, PutLevel& level);
  Status take_file(const std::string& name, const struct stat& info,
                   const fileproto::Attributes* there, Fid dir);
  Status take_link(const std::string& name, const struct stat& info,
                   const fileproto::Attributes* there, Fid dir);
  Status take_large(const std::string& name, const struct stat& info,
                    const fileproto::Attributes* there, Fid dir);
  Status make_directories(PutLevel& level);
  Status add_small(SmallFile file);
  void send_small();
  Status descend();
  Status ascend();
  Status set_times();
  Status report_or_end(const std::string& path, const Error& error);
  Status settled();

  FileClient& client_;
  TreeReport& report_;
  const TreeOptions& options_;
  UniqueFd here_;  // the local directory that we are in
  std::string path_;
  std::vector<PutLevel> levels_;
  SmallFiles small_;
  std::vector<fileproto::Change> times_;  // of directories, set when nothing below changes any more
  Locked<std::optional<Error>> end_;      // what a piece of work ended everything with
  WorkQueue queue_;                       // last: its work uses the others
};

Status TreePut::report_or_end(const std::string& path, const Error& error) {
  if (ends_everything(error))
    return tl::unexpected(error.in(path));
  report_.problem(path, error);
  return {};
}

Status TreePut::settled() {
  auto end = end_.lock();
  return *end ? Status(tl::unexpected(**end)) : Status();
}

void TreePut::send_small() {
  if (small_.empty())
    return;
  queue_.add([this, files = std::make_shared<std::vector<SmallFile>>(small_.take())] {
    if (!settled())
      return;
    const Status sent = send_small_files(client_, *files, report_, progress(), calls());
    if (!sent)
      *end_.lock() = sent.error();
  });
}

Status TreePut::add_small(SmallFile file) {
  if (small_.full_with(file))
    send_small();
  small_.add(std::move(file));
  return settled();
}

Status TreePut::take_link(const std::string& name, const struct stat& info,
                          const fileproto::Attributes* there, Fid dir) {
  if (there != nullptr) {
    ++report_.unchanged;
    if (there->kind == fileproto::NodeKind::Symlink)
      return {};
    report_.problem(path_of(name),
                    {ErrorCode::AlreadyExists, "a symbolic link does not replace what is there"});
    return {};
  }
  std::string target(fileproto::kMaxTargetBytes + 1, '\0');
  const ssize_t length = ::readlinkat(here_.get(), name.c_str(), target.data(), target.size());
  if (length < 0) {
    report_.problem(path_of(name), fail_errno(errno, "read the link").value());
    return {};
  }
  target.resize(static_cast<std::size_t>(length));
  SmallFile link{dir, name, path_of(name), 0777, ns_of(info.st_mtim), {}, {}, std::move(target)};
  return add_small(std::move(link));
}

Status TreePut::take_large(const std::string& name, const struct stat& info,
                           const fileproto::Attributes* there, Fid dir) {
  const UniqueFd fd(::openat(here_.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) {
    report_.problem(path_of(name), fail_errno(errno, "open").value());
    return {};
  }
  UploadTarget target{dir, name, {}};
  if (there != nullptr)
    target.existing = *there;
  const UploadSource source{fd.get(), info.st_mode & 07777U, ns_of(info.st_mtim)};
  const auto sent = upload(client_, source, target, options_.transfer);
  if (!sent)
    return report_or_end(path_of(name), sent.error());
  ++report_.files;
  report_.bytes += static_cast<std::uint64_t>(info.st_size);
  if (progress() != nullptr)
    ++progress()->files_done;
  return {};
}

Status TreePut::take_file(const std::string& name, const struct stat& info,
                          const fileproto::Attributes* there, Fid dir) {
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (there != nullptr && there->kind != fileproto::NodeKind::File) {
    report_.problem(path_of(name),
                    {ErrorCode::AlreadyExists, "a file does not replace what is there"});
    return {};
  }
  if (there != nullptr && options_.skip_unchanged && there->size == size &&
      there->mtime == ns_of(info.st_mtim)) {
    ++report_.unchanged;
    return {};
  }
  if (progress() != nullptr) {
    ++progress()->files_total;
    progress()->bytes_total += size;
    progress()->begin_file(path_of(name));
  }
  if (size > kMostSmall)
    return take_large(name, info, there, dir);
  const UniqueFd fd(
      ::openat(here_.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid()) {
    report_.problem(path_of(name), fail_errno(errno, "open").value());
    return {};
  }
  SmallFile file{dir,         name, path_of(name), info.st_mode & 07777U, ns_of(info.st_mtim), {},
                 Bytes(size), {}};
  if (there != nullptr)
    file.existing = *there;
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(fd.get(), file.bytes.data() + done, size - done);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0) {
      report_.problem(path_of(name), fail_errno(errno, "read").value());
      return {};
    }
    if (got == 0)
      break;  // it became shorter; that is its content now
    done += static_cast<std::size_t>(got);
  }
  file.bytes.resize(done);
  return add_small(std::move(file));
}

Status TreePut::take(const std::string& name, const fileproto::Attributes* there, PutLevel& level) {
  struct stat info {};
  if (::fstatat(here_.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno != ENOENT)
      report_.problem(path_of(name), fail_errno(errno, "look at it").value());
    return {};
  }
  if (S_ISREG(info.st_mode))
    return take_file(name, info, there, level.remote);
  if (S_ISLNK(info.st_mode))
    return take_link(name, info, there, level.remote);
  if (!S_ISDIR(info.st_mode)) {
    report_.problem(path_of(name),
                    {ErrorCode::Unsupported, "neither file, directory nor link: left out"});
    return {};
  }
  Fid fid{level.remote.volume, NodeId{}};
  if (there != nullptr && there->kind != fileproto::NodeKind::Directory) {
    report_.problem(path_of(name),
                    {ErrorCode::AlreadyExists, "a directory does not replace what is there"});
    return {};
  }
  if (there != nullptr) {
    fid.node = there->node;
    if (there->attached != VolumeId{}) {
      auto volume = client_.volumes().find(there->attached, calls());
      if (!volume)
        return report_or_end(path_of(name), volume.error());
      fid = volume->root();
    }
  }
  level.directories.push_back({name, fid, info, false});
  return {};
}

Status TreePut::make_directories(PutLevel& level) {
  std::vector<Below*> missing;
  for (Below& below : level.directories) {
    if (below.fid.node == NodeId{})
      missing.push_back(&below);
  }
  for (std::size_t from = 0; from < missing.size(); from += kMkdirsAtOnce) {
    const std::size_t count = std::min(kMkdirsAtOnce, missing.size() - from);
    fileproto::BatchArgs batch;
    for (std::size_t i = 0; i < count; ++i) {
      fileproto::Mkdir mkdir;
      // We must be able to fill it; its own mode comes at the end.
      mkdir.made = {level.remote,
                    missing[from + i]->name,
                    (missing[from + i]->info.st_mode & 07777U) | 0700U,
                    {}};
      batch.changes.emplace_back(mkdir);
    }
    const auto made = client_.batch(batch, client_.filled(calls()));
    for (std::size_t i = 0; i < count; ++i) {
      auto one = made ? made : client_.batch({{}, {batch.changes[i]}}, client_.filled(calls()));
      const std::size_t index = made ? i : 0;
      if (!one) {
        TROTH_TRY_VOID(report_or_end(path_of(missing[from + i]->name), one.error()));
        continue;
      }
      if (index < one->outcomes.size() && one->outcomes[index].created)
        missing[from + i]->fid.node = *one->outcomes[index].created;
      missing[from + i]->made = true;
      ++report_.directories;
    }
  }
  std::erase_if(level.directories, [](const Below& below) { return below.fid.node == NodeId{}; });
  std::reverse(level.directories.begin(), level.directories.end());
  return {};
}

// All entries of the directory that we are in, against those that are there already.
Status TreePut::open_level(Fid remote, bool made) {
  PutLevel level;
  level.remote = remote;
  level.path_length = path_.size();
  const auto names = names_in(here_.get());
  if (!names) {
    report_.problem(path_, names.error());
    levels_.push_back(std::move(level));
    return {};
  }
  Listing listing(client_, remote, calls());
  for (const std::string& name : *names) {
    const fileproto::Attributes* there = nullptr;
    if (!made) {
      auto found = listing.find(name);
      if (!found)
        return report_or_end(path_, found.error());
      there = *found == nullptr ? nullptr : &(*found)->node;
    }
    TROTH_TRY_VOID(take(name, there, level));
  }
  TROTH_TRY_VOID(make_directories(level));
  levels_.push_back(std::move(level));
  return {};
}

Status TreePut::descend() {
  Below below = std::move(levels_.back().directories.back());
  levels_.back().directories.pop_back();
  path_.resize(levels_.back().path_length);
  const std::string path = path_of(below.name);
  UniqueFd next(
      ::openat(here_.get(), below.name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!next.valid()) {
    report_.problem(path, fail_errno(errno, "open").value());
    return {};
  }
  fileproto::Setattr times;
  times.fid = below.fid;
  times.mode = below.info.st_mode & 07777U;
  times.mtime = fileproto::SetTime{ns_of(below.info.st_mtim)};
  times_.emplace_back(times);
  here_ = std::move(next);
  path_ = path;
  return open_level(below.fid, below.made);
}

Status TreePut::ascend() {
  levels_.pop_back();
  if (levels_.empty())
    return {};
  UniqueFd up(::openat(here_.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!up.valid())
    return fail_errno(errno, "{}: leave the directory", path_);
  here_ = std::move(up);
  path_.resize(levels_.back().path_length);
  return {};
}

Status TreePut::set_times() {
  for (std::size_t from = 0; from < times_.size(); from += kTimesAtOnce) {
    const auto begin = times_.begin() + static_cast<std::ptrdiff_t>(from);
    const auto count = std::min(kTimesAtOnce, times_.size() - from);
    // The volumes of one batch are one: those of others come in a batch of their own.
    std::map<VolumeId, fileproto::BatchArgs> batches;
    for (auto each = begin; each != begin + static_cast<std::ptrdiff_t>(count); ++each)
      batches[volume_of(*each)].changes.push_back(*each);
    for (const auto& [volume, batch] : batches) {
      const auto done = client_.batch(batch, client_.filled(calls()));
      if (!done)
        TROTH_TRY_VOID(report_or_end(path_, done.error().in("modes and times of directories")));
    }
  }
  return {};
}

Status TreePut::run(int local, const std::string& local_path, const Found& remote) {
  here_.reset(::openat(local, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!here_.valid())
    return fail_errno(errno, "open {}", local_path);
  path_ = local_path;
  Status status = open_level(remote.fid, false);
  while (status && !levels_.empty()) {
    status = levels_.back().directories.empty() ? ascend() : descend();
    if (status)
      status = settled();
  }
  if (progress() != nullptr)
    progress()->totals_known = true;
  if (status)
    send_small();
  queue_.drain();
  if (status)
    status = settled();
  return status ? set_times() : status;
}

}  // namespace

Status put_tree(FileClient& client, int local, const std::string& local_path, const Found& remote,
                TreeReport& report, const TreeOptions& options) {
  return TreePut(client, report, options).run(local, local_path, remote);
}

}  // namespace common::fileclient
