// troth complete-path WORD: what a remote path may go on with, for completion scripts and the
// shell.

#include "cli/files/complete_path.hpp"

#include <algorithm>

#include "cli/files/files.hpp"
#include "cli/files/out.hpp"
#include "common/fileclient/tree/tree_walk.hpp"
#include "common/rpc/socket.hpp"

namespace cli {
namespace {

// Whoever presses Tab does not wait longer.
constexpr std::chrono::milliseconds kPatience{1'500};
constexpr std::size_t kMostSeen = 20'000;  // entries of a directory that are looked at

}  // namespace

std::vector<std::string> complete_path(Files& files, const std::string& word) {
  std::vector<std::string> found;
  fileclient::CallOptions calls = files.calls();
  calls.deadline = common::rpc::now() + kPatience;
  const std::size_t slash = word.rfind('/');
  const std::string before = slash == std::string::npos ? "" : word.substr(0, slash + 1);
  const std::string begun = slash == std::string::npos ? word : word.substr(slash + 1);
  if (slash == std::string::npos) {
    if (const auto volumes = files.client().volumes().all(files.client().filled(calls))) {
      for (const auto& volume : *volumes) {
        if (volume.entry.name.starts_with(word))
          found.push_back(volume.entry.name + ":/");
      }
    }
  }
  const auto path = files.path(before.empty() ? "." : before);
  if (!path)
    return found;
  const auto directory = files.walker().find(*path, fileclient::Follow::Last, calls);
  if (!directory || !directory->is_directory())
    return found;
  fileproto::ListArgs args;
  args.dir = directory->fid;
  // Everything that begins so comes after the word itself, or is it.
  std::size_t seen = 0;
  args.after = begun.empty() ? "" : begun.substr(0, begun.size() - 1);
  if (args.after == "." || args.after == "..")
    args.after.clear();
  for (bool more = true; more && seen < kMostSeen;) {
    const auto page = files.client().list(args, files.client().filled(calls));
    if (!page)
      break;
    for (const auto& entry : page->entries) {
      ++seen;
      if (!entry.name.starts_with(begun)) {
        if (entry.name > begun)
          more = false;
        if (entry.name > begun)
          break;
        continue;
      }
      if (begun.empty() && entry.name.starts_with('.'))
        continue;
      found.push_back(before + entry.name +
                      (entry.node.kind == fileproto::NodeKind::Directory ? "/" : ""));
    }
    if (!page->next)
      break;
    args.after = *page->next;
  }
  std::sort(found.begin(), found.end());
  return found;
}

void add_complete_path_command(Command app, Session& session, const FileContextPtr& context) {
  auto word = std::make_shared<std::string>();
  auto command = add_file_command(app, session, context, "complete-path",
                                  "What a path of the cell may go on with; for completion scripts.",
                                  [word](Files& files) {
                                    for (const std::string& path : complete_path(files, *word))
                                      // One on a line: what has a line break in it is left out.
                                      if (path.find('\n') == std::string::npos)
                                        standard_out().write(path + "\n");
                                    return kExitOk;
                                  });
  command.hide();
  command.add_option("word", *word, "The beginning of a path").type_name("REMOTE");
}

}  // namespace cli
