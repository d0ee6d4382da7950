#include "common/fileclient/tree/get_tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "common/fileclient/transfer/download.hpp"
#include "common/fileclient/transfer/file_time.hpp"
#include "common/fileclient/transfer/work_queue.hpp"
#include "common/fileclient/tree/tree_walk.hpp"
#include "common/io/unique_fd.hpp"

namespace common::fileclient {
namespace {

// What a server sends in bulk is at most this large; the rest is fetched by itself.
constexpr std::uint64_t kMostInBulk = 128 * 1024;
constexpr std::size_t kFilesAtOnce = 500;
constexpr std::uint64_t kBytesAtOnce = std::uint64_t{8} << 20;
constexpr std::size_t kDirectoriesAtOnce = 64;  // each keeps a descriptor open
// Directories on the way down that are kept open; deeper ones are left one by one.
constexpr std::size_t kLevelsKept = 100;

// A local directory in the making. Its mode and time are set when nobody puts files into it any
// more, which is when the last of those who hold it lets go.
class LocalDirectory {
 public:
  LocalDirectory(UniqueFd fd, TreeReport& report, std::string path)
      : fd_(std::move(fd)), report_(report), path_(std::move(path)) {}
  LocalDirectory(const LocalDirectory&) = delete;
  LocalDirectory& operator=(const LocalDirectory&) = delete;
  ~LocalDirectory() {
    if (!finished_)
      return;
    timespec times[2] = {{}, time_of(mtime_)};
    times[0].tv_nsec = UTIME_OMIT;
    if (::futimens(fd_.get(), times) != 0 || ::fchmod(fd_.get(), mode_) != 0)
      report_.problem(path_, fail_errno(errno, "set its mode and time").value());
  }

  [[nodiscard]] int get() const { return fd_.get(); }
  void finish(const fileproto::Attributes& node) {
    mode_ = node.mode & 07777U;
    mtime_ = node.mtime;
    finished_ = true;
  }

 private:
  const UniqueFd fd_;
  TreeReport& report_;
  const std::string path_;
  bool finished_ = false;
  mode_t mode_ = 0;
  fileproto::FileTime mtime_ = 0;
};
using LocalDirectoryPtr = std::shared_ptr<LocalDirectory>;

// A file to be fetched.
struct Wanted {
  Fid fid;
  fileproto::Attributes node;
  LocalDirectoryPtr dir;
  std::string name;
  std::string path;

  [[nodiscard]] DownloadTarget target() const {
    return {dir->get(), name, node.mode & 07777U, node.mtime};
  }
};

class TreeGet final : public TreeVisitor {
 public:
  TreeGet(FileClient& client, TreeReport& report, const TreeOptions& options, LocalDirectoryPtr top,
          std::string local_path, std::size_t top_length)
      : client_(client),
        report_(report),
        options_(options),
        here_(std::move(top)),
        local_path_(std::move(local_path)),
        top_length_(top_length),
        queue_(options.transfer.threads) {}

  Result<bool> enter(const TreeEntry& entry) override;
  Status leave(const TreeEntry& directory) override;
  Status trouble(const std::string& path, const Error& error) override;
  Status finish(const Status& walked);

 private:
  [[nodiscard]] std::string local(const std::string& path) const {
    return joined(local_path_, std::string_view(path).substr(std::min(top_length_, path.size())));
  }
  [[nodiscard]] Progress* progress() const { return options_.transfer.progress; }

  Result<bool> enter_directory(const TreeEntry& entry);
  Status take_file(const TreeEntry& entry);
  Status take_link(const TreeEntry& entry);
  void send_bulk();
  Status fetch_bulk(const std::vector<Wanted>& files);
  Status fetch_one(const Wanted& file);
  Status settle(const Wanted& file, const Status& status);
  Status settled() {
    auto end = end_.lock();
    return *end ? Status(tl::unexpected(**end)) : Status();
  }

  FileClient& client_;
  TreeReport& report_;
  const TreeOptions& options_;
  LocalDirectoryPtr here_;
  const std::string local_path_;
  const std::size_t top_length_;
  struct Level {
    fileproto::Attributes node;
    LocalDirectoryPtr directory;  // nullptr: to be opened again on the way back
  };
  std::vector<Level> levels_;
  std::vector<Wanted> small_;
  std::uint64_t small_bytes_ = 0;
  std::size_t small_directories_ = 0;
  Locked<std::optional<Error>> end_;
  WorkQueue queue_;  // last: its work uses the others
};

Status TreeGet::trouble(const std::string& path, const Error& error) {
  if (ends_everything(error))
    return tl::unexpected(error.in(path));
  report_.problem(path, error);
  return {};
}

Result<bool> TreeGet::enter_directory(const TreeEntry& entry) {
  if (entry.depth > 0) {
    if (::mkdirat(here_->get(), entry.name.c_str(), 0700) == 0)
      ++report_.directories;
    else if (errno != EEXIST) {
      report_.problem(local(entry.path), fail_errno(errno, "make the directory").value());
      return false;
    }
    UniqueFd next(::openat(here_->get(), entry.name.c_str(),
                           O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!next.valid()) {
      report_.problem(local(entry.path), fail_errno(errno, "open the directory").value());
      return false;
    }
    here_ = std::make_shared<LocalDirectory>(std::move(next), report_, local(entry.path));
  }
  levels_.push_back({entry.node, here_});
  if (levels_.size() > kLevelsKept) {
    // Whoever still puts files there must be done before it is let go.
    send_bulk();
    queue_.drain();
    levels_[levels_.size() - kLevelsKept - 1].directory.reset();
  }
  return true;
}

Status TreeGet::take_link(const TreeEntry& entry) {
  fileproto::ReadlinkArgs args;
  args.fid = entry.fid;
  const auto link = client_.ask(args, client_.filled(options_.transfer.calls));
  if (!link)
    return trouble(entry.path, link.error());
  if (::symlinkat(link->target.c_str(), here_->get(), entry.name.c_str()) == 0) {
    ++report_.links;
    return {};
  }
  if (errno != EEXIST) {
    report_.problem(local(entry.path), fail_errno(errno, "make the link").value());
    return {};
  }
  std::string there(fileproto::kMaxTargetBytes + 1, '\0');
  const ssize_t length = ::readlinkat(here_->get(), entry.name.c_str(), there.data(), there.size());
  there.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
  if (there == link->target)
    ++report_.unchanged;
  else
    report_.problem(local(entry.path),
                    {ErrorCode::AlreadyExists, "a symbolic link does not replace what is there"});
  return {};
}

Status TreeGet::take_file(const TreeEntry& entry) {
  struct stat info {};
  if (::fstatat(here_->get(), entry.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
    if (!S_ISREG(info.st_mode)) {
      report_.problem(local(entry.path),
                      {ErrorCode::AlreadyExists, "a file does not replace what is there"});
      return {};
    }
    if (options_.skip_unchanged && static_cast<std::uint64_t>(info.st_size) == entry.node.size &&
        ns_of(info.st_mtim) == entry.node.mtime) {
      ++report_.unchanged;
      return {};
    }
  }
  if (progress() != nullptr) {
    ++progress()->files_total;
    progress()->bytes_total += entry.node.size;
    progress()->begin_file(entry.path);
  }
  Wanted file{entry.fid, entry.node, here_, entry.name, entry.path};
  if (entry.node.size > kMostInBulk) {
    TROTH_TRY_VOID(fetch_one(file));
    return settled();
  }
  const bool other_directory = small_.empty() || small_.back().dir != here_;
  if (!small_.empty() &&
      (small_.size() >= kFilesAtOnce || small_bytes_ + entry.node.size > kBytesAtOnce ||
       small_.back().fid.volume != entry.fid.volume ||
       (other_directory && small_directories_ >= kDirectoriesAtOnce)))
    send_bulk();
  small_directories_ += small_.empty() || small_.back().dir != here_ ? 1 : 0;
  small_bytes_ += entry.node.size;
  small_.push_back(std::move(file));
  return settled();
}

Result<bool> TreeGet::enter(const TreeEntry& entry) {
  switch (entry.node.kind) {
    case fileproto::NodeKind::Directory:
      return enter_directory(entry);
    case fileproto::NodeKind::File:
      TROTH_TRY_VOID(take_file(entry));
      return false;
    case fileproto::NodeKind::Symlink:
      TROTH_TRY_VOID(take_link(entry));
      return false;
    default:
      report_.problem(entry.path,
                      {ErrorCode::Unsupported, "neither file, directory nor link: left out"});
      return false;
  }
}

Status TreeGet::leave(const TreeEntry& directory) {
  const fileproto::Attributes node = levels_.back().node;
  levels_.pop_back();
  if (directory.depth == 0)
    return {};
  LocalDirectoryPtr up = levels_.back().directory;
  if (up == nullptr) {
    UniqueFd fd(::openat(here_->get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid())
      return fail_errno(errno, "leave the directory {}", local(directory.path));
    const std::size_t slash = directory.path.rfind('/');
    up = std::make_shared<LocalDirectory>(std::move(fd), report_,
                                          local(directory.path.substr(0, slash)));
    levels_.back().directory = up;
  }
  here_->finish(node);
  here_ = std::move(up);
  return settled();
}

void TreeGet::send_bulk() {
  if (small_.empty())
    return;
  auto files = std::make_shared<std::vector<Wanted>>();
  files->swap(small_);
  small_bytes_ = 0;
  small_directories_ = 0;
  queue_.add([this, files = std::move(files)] {
    if (!settled())
      return;
    if (const Status got = fetch_bulk(*files); !got)
      *end_.lock() = got.error();
  });
}

Status TreeGet::settle(const Wanted& file, const Status& status) {
  if (!status) {
    // A local failure is never worth ending everything for, apart from a full disk.
    if (ends_everything(status.error()) || status.error().code == ErrorCode::NoSpace)
      return tl::unexpected(status.error().in(file.path));
    report_.problem(file.path, status.error());
    return {};
  }
  ++report_.files;
  report_.bytes += file.node.size;
  if (progress() != nullptr)
    ++progress()->files_done;
  return {};
}

Status TreeGet::fetch_one(const Wanted& file) {
  // With the name of its content, which pages of directories leave out.
  fileproto::GetattrArgs args;
  args.fids = {file.fid};
  auto now = client_.ask(args, client_.filled(options_.transfer.calls));
  if (!now)
    return settle(file, tl::unexpected(now.error()));
  if (now->nodes.size() != 1 || !now->nodes[0])
    return settle(file, now->nodes.empty() ? Status(fail(ErrorCode::Protocol, "no answer"))
                                           : Status(tl::unexpected(now->nodes[0].error())));
  Wanted present = file;
  present.node = *now->nodes[0];
  return settle(present,
                download(client_, present.fid, present.node, present.target(), options_.transfer));
}

Status TreeGet::fetch_bulk(const std::vector<Wanted>& files) {
  std::size_t done = 0;
  while (done < files.size()) {
    fileproto::BulkArgs args;
    for (std::size_t i = done; i < files.size(); ++i)
      args.nodes.push_back({files[i].fid, Seq{}});
    const auto got = client_.bulk(args, client_.filled(options_.transfer.calls));
    if (!got)
      return tl::unexpected(got.error());
    if (got->files.empty())
      return fail(ErrorCode::Protocol, "the file server answered a request for files with none");
    for (const fileproto::BulkFile& file : got->files) {
      const Wanted& wanted = files[done++];
      if (file.kind == fileproto::BulkKind::Refused || file.node.node != wanted.fid.node ||
          file.kind != fileproto::BulkKind::Whole) {
        TROTH_TRY_VOID(fetch_one(wanted));
        continue;
      }
      Wanted present = wanted;
      present.node = file.node;
      if (progress() != nullptr)
        progress()->bytes_done += file.bytes.size();
      TROTH_TRY_VOID(settle(present, place_file(present.target(), file.bytes)));
    }
  }
  return {};
}

Status TreeGet::finish(const Status& walked) {
  if (progress() != nullptr)
    progress()->totals_known = true;
  if (walked)
    send_bulk();
  queue_.drain();
  return walked ? settled() : walked;
}

}  // namespace

Status get_tree(FileClient& client, const Found& remote, int local, const std::string& local_path,
                TreeReport& report, const TreeOptions& options) {
  UniqueFd top(::openat(local, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top.valid())
    return fail_errno(errno, "open {}", local_path);
  auto directory = std::make_shared<LocalDirectory>(std::move(top), report, local_path);
  TreeGet get(client, report, options, std::move(directory), local_path,
              remote.path.size() + (remote.path.ends_with('/') ? 0 : 1));
  const Status walked =
      walk_tree(client, remote, get, {.calls = options.transfer.calls, .enter_volumes = true});
  return get.finish(walked);
}

}  // namespace common::fileclient
