// troth mv

#include <cerrno>

#include "cli/files/copy.hpp"
#include "cli/files/progress_line.hpp"
#include "common/fileclient/tree/remove_tree.hpp"

namespace cli {
namespace {

using common::Error;
using common::fail_posix;
using common::Status;
using fileclient::Found;
using fileclient::Spot;

struct MoveArguments {
  TargetWords words;
  bool exchange = false;
};

// Copied whole, and only then removed.
Status move_between_volumes(Files& files, fileclient::Progress& progress,
                            fileclient::TreeReport& report, const std::string& from, const Spot& to,
                            const Found& source) {
  if (to.node && source.is_directory())
    return fail_posix(EEXIST, "{}: is there already", said(to.path()));
  const std::uint64_t problems = report.problems();
  TROTH_TRY_VOID(
      copy_one(files, {.recursive = true, .keeps_times = true}, progress, report, source, to));
  if (report.problems() != problems)
    return common::fail(common::ErrorCode::IoError,
                        "{}: not all of it could be copied, so it stays", said(from));
  return fileclient::remove_tree(files.client(), source, report, files.calls());
}

int mv(Files& files, MoveArguments& arguments) {
  arguments.words.not_into |= arguments.exchange;
  fileclient::Progress progress;
  ProgressLine line(progress, false);
  fileclient::TreeReport report([&](const std::string& path, const Error& error) {
    line.say(said(path, 1'000) + ": " + helped(error).message);
  });
  const auto mode = arguments.exchange           ? fileproto::RenameMode::Exchange
                    : arguments.words.no_replace ? fileproto::RenameMode::NoReplace
                                                 : fileproto::RenameMode::Replace;
  const int code = with_target(
      files, arguments.words, fileclient::Follow::NotLast,
      [&](const std::string& from, const Spot& to, const Found& source) -> Status {
        if (source.is_root())
          return fail_posix(EBUSY, "{}: the top of a volume is not moved; see: troth volume attach",
                            said(from));
        if (source.dir.volume == to.dir.fid.volume) {
          const fileproto::Rename rename{source.dir, source.name, to.dir.fid, to.name, mode};
          return done_at(from, files.client().change(rename, files.calls()));
        }
        if (arguments.exchange)
          return fail_posix(EXDEV, "{} and {}: in two volumes, between which nothing is exchanged",
                            said(from), said(to.path()));
        return move_between_volumes(files, progress, report, from, to, source);
      });
  return report.problems() == 0 ? code : kExitFailure;
}

}  // namespace

void add_moving_commands(Command app, Session& session, const FileContextPtr& context) {
  auto arguments = std::make_shared<MoveArguments>();
  auto command = add_file_command(app, session, context, "mv", "Move and rename within the cell.",
                                  [arguments](Files& files) { return mv(files, *arguments); });
  add_target_options(command, arguments->words, "Say what was moved.");
  command.add_flag("--exchange", arguments->exchange, "Exchange the two.");
}

}  // namespace cli
