// troth cat

#include <cerrno>

#include "cli/files/files.hpp"
#include "cli/files/out.hpp"
#include "cli/output.hpp"
#include "common/fileclient/transfer/download.hpp"

namespace cli {
namespace {

using common::fail_posix;
using common::Result;
using common::Status;
using fileclient::Found;

struct CatArguments {
  std::vector<std::string> paths;
  std::optional<std::uint64_t> version;
};

// The node as of one of its versions.
Result<fileproto::Attributes> at_version(Files& files, const Found& found, std::uint64_t version) {
  fileproto::GetattrArgs args;
  args.scope.at = common::Seq{version};
  args.fids = {found.fid};
  TROTH_TRY(auto result, files.client().ask(args, files.calls()));
  if (result.nodes.size() != 1)
    return common::fail(common::ErrorCode::Protocol, "the file server answered for another node");
  if (!result.nodes[0])
    return tl::unexpected(result.nodes[0].error().in(said(found.path)));
  return *result.nodes[0];
}

Status cat_one(Files& files, const std::string& text, std::optional<std::uint64_t> version) {
  TROTH_TRY(Found found, files.find(text));
  if (version) {
    TROTH_TRY(found.node, at_version(files, found, *version));
  }
  if (found.is_directory())
    return fail_posix(EISDIR, "{}: is a directory; see: troth ls", said(text));
  if (found.node.kind != fileproto::NodeKind::File)
    return fail_posix(EINVAL, "{}: is no file but a {}", said(text), kind_name(found.node.kind));
  const auto take = [&](common::ByteView bytes) -> Status {
    standard_out().write(bytes);
    return standard_out().flush() ? Status() : tl::unexpected(standard_out().trouble());
  };
  const auto done = fileclient::read_file(files.client(), found.fid, found.node, 0, found.node.size,
                                          take, files.transfer(nullptr));
  return done || !standard_out().good() ? done : tl::unexpected(done.error().in(said(text)));
}

int cat(Files& files, const CatArguments& arguments) {
  int code = kExitOk;
  for (const std::string& path : arguments.paths) {
    const Status done = cat_one(files, path, arguments.version);
    if (!done) {
      print_failure(done.error());
      code = kExitFailure;
    }
    if (files.interrupted() || !standard_out().good())
      return kExitFailure;
  }
  return code;
}

}  // namespace

void add_reading_commands(Command app, Session& session, const FileContextPtr& context) {
  auto cat_arguments = std::make_shared<CatArguments>();
  auto command =
      add_file_command(app, session, context, "cat", "Write files to standard output.",
                       [cat_arguments](Files& files) { return cat(files, *cat_arguments); });
  command.add_option("paths", cat_arguments->paths, "The files").type_name("REMOTE").required();
  command.add_option("--version", cat_arguments->version,
                     "As they were at this version; see: troth history.");
}

}  // namespace cli
