// From a directory up to the top: what its path is.

#include "cli/files/out.hpp"
#include "cli/files/volumes.hpp"
#include "common/fileclient/tree/tree_walk.hpp"

namespace cli {
namespace {

using common::Fid;
using common::Result;

// Volumes lie near the top, in directories that people look at.
constexpr std::size_t kMostLevels = 64;
constexpr std::size_t kMostLooked = 20'000;  // entries of one directory that are looked through

Result<fileproto::Attributes> attributes_of(Files& files, Fid fid) {
  fileproto::GetattrArgs args;
  args.fids = {fid};
  TROTH_TRY(auto result, files.client().ask(args, files.calls()));
  if (result.nodes.size() != 1)
    return common::fail(common::ErrorCode::Protocol, "the file server answered for another node");
  return std::move(result.nodes[0]);
}

Result<std::string> name_in(Files& files, Fid parent, common::NodeId child) {
  fileclient::Listing listing(files.client(), parent, files.calls());
  for (std::size_t seen = 0; seen < kMostLooked; ++seen) {
    TROTH_TRY(const auto* entry, listing.next());
    if (entry == nullptr)
      break;
    if (entry->node.node == child)
      return entry->name;
  }
  return common::fail(common::ErrorCode::NotFound, "it has another name now");
}

// Within its volume, without a slash at its beginning; the root's is empty.
Result<std::string> path_within(Files& files, Fid directory, common::NodeId root) {
  std::string path;
  for (std::size_t level = 0; directory.node != root; ++level) {
    if (level == kMostLevels)
      return common::fail(common::ErrorCode::TooLarge, "it lies too deep");
    TROTH_TRY(const auto node, attributes_of(files, directory));
    const Fid parent{directory.volume, node.home};
    TROTH_TRY(const std::string name, name_in(files, parent, directory.node));
    path = path.empty() ? name : name + "/" + path;
    directory = parent;
  }
  return path;
}

}  // namespace

std::string place_of(Files& files, Fid directory) {
  const auto calls = files.client().filled(files.calls());
  const auto volume = files.client().volumes().find(directory.volume, calls);
  if (volume) {
    const auto path = path_within(files, directory, volume->entry.root);
    if (path)
      return (volume->is_root() ? "/" : volume->entry.name + ":/") + *path;
  }
  return fmt::format("node {} of volume {}", directory.node.value, directory.volume.value);
}

}  // namespace cli
