// troth mv

#include <cerrno>

#include "cli/files/targets.hpp"

namespace cli {
namespace {

using common::fail_posix;
using common::Status;
using fileclient::Found;
using fileclient::Spot;

struct MoveArguments {
  TargetWords words;
  bool exchange = false;
};

int mv(Files& files, MoveArguments& arguments) {
  arguments.words.not_into |= arguments.exchange;
  const auto mode = arguments.exchange           ? fileproto::RenameMode::Exchange
                    : arguments.words.no_replace ? fileproto::RenameMode::NoReplace
                                                 : fileproto::RenameMode::Replace;
  return with_target(
      files, arguments.words, fileclient::Follow::NotLast,
      [&](const std::string& from, const Spot& to, const Found& source) -> Status {
        if (source.is_root())
          return fail_posix(EBUSY, "{}: the top of a volume is not moved; see: troth volume attach",
                            said(from));
        if (source.dir.volume != to.dir.fid.volume)
          return fail_posix(EXDEV, "{} and {}: in two volumes, and names move within one",
                            said(from), said(to.path()));
        const fileproto::Rename rename{source.dir, source.name, to.dir.fid, to.name, mode};
        return done_at(from, files.client().change(rename, files.calls()));
      });
}

}  // namespace

void add_moving_commands(Command app, Session& session, const FileContextPtr& context) {
  auto arguments = std::make_shared<MoveArguments>();
  auto command = add_file_command(app, session, context, "mv", "Move and rename within a volume.",
                                  [arguments](Files& files) { return mv(files, *arguments); });
  add_target_options(command, arguments->words, "Say what was moved.");
  command.add_flag("--exchange", arguments->exchange, "Exchange the two.");
}

}  // namespace cli
