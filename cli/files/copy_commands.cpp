// troth cp

#include <cerrno>

#include "cli/files/copy.hpp"
#include "cli/files/out.hpp"
#include "cli/files/progress_line.hpp"
#include "common/fileclient/tree/copy_tree.hpp"

namespace cli {
namespace {

using common::Error;
using common::fail_posix;
using common::Result;
using common::Status;
using fileclient::Found;
using fileclient::Spot;

// The directory that all of `source` goes into.
Result<Found> directory_for_copy(Files& files, const Found& source, const Spot& to) {
  if (!to.node) {
    fileproto::Mkdir mkdir;
    mkdir.made = {to.dir.fid, to.name, (source.node.mode & 0777U) | 0700U, {}};
    TROTH_TRY_VOID(done_at(to.path(), files.client().change(mkdir, files.calls())));
  } else if (to.node->kind != fileproto::NodeKind::Directory) {
    return fail_posix(ENOTDIR, "{}: a directory does not replace what is there", said(to.path()));
  }
  TROTH_TRY(Found top, files.find(to.path()));
  if (top.fid == source.fid || (top.path + "/").starts_with(source.path + "/"))
    return fail_posix(EINVAL, "{}: a directory cannot be copied into itself", said(source.path));
  return top;
}

Status copy_link(Files& files, const Found& source, const Spot& to) {
  fileproto::ReadlinkArgs args;
  args.fid = source.fid;
  TROTH_TRY(const auto link, files.client().ask(args, files.calls()));
  fileproto::Symlink symlink;
  symlink.made = {to.dir.fid, to.name, 0777, {}};
  symlink.target = link.target;
  return done_at(to.path(), files.client().change(symlink, files.calls()));
}

Status copy_bytes(Files& files, const fileclient::CopyOptions& options, const Found& source,
                  const Spot& to) {
  std::optional<fileproto::Attributes> existing = to.node;
  Spot target = to;
  if (existing && existing->kind == fileproto::NodeKind::Symlink) {
    TROTH_TRY(const Found behind, files.find(to.path()));
    target.dir.fid = behind.dir;
    target.name = behind.name;
    existing = behind.node;
  }
  if (existing && common::Fid{target.dir.fid.volume, existing->node} == source.fid)
    return fail_posix(EINVAL, "{} and {} are the same file", said(source.path), said(to.path()));
  const Status copied =
      fileclient::copy_file(files.client(), source, target.dir.fid, target.name, existing, options);
  return copied ? copied : tl::unexpected(copied.error().in(said(to.path())));
}

struct CopyArguments {
  TargetWords words;
  bool recursive = false;
  bool preserve = false;
  bool quiet = false;
};

int cp(Files& files, const CopyArguments& arguments) {
  fileclient::Progress progress;
  ProgressLine line(progress, arguments.quiet);
  fileclient::TreeReport report([&](const std::string& path, const Error& error) {
    line.say(said(path, 1'000) + ": " + helped(error).message);
  });
  const auto follow = arguments.recursive ? fileclient::Follow::NotLast : fileclient::Follow::Last;
  const int code = with_target(files, arguments.words, follow,
                               [&](const std::string&, const Spot& to, const Found& source) {
                                 return copy_one(files, {arguments.recursive, arguments.preserve},
                                                 progress, report, source, to);
                               });
  return report.problems() == 0 ? code : kExitFailure;
}

}  // namespace

Status copy_one(Files& files, CopyHow how, fileclient::Progress& progress,
                fileclient::TreeReport& report, const Found& source, const Spot& to) {
  fileclient::CopyOptions options;
  options.tree.transfer = files.transfer(&progress);
  options.keep_times = how.keeps_times;
  if (source.is_directory()) {
    if (!how.recursive)
      return fail_posix(EISDIR, "{}: is a directory; with all that is in it: troth cp -r",
                        said(source.path));
    TROTH_TRY(const Found top, directory_for_copy(files, source, to));
    return fileclient::copy_tree(files.client(), source, top, report, options);
  }
  if (to.node && to.node->kind == fileproto::NodeKind::Directory)
    return fail_posix(EISDIR, "{}: is a directory", said(to.path()));
  if (to.node && to.fid() == source.fid)
    return fail_posix(EINVAL, "{} and {} are the same file", said(source.path), said(to.path()));
  if (source.is_symlink())
    return copy_link(files, source, to);
  if (source.node.kind != fileproto::NodeKind::File)
    return fail_posix(EINVAL, "{}: is no file but a {}", said(source.path),
                      kind_name(source.node.kind));
  ++progress.files_total;
  progress.bytes_total += source.node.size;
  progress.begin_file(source.path);
  return copy_bytes(files, options, source, to);
}

void add_copying_commands(Command app, Session& session, const FileContextPtr& context) {
  auto arguments = std::make_shared<CopyArguments>();
  auto command = add_file_command(app, session, context, "cp",
                                  "Copy within the cell; between it and here: put, get.",
                                  [arguments](Files& files) { return cp(files, *arguments); });
  add_target_options(command, arguments->words, "Say what was copied.");
  command.add_flag("-r,-R,--recursive", arguments->recursive,
                   "Directories with all that is in them.");
  command.add_flag("-p,--preserve", arguments->preserve, "Keep modes and times.");
  command.add_flag("-q,--quiet", arguments->quiet, "Show no progress.");
}

}  // namespace cli
