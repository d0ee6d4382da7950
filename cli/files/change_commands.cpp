// troth mkdir, rmdir, rm, ln, chmod, touch

#include <algorithm>
#include <cerrno>

#include "cli/files/files.hpp"
#include "cli/files/mode_words.hpp"
#include "cli/files/out.hpp"
#include "common/fileclient/tree/remove_tree.hpp"
#include "common/fileclient/tree/tree_walk.hpp"

namespace cli {
namespace {

using common::Error;
using common::ErrorCode;
using common::fail;
using common::fail_posix;
using common::Result;
using common::Status;
using fileclient::Found;
using fileclient::Spot;

Error missing(const std::string& path) {
  return fail_posix(ENOENT, "{}: no such file or directory", said(path)).value();
}

// A slash behind it says that it is a directory.
Status must_be_directory(const fileclient::RemotePath& path, const Spot& spot,
                         const std::string& text) {
  if (path.names_directory() && spot.node && spot.node->kind != fileproto::NodeKind::Directory)
    return fail_posix(ENOTDIR, "{}: not a directory", said(text));
  return {};
}

// --- mkdir, rmdir ---

struct MkdirArguments {
  std::vector<std::string> paths;
  bool parents = false;
  std::string mode;
};

Status mkdir_one(Files& files, const std::string& text, std::uint32_t mode, bool exists_is_fine) {
  TROTH_TRY(const Spot spot, spot_of(files, text));
  const auto already = [&]() -> Status {
    if (exists_is_fine) {
      TROTH_TRY(const Found found, files.find(text));
      if (found.is_directory())
        return {};
    }
    return fail_posix(EEXIST, "{}: is there already", said(text));
  };
  if (spot.node)
    return already();
  fileproto::Mkdir mkdir;
  mkdir.made = {spot.dir.fid, spot.name, mode, {}};
  const auto made = files.client().change(mkdir, files.calls());
  if (!made && made.error().code == ErrorCode::AlreadyExists)
    return already();
  return done_at(text, made);
}

Status mkdir_with_parents(Files& files, const std::string& text, std::uint32_t mode) {
  for (std::size_t slash = text.find('/', 1); slash != std::string::npos;
       slash = text.find('/', slash + 1)) {
    const std::string above = text.substr(0, slash);
    TROTH_TRY(const auto path, files.path(above));
    if (!fileclient::base_name(path.path).empty())
      TROTH_TRY_VOID(mkdir_one(files, above, creation_mode(0777) | 0300, true));
  }
  TROTH_TRY(const auto path, files.path(text));
  return fileclient::base_name(path.path).empty() ? Status() : mkdir_one(files, text, mode, true);
}

int mkdir(Files& files, const MkdirArguments& arguments) {
  std::uint32_t mode = creation_mode(0777);
  if (!arguments.mode.empty()) {
    const auto given = changed_mode(arguments.mode, mode, true);
    if (!given)
      return failed(given.error()), kExitUsage;
    mode = *given;
  }
  return for_each_path(files, arguments.paths, [&](const std::string& path) {
    return arguments.parents ? mkdir_with_parents(files, path, mode)
                             : mkdir_one(files, path, mode, false);
  });
}

int rmdir(Files& files, const std::vector<std::string>& paths) {
  return for_each_path(files, paths, [&](const std::string& path) -> Status {
    TROTH_TRY(const Spot spot, spot_of(files, path));
    if (!spot.node)
      return tl::unexpected(missing(path));
    fileproto::Rmdir rmdir;
    rmdir.dir = spot.dir.fid;
    rmdir.name = spot.name;
    return done_at(path, files.client().change(rmdir, files.calls()));
  });
}

// --- rm ---

struct RmArguments {
  std::vector<std::string> paths;
  bool recursive = false;
  bool force = false;
  bool directories = false;
  bool verbose = false;
};

Status rm_one(Files& files, const std::string& text, const RmArguments& arguments,
              fileclient::TreeReport& report) {
  TROTH_TRY(const auto path, files.path(text));
  if (fileclient::base_name(path.path).empty())
    return fail_posix(EBUSY, "{}: the top of a volume, \".\" and \"..\" are not removed",
                      said(text));
  auto spot = files.walker().find_spot(path, files.calls());
  if (!spot && arguments.force && spot.error().code == ErrorCode::NotFound)
    return {};
  if (!spot)
    return tl::unexpected(spot.error());
  if (!spot->node)
    return arguments.force ? Status() : tl::unexpected(missing(text));
  TROTH_TRY_VOID(must_be_directory(path, *spot, text));
  if (spot->node->attached != common::VolumeId{})
    return fail_posix(EBUSY, "{}: a volume is attached here: troth volume detach it first",
                      said(text));
  if (spot->node->kind != fileproto::NodeKind::Directory) {
    const auto gone =
        files.client().change(fileproto::Unlink{spot->dir.fid, spot->name}, files.calls());
    if (!gone && arguments.force && gone.error().code == ErrorCode::NotFound)
      return {};
    return done_at(text, gone);
  }
  if (arguments.recursive) {
    const Found top{spot->fid(), *spot->node, spot->dir.fid, spot->name, text};
    return fileclient::remove_tree(files.client(), top, report, files.calls());
  }
  if (arguments.directories)
    return done_at(
        text, files.client().change(fileproto::Rmdir{spot->dir.fid, spot->name}, files.calls()));
  return fail_posix(EISDIR, "{}: is a directory; with all that is in it: troth rm -r", said(text));
}

int rm(Files& files, const RmArguments& arguments) {
  fileclient::TreeReport report([](const std::string& path, const Error& error) {
    print_error(said(path, 1'000) + ": " + helped(error).message);
  });
  const int code = for_each_path(files, arguments.paths, [&](const std::string& path) {
    const Status done = rm_one(files, path, arguments, report);
    if (done && arguments.verbose)
      standard_out().write(fmt::format("removed {}\n", quoted_name(path)));
    return done;
  });
  return report.problems() == 0 ? code : kExitFailure;
}

// --- ln ---

struct LnArguments {
  std::vector<std::string> paths;
  bool symbolic = false;
  bool force = false;
  bool not_into = false;
};

Status ln(Files& files, const LnArguments& arguments) {
  const std::string& target = arguments.paths[0];
  std::string at = arguments.paths.size() > 1 ? arguments.paths[1] : fileclient::base_name(target);
  const auto follow = arguments.not_into ? fileclient::Follow::NotLast : fileclient::Follow::Last;
  if (const auto directory = files.find(at, follow); directory && directory->is_directory())
    at = fileclient::joined(at, fileclient::base_name(target));
  TROTH_TRY(const Spot spot, spot_of(files, at));
  if (spot.node && !arguments.force)
    return fail_posix(EEXIST, "{}: is there already", said(at));
  fileproto::BatchArgs batch;
  if (spot.node)
    batch.changes.emplace_back(fileproto::Unlink{spot.dir.fid, spot.name});
  if (arguments.symbolic) {
    fileproto::Symlink symlink;
    symlink.made = {spot.dir.fid, spot.name, 0777, {}};
    symlink.target = target;
    batch.changes.emplace_back(symlink);
  } else {
    TROTH_TRY(const Found found, files.find(target, fileclient::Follow::NotLast));
    if (found.fid.volume != spot.dir.fid.volume)
      return fail_posix(EXDEV,
                        "{} and {}: in two volumes, between which there are symbolic links only: "
                        "troth ln -s",
                        said(target), said(at));
    if (found.is_directory())
      return fail_posix(EPERM, "{}: a directory has one name; for another one: troth ln -s",
                        said(target));
    if (spot.node && spot.fid() == found.fid)
      return fail_posix(EEXIST, "{} and {} are the same file", said(target), said(at));
    batch.changes.emplace_back(fileproto::Link{found.fid, spot.dir.fid, spot.name});
  }
  return done_at(at, files.client().batch(batch, files.calls()));
}

// --- chmod, touch ---

struct ChmodArguments {
  std::string mode;
  std::vector<std::string> paths;
  bool recursive = false;
};

Status chmod_one(Files& files, common::Fid fid, const fileproto::Attributes& node,
                 const std::string& words, const std::string& path) {
  TROTH_TRY(const std::uint32_t mode,
            changed_mode(words, node.mode, node.kind == fileproto::NodeKind::Directory));
  fileproto::Setattr setattr;
  setattr.fid = fid;
  setattr.mode = mode;
  return done_at(path, files.client().change(setattr, files.calls()));
}

// Of all below; links have no mode, and what they lead to lies elsewhere.
class ModeSetter final : public fileclient::TreeVisitor {
 public:
  ModeSetter(Files& files, const std::string& words) : files_(files), words_(words) {}

  Result<bool> enter(const fileclient::TreeEntry& entry) override {
    if (entry.node.kind == fileproto::NodeKind::Symlink)
      return false;
    if (const Status done = chmod_one(files_, entry.fid, entry.node, words_, entry.path); !done)
      TROTH_TRY_VOID(trouble("", done.error()));
    return entry.is_directory();
  }
  Status trouble(const std::string& path, const Error& error) override {
    if (error.code == ErrorCode::Cancelled)
      return tl::unexpected(error);
    code = failed(path.empty() ? error : error.in(said(path)));
    return {};
  }
  int code = kExitOk;

 private:
  Files& files_;
  const std::string& words_;
};

int chmod(Files& files, const ChmodArguments& arguments) {
  if (const auto mode = changed_mode(arguments.mode, 0, false); !mode)
    return failed(mode.error()), kExitUsage;
  int code = kExitOk;
  const int rest = for_each_path(files, arguments.paths, [&](const std::string& path) -> Status {
    TROTH_TRY(const Found found, files.find(path));
    if (!arguments.recursive)
      return chmod_one(files, found.fid, found.node, arguments.mode, path);
    ModeSetter setter(files, arguments.mode);
    TROTH_TRY_VOID(fileclient::walk_tree(files.client(), found, setter,
                                         {.calls = files.calls(), .enter_volumes = false}));
    code = std::max(code, setter.code);
    return {};
  });
  return std::max(code, rest);
}

struct TouchArguments {
  std::vector<std::string> paths;
  bool no_create = false;
};

int touch(Files& files, const TouchArguments& arguments) {
  return for_each_path(files, arguments.paths, [&](const std::string& path) -> Status {
    const auto found = files.find(path);
    if (found) {
      fileproto::Setattr setattr;
      setattr.fid = found->fid;
      setattr.mtime = fileproto::SetTime{};
      setattr.atime = fileproto::SetTime{};
      return done_at(path, files.client().change(setattr, files.calls()));
    }
    if (found.error().code != ErrorCode::NotFound || arguments.no_create)
      return found.error().code == ErrorCode::NotFound ? Status() : tl::unexpected(found.error());
    TROTH_TRY(const Spot spot, spot_of(files, path));
    fileproto::Create create;
    create.made = {spot.dir.fid, spot.name, creation_mode(0666), {}};
    return done_at(path, files.client().change(create, files.calls()));
  });
}

}  // namespace

void add_changing_commands(Command app, Session& session, const FileContextPtr& context) {
  auto mkdir_arguments = std::make_shared<MkdirArguments>();
  auto command =
      add_file_command(app, session, context, "mkdir", "Make directories.",
                       [mkdir_arguments](Files& files) { return mkdir(files, *mkdir_arguments); });
  command.add_option("paths", mkdir_arguments->paths, "The directories")
      .type_name("REMOTE")
      .required();
  command.add_flag("-p,--parents", mkdir_arguments->parents,
                   "Those above as well; what is there already is fine.");
  command.add_option("-m,--mode", mkdir_arguments->mode, "Its mode, as chmod takes it.")
      .type_name("MODE");

  auto rmdir_paths = std::make_shared<std::vector<std::string>>();
  command = add_file_command(app, session, context, "rmdir", "Remove empty directories.",
                             [rmdir_paths](Files& files) { return rmdir(files, *rmdir_paths); });
  command.add_option("paths", *rmdir_paths, "The directories").type_name("REMOTE").required();

  auto rm_arguments = std::make_shared<RmArguments>();
  command = add_file_command(app, session, context, "rm", "Remove files; with -r directories, too.",
                             [rm_arguments](Files& files) { return rm(files, *rm_arguments); });
  command.add_option("paths", rm_arguments->paths, "What to remove").type_name("REMOTE").required();
  command.add_flag("-r,-R,--recursive", rm_arguments->recursive,
                   "Directories with all that is in them.");
  command.add_flag("-f,--force", rm_arguments->force, "What is not there is fine.");
  command.add_flag("-d,--dir", rm_arguments->directories, "Empty directories, too.");
  command.add_flag("-v,--verbose", rm_arguments->verbose, "Say what was removed.");

  auto ln_arguments = std::make_shared<LnArguments>();
  command = add_file_command(app, session, context, "ln", "Give a file another name.",
                             [ln_arguments](Files& files) {
                               if (ln_arguments->paths.size() > 2) {
                                 print_error("name one target, and one link");
                                 return kExitUsage;
                               }
                               const Status done = ln(files, *ln_arguments);
                               return done ? kExitOk : failed(done.error());
                             });
  command.add_option("paths", ln_arguments->paths, "The target, and the new name")
      .type_name("REMOTE")
      .required();
  command.add_flag("-s,--symbolic", ln_arguments->symbolic, "A symbolic link, of any text.");
  command.add_flag("-f,--force", ln_arguments->force, "Replace what is there.");
  command.add_flag("-n,--no-dereference", ln_arguments->not_into,
                   "A link to a directory is replaced, and not gone into.");

  auto chmod_arguments = std::make_shared<ChmodArguments>();
  command =
      add_file_command(app, session, context, "chmod", "Change the mode of files.",
                       [chmod_arguments](Files& files) { return chmod(files, *chmod_arguments); });
  command
      .add_option("mode", chmod_arguments->mode,
                  "In octal, as in 0755, or what changes, as in u+x,go-w")
      .type_name("MODE")
      .required();
  command.add_option("paths", chmod_arguments->paths, "Of what").type_name("REMOTE").required();
  command.add_flag("-R,--recursive", chmod_arguments->recursive, "With all that is below.");

  auto touch_arguments = std::make_shared<TouchArguments>();
  command = add_file_command(
      app, session, context, "touch", "Set the time of files to now, or make them.",
      [touch_arguments](Files& files) { return touch(files, *touch_arguments); });
  command.add_option("paths", touch_arguments->paths, "The files").type_name("REMOTE").required();
  command.add_flag("-c,--no-create", touch_arguments->no_create, "Make none.");
}

}  // namespace cli
