// troth put, troth get

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "cli/files/files.hpp"
#include "cli/files/out.hpp"
#include "cli/files/progress_line.hpp"
#include "cli/output.hpp"
#include "common/fileclient/transfer/download.hpp"
#include "common/fileclient/tree/get_tree.hpp"
#include "common/io/unique_fd.hpp"

namespace cli {
namespace {

using common::fail;
using common::fail_errno;
using common::fail_posix;
using common::Result;
using common::Status;
using common::UniqueFd;
using fileclient::Found;
using fileclient::Spot;

struct TransferArguments {
  std::vector<std::string> paths;  // sources, and where to
  bool recursive = false;
  bool all = false;
  bool quiet = false;
  bool no_replace = false;
  bool json = false;
  std::optional<std::uint64_t> version;
};

// One command's transfers: what they count, how they are shown.
class Transfers {
 public:
  Transfers(Files& files, const TransferArguments& arguments)
      : files_(files),
        arguments_(arguments),
        line_(progress_, arguments.quiet),
        report_([this](const std::string& path, const common::Error& error) {
          line_.say(said(path, 1'000) + ": " + helped(error).message);
        }) {}

  [[nodiscard]] fileclient::TreeOptions tree() {
    fileclient::TreeOptions options;
    options.transfer = files_.transfer(&progress_);
    options.skip_unchanged = !arguments_.all;
    return options;
  }
  [[nodiscard]] fileclient::TransferOptions one() { return files_.transfer(&progress_); }
  fileclient::TreeReport& report() { return report_; }
  fileclient::Progress& progress() { return progress_; }

  void problem(const common::Error& error) {
    if (error.code != common::ErrorCode::Cancelled)
      line_.say(helped(error).message);
    failed_ = true;
  }
  void begin(const std::string& name, std::uint64_t size) {
    ++progress_.files_total;
    progress_.bytes_total += size;
    progress_.totals_known = true;
    progress_.begin_file(name);
  }
  void done(std::uint64_t size) {
    ++progress_.files_done;
    ++report_.files;
    report_.bytes += size;
  }
  void note(const std::string& text) {
    if (!arguments_.quiet)
      line_.say(text);
  }

  int end() {
    const bool well = !failed_ && report_.problems() == 0;
    if (arguments_.json) {
      write_json({{"files", report_.files.load()},
                  {"directories", report_.directories.load()},
                  {"links", report_.links.load()},
                  {"unchanged", report_.unchanged.load()},
                  {"bytes", report_.bytes.load()},
                  {"resumed_bytes", progress_.bytes_resumed.load()},
                  {"failed", report_.problems() + (failed_ ? 1 : 0)}});
      standard_out().write("\n");
    }
    return well ? kExitOk : kExitFailure;
  }

 private:
  Files& files_;
  const TransferArguments& arguments_;
  fileclient::Progress progress_;
  ProgressLine line_;
  fileclient::TreeReport report_;
  bool failed_ = false;
};

// --- put ---

std::string local_base(std::string path) {
  while (path.size() > 1 && path.back() == '/')
    path.pop_back();
  const std::string name = path.substr(path.rfind('/') + 1);
  if (name != "." && name != ".." && name != "/")
    return name;
  char* real = ::realpath(path.c_str(), nullptr);
  if (real == nullptr)
    return {};
  const std::string resolved = real;
  ::free(real);  // NOLINT(cppcoreguidelines-no-malloc): realpath's own
  return resolved.substr(resolved.rfind('/') + 1);
}

// Standard input, kept in a nameless file until its length is known.
Result<UniqueFd> spool(int from) {
  UniqueFd space;
  for (const char* directory : {"/var/tmp", "/tmp"}) {
    if (!space.valid())
      space.reset(::open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  }
  if (!space.valid())
    return fail_errno(errno, "make a temporary file in /tmp");
  std::vector<char> buffer(std::size_t{1} << 20);
  for (;;) {
    const ssize_t got = ::read(from, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR)
      return fail(common::ErrorCode::Cancelled, "interrupted");
    if (got < 0)
      return fail_errno(errno, "read standard input");
    if (got == 0)
      return space;
    std::string_view rest(buffer.data(), static_cast<std::size_t>(got));
    while (!rest.empty()) {
      const ssize_t put = ::write(space.get(), rest.data(), rest.size());
      if (put < 0)
        return fail_errno(errno, "keep standard input in a temporary file");
      rest.remove_prefix(static_cast<std::size_t>(put));
    }
  }
}

// The name to be written to, through a link that has it.
Result<Spot> writable_spot(Files& files, const std::string& text,
                           const TransferArguments& arguments) {
  TROTH_TRY(const auto path, files.path(text));
  TROTH_TRY(Spot spot, files.walker().find_spot(path, files.calls()));
  if (!spot.node)
    return spot;
  if (arguments.no_replace)
    return fail_posix(EEXIST, "{}: is there already", said(text));
  if (spot.node->kind == fileproto::NodeKind::Symlink) {
    TROTH_TRY(const Found target,
              files.walker().find(path, fileclient::Follow::Last, files.calls()));
    spot.name = target.name;
    spot.dir.fid = target.dir;
    spot.node = target.node;
  }
  if (spot.node->kind == fileproto::NodeKind::Directory)
    return fail_posix(EISDIR, "{}: is a directory", said(text));
  if (spot.node->kind != fileproto::NodeKind::File)
    return fail_posix(EINVAL, "{}: is no file", said(text));
  return spot;
}

Status put_file(Files& files, Transfers& transfers, const TransferArguments& arguments,
                const std::string& local, const std::string& remote) {
  const bool standard = local == "-";
  UniqueFd fd;
  if (standard) {
    TROTH_TRY(fd, spool(STDIN_FILENO));
  } else {
    fd.reset(::open(local.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd.valid())
      return fail_errno(errno, "{}", said(local));
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0)
    return fail_errno(errno, "{}", said(local));
  if (!S_ISREG(info.st_mode))
    return fail_posix(EINVAL, "{}: is no file; put - reads standard input", said(local));
  TROTH_TRY(const Spot spot, writable_spot(files, remote, arguments));
  const auto size = static_cast<std::uint64_t>(info.st_size);
  constexpr std::int64_t kNsPerS = 1'000'000'000;
  fileclient::UploadSource source{fd.get(), creation_mode(0666), {}};
  if (!standard) {
    source.mode = info.st_mode & 0777U;
    source.mtime = info.st_mtim.tv_sec * kNsPerS + info.st_mtim.tv_nsec;
  }
  transfers.begin(standard ? remote : local, size);
  fileclient::TransferOptions options = transfers.one();
  if (standard)
    options.resume_directory.clear();
  const auto sent =
      fileclient::upload(files.client(), source, {spot.dir.fid, spot.name, spot.node}, options);
  if (!sent)
    return tl::unexpected(sent.error().in(said(standard ? remote : local)));
  transfers.done(size);
  if (sent->lost) {
    transfers.note(
        fmt::format("{}: somebody else stored it meanwhile; that is version {}, see: "
                    "troth history",
                    said(spot.path()), sent->lost->value));
  }
  return {};
}

Result<Found> make_directory(Files& files, Transfers& transfers, const std::string& text,
                             std::uint32_t mode) {
  TROTH_TRY(const auto path, files.path(text));
  if (fileclient::base_name(path.path).empty())
    return files.walker().find(path, fileclient::Follow::Last, files.calls());
  TROTH_TRY(const Spot spot, files.walker().find_spot(path, files.calls()));
  if (!spot.node) {
    fileproto::Mkdir mkdir;
    mkdir.made = {spot.dir.fid, spot.name, mode | 0700U, {}};
    TROTH_TRY(const auto made, files.client().change(mkdir, files.calls()));
    static_cast<void>(made);
    ++transfers.report().directories;
  }
  TROTH_TRY(Found found, files.walker().find(path, fileclient::Follow::Last, files.calls()));
  if (!found.is_directory())
    return fail_posix(ENOTDIR, "{}: not a directory", said(text));
  return found;
}

Status put_directory(Files& files, Transfers& transfers, const std::string& local,
                     const std::string& remote) {
  const UniqueFd fd(::open(local.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid())
    return fail_errno(errno, "{}", said(local));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0)
    return fail_errno(errno, "{}", said(local));
  TROTH_TRY(const Found top, make_directory(files, transfers, remote, info.st_mode & 0777U));
  return fileclient::put_tree(files.client(), fd.get(), local, top, transfers.report(),
                              transfers.tree());
}

// Whether that names a directory which is there.
Result<bool> is_remote_directory(Files& files, const std::string& text) {
  const auto found = files.find(text);
  if (found)
    return found->is_directory();
  if (found.error().code == common::ErrorCode::NotFound)
    return false;
  return tl::unexpected(found.error());
}

int put(Files& files, const TransferArguments& arguments) {
  Transfers transfers(files, arguments);
  std::vector<std::string> sources = arguments.paths;
  std::string to = ".";
  if (sources.size() > 1) {
    to = sources.back();
    sources.pop_back();
  }
  const auto into = is_remote_directory(files, to);
  if (!into)
    return failed(into.error());
  if (!*into && sources.size() > 1)
    return failed(
        fail_posix(ENOTDIR, "{}: not a directory, and there are several to put into it", said(to))
            .value());
  for (const std::string& source : sources) {
    struct stat info {};
    Status done;
    if (source != "-" && ::stat(source.c_str(), &info) != 0) {
      done = fail_errno(errno, "{}", said(source));
    } else if (source == "-" && *into) {
      done = fail_posix(EISDIR, "{}: is a directory; name the file to be made of standard input",
                        said(to));
    } else {
      const std::string target = *into ? fileclient::joined(to, local_base(source)) : to;
      const bool directory = source != "-" && S_ISDIR(info.st_mode);
      if (directory && !arguments.recursive)
        done = fail_posix(EISDIR, "{}: is a directory; with all that is in it: troth put -r",
                          said(source));
      else if (directory)
        done = put_directory(files, transfers, source, target);
      else
        done = put_file(files, transfers, arguments, source, target);
    }
    if (!done)
      transfers.problem(done.error());
    if (files.interrupted())
      break;
  }
  return transfers.end();
}

// --- get ---

bool is_local_directory(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Status get_file(Files& files, Transfers& transfers, const TransferArguments& arguments,
                const Found& found, const std::string& local) {
  transfers.begin(found.path, found.node.size);
  const auto context = [&](const Status& status) -> Status {
    return status ? status : tl::unexpected(status.error().in(said(found.path)));
  };
  if (local == "-") {
    const auto take = [&](common::ByteView bytes) -> Status {
      standard_out().write(bytes);
      if (!standard_out().flush())
        return tl::unexpected(standard_out().trouble());
      transfers.progress().bytes_done += bytes.size();
      return {};
    };
    TROTH_TRY_VOID(context(fileclient::read_file(files.client(), found.fid, found.node, 0,
                                                 found.node.size, take, transfers.one())));
    transfers.done(found.node.size);
    return {};
  }
  const std::size_t slash = local.rfind('/');
  const std::string directory = slash == std::string::npos ? "."
                                : slash == 0               ? "/"
                                                           : local.substr(0, slash);
  const std::string name = slash == std::string::npos ? local : local.substr(slash + 1);
  if (arguments.no_replace && ::access(local.c_str(), F_OK) == 0)
    return fail_posix(EEXIST, "{}: is there already", said(local));
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid())
    return fail_errno(errno, "{}", said(directory));
  const fileclient::DownloadTarget target{fd.get(), name, creation_mode(found.node.mode & 0777U),
                                          found.node.mtime};
  TROTH_TRY_VOID(context(
      fileclient::download(files.client(), found.fid, found.node, target, transfers.one())));
  transfers.done(found.node.size);
  return {};
}

Status get_directory(Files& files, Transfers& transfers, const Found& found,
                     const std::string& local) {
  if (::mkdir(local.c_str(), 0777) == 0)
    ++transfers.report().directories;
  else if (errno != EEXIST)
    return fail_errno(errno, "{}", said(local));
  const UniqueFd fd(::open(local.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid())
    return fail_errno(errno, "{}", said(local));
  return fileclient::get_tree(files.client(), found, fd.get(), local, transfers.report(),
                              transfers.tree());
}

Status get_one(Files& files, Transfers& transfers, const TransferArguments& arguments,
               const std::string& text, const std::string& to, bool into) {
  TROTH_TRY(Found found, files.find(text));
  fileproto::GetattrArgs args;
  args.fids = {found.fid};
  if (arguments.version)
    args.scope.at = common::Seq{*arguments.version};
  TROTH_TRY(auto whole, files.client().ask(args, files.calls()));
  if (whole.nodes.size() == 1 && !whole.nodes[0])
    return tl::unexpected(whole.nodes[0].error().in(said(text)));
  if (whole.nodes.size() == 1)
    found.node = *whole.nodes[0];
  std::string name = fileclient::base_name(text);
  if (name.empty())
    name = found.name;
  if (name.empty() && into && !found.is_directory())
    name = "file";
  const std::string target = into && !name.empty() ? fileclient::joined(to, name) : to;
  if (found.is_directory()) {
    if (!arguments.recursive)
      return fail_posix(EISDIR, "{}: is a directory; with all that is in it: troth get -r",
                        said(text));
    return get_directory(files, transfers, found, target);
  }
  if (found.node.kind != fileproto::NodeKind::File)
    return fail_posix(EINVAL, "{}: is no file but a {}", said(text), kind_name(found.node.kind));
  return get_file(files, transfers, arguments, found, target);
}

int get(Files& files, const TransferArguments& arguments) {
  Transfers transfers(files, arguments);
  std::vector<std::string> sources = arguments.paths;
  std::string to = ".";
  if (sources.size() > 1) {
    to = sources.back();
    sources.pop_back();
  }
  const bool into = is_local_directory(to);
  if (!into && sources.size() > 1 && to != "-")
    return failed(
        fail_posix(ENOTDIR, "{}: not a directory, and there are several to get into it", said(to))
            .value());
  for (const std::string& source : sources) {
    const Status done = get_one(files, transfers, arguments, source, to, into);
    if (!done)
      transfers.problem(done.error());
    if (files.interrupted())
      break;
  }
  return transfers.end();
}

void add_options(Command command, TransferArguments& arguments) {
  command.add_flag("-r,--recursive", arguments.recursive, "Directories with all that is in them.");
  command.add_flag("-n,--no-clobber", arguments.no_replace, "Replace nothing that is there.");
  command.add_flag("--all", arguments.all,
                   "With -r: also files that are there with the same size and time.");
  command.add_flag("-q,--quiet", arguments.quiet, "Show no progress.");
  command.add_flag("--json", arguments.json, "At the end, what was done as one JSON object.");
}

}  // namespace

void add_transfer_commands(Command app, Session& session, const FileContextPtr& context) {
  auto put_arguments = std::make_shared<TransferArguments>();
  auto command =
      add_file_command(app, session, context, "put", "Copy local files into the cell.",
                       [put_arguments](Files& files) { return put(files, *put_arguments); });
  command
      .add_option("paths", put_arguments->paths,
                  "LOCAL... REMOTE: what, and where to; - is standard input. What is interrupted "
                  "is gone on with by doing it again")
      .type_name("LOCAL_REMOTE")
      .required();
  add_options(command, *put_arguments);

  auto get_arguments = std::make_shared<TransferArguments>();
  command = add_file_command(app, session, context, "get", "Copy files of the cell here.",
                             [get_arguments](Files& files) { return get(files, *get_arguments); });
  command
      .add_option("paths", get_arguments->paths,
                  "REMOTE... LOCAL: what, and where to (here, if only one is named); - is standard "
                  "output")
      .type_name("REMOTE_LOCAL")
      .required();
  command.add_option("--version", get_arguments->version,
                     "A file as it was at this version; see: troth history.");
  add_options(command, *get_arguments);
}

}  // namespace cli
