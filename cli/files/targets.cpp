#include "cli/files/targets.hpp"

#include <cerrno>

#include "cli/files/out.hpp"

namespace cli {
namespace {

using common::fail_posix;
using common::Result;
using common::Status;
using fileclient::Found;
using fileclient::Spot;

// The name that a source gets in the directory `to`.
Result<Spot> spot_in(Files& files, const std::string& to, const Found& source,
                     const std::string& typed) {
  std::string name = fileclient::base_name(typed);
  if (name.empty())
    name = source.name;
  if (name.empty())
    return fail_posix(EBUSY, "{}: the top of a volume has no name", said(typed));
  TROTH_TRY(auto path, files.path(to));
  path.path = fileclient::joined(path.path, name);
  return files.walker().find_spot(path, files.calls());
}

Result<bool> goes_into(Files& files, const TargetWords& words, const std::string& to) {
  if (words.not_into)
    return false;
  const auto found = files.find(to);
  if (found)
    return found->is_directory();
  if (found.error().code != common::ErrorCode::NotFound)
    return tl::unexpected(found.error());
  return false;
}

}  // namespace

int with_target(Files& files, const TargetWords& words, fileclient::Follow follow,
                const OneSource& run) {
  if (words.paths.size() < 2) {
    print_error("name what, and where to");
    return kExitUsage;
  }
  std::vector<std::string> sources = words.paths;
  const std::string to = sources.back();
  sources.pop_back();
  const auto into = goes_into(files, words, to);
  if (!into)
    return failed(into.error());
  if (!*into && sources.size() > 1)
    return failed(
        fail_posix(ENOTDIR, "{}: not a directory, and there are several to go into it", said(to))
            .value());
  return for_each_path(files, sources, [&](const std::string& from) -> Status {
    TROTH_TRY(const Found source, files.find(from, follow));
    if (!*into && to.ends_with('/') && !source.is_directory())
      return fail_posix(ENOTDIR, "{}: not a directory", said(to));
    TROTH_TRY(const Spot spot, *into ? spot_in(files, to, source, from) : spot_of(files, to));
    if (spot.node && words.no_replace)
      return {};
    TROTH_TRY_VOID(run(from, spot, source));
    if (words.verbose)
      standard_out().write(fmt::format("{} -> {}\n", quoted_name(from), quoted_name(spot.path())));
    return {};
  });
}

void add_target_options(Command command, TargetWords& words, const char* verbose) {
  command.add_option("paths", words.paths, "What..., and where to").type_name("REMOTE").required();
  command.add_flag("-n,--no-clobber", words.no_replace, "Replace nothing that is there.");
  command.add_flag("-T,--no-target-directory", words.not_into,
                   "The last is the new name, even of a directory.");
  command.add_flag("-v,--verbose", words.verbose, verbose);
}

}  // namespace cli
