#include "common/fileclient/walker.hpp"

#include <algorithm>
#include <cerrno>

#include "common/log/escape.hpp"

namespace common::fileclient {
namespace {

// As part of a sentence.
std::string shown(std::string_view path) {
  constexpr std::size_t kMost = 300;
  std::string out;
  if (!log::append_escaped(out, path, log::Quoting::Bare, kMost))
    out += "...";
  return out;
}

}  // namespace

// One path on its way.
struct Walker::Walk {
  std::vector<Found> at;          // from the root to where we are; never empty
  std::deque<std::string> names;  // still to be walked
  std::size_t links = 0;
  Follow follow = Follow::Last;
  bool must_be_directory = false;

  [[nodiscard]] const Found& here() const { return at.back(); }
};

Result<Found> Walker::root_of(const RemotePath& path, const CallOptions& options) {
  if (path.relative)
    return fail(ErrorCode::InvalidArgument, "{}: begin it with / or VOLUME:/", shown(path.path));
  if (!path.cell.empty() && path.cell != client_.cell_name()) {
    return fail(ErrorCode::NotFound,
                "the cell in use is {}, not {}; name another cell's directory with --cell",
                client_.cell_name(), path.cell);
  }
  TROTH_TRY(const VolumeInfo volume, path.volume.empty()
                                         ? client_.volumes().root(options)
                                         : client_.volumes().find(path.volume, options));
  fileproto::GetattrArgs args;
  args.fids = {volume.root()};
  TROTH_TRY(auto result, client_.ask(args, options));
  if (result.nodes.size() != 1)
    return fail(ErrorCode::Protocol,
                "the file server answered for another node than was asked for");
  if (!result.nodes[0])
    return tl::unexpected(result.nodes[0].error().in("volume " + volume.entry.name));
  Found root;
  root.fid = root.dir = volume.root();
  root.node = *result.nodes[0];
  root.path = (path.volume.empty() ? std::string() : path.volume + ":") + "/";
  return root;
}

Status Walker::enter_volume(Walk& walk, const std::string& name, const fileproto::Attributes& mount,
                            const CallOptions& options) {
  const std::string path = joined(walk.here().path, name);
  auto volume = client_.volumes().find(mount.attached, options);
  if (!volume)
    return tl::unexpected(volume.error().in(shown(path)));
  fileproto::GetattrArgs args;
  args.fids = {volume->root()};
  TROTH_TRY(auto result, client_.ask(args, options));
  if (result.nodes.size() != 1 || !result.nodes[0]) {
    return tl::unexpected(result.nodes.empty()
                              ? Error{ErrorCode::Protocol, "the file server answered for no node"}
                              : result.nodes[0].error().in(shown(path)));
  }
  Found root;
  root.fid = root.dir = volume->root();
  root.node = *result.nodes[0];
  root.path = path;
  walk.at.push_back(std::move(root));
  return {};
}

Status Walker::enter_link(Walk& walk, const fileproto::Attributes& link,
                          const CallOptions& options) {
  const std::string path = shown(walk.here().path);
  if (++walk.links > kMaxLinks)
    return fail_posix(ELOOP, "{}: more than {} symbolic links on the way", path, kMaxLinks);
  fileproto::ReadlinkArgs args;
  args.fid = {walk.here().fid.volume, link.node};
  TROTH_TRY(const auto result, client_.ask(args, options));
  const auto names = names_of(result.target);
  walk.names.insert(walk.names.begin(), names.begin(), names.end());
  if (walk.names.size() > kMaxPathBytes / 2)
    return fail_posix(ENAMETOOLONG, "{}: links make the path too long", path);
  if (result.target.starts_with('/'))
    walk.at.resize(1);
  return {};
}

// True: the server went on behind this node, so its next step is ours, too.
Result<bool> Walker::take_step(Walk& walk, const std::string& name,
                               const fileproto::Attributes& node, const CallOptions& options) {
  const bool last = walk.names.empty();
  if (node.kind == fileproto::NodeKind::Symlink &&
      (!last || walk.follow == Follow::Last || walk.must_be_directory)) {
    TROTH_TRY_VOID(enter_link(walk, node, options));
    return false;
  }
  if (node.attached != VolumeId{}) {
    TROTH_TRY_VOID(enter_volume(walk, name, node, options));
    return false;
  }
  Found found;
  found.fid = {walk.here().fid.volume, node.node};
  found.node = node;
  found.dir = walk.here().fid;
  found.name = name;
  found.path = joined(walk.here().path, name);
  walk.at.push_back(std::move(found));
  return true;
}

Status Walker::step(Walk& walk, const CallOptions& options) {
  if (walk.names.front() == "..") {
    walk.names.pop_front();
    // Above the top is the top.
    if (walk.at.size() > 1)
      walk.at.pop_back();
    return {};
  }
  if (!walk.here().is_directory())
    return fail_posix(ENOTDIR, "{}: not a directory", shown(walk.here().path));
  fileproto::WalkArgs args;
  args.from = walk.here().fid;
  const auto until = std::find(walk.names.begin(), walk.names.end(), "..");
  for (auto name = walk.names.begin();
       name != until && args.names.size() < fileproto::kMaxWalkNames; ++name) {
    if (name->size() > fileproto::kMaxNameBytes) {
      return fail_posix(ENAMETOOLONG, "{}: a name of {} bytes; at most {}", shown(*name),
                        name->size(), fileproto::kMaxNameBytes);
    }
    args.names.push_back(*name);
  }
  auto result = client_.ask(args, options);
  if (!result)
    return tl::unexpected(result.error().in(shown(joined(walk.here().path, args.names[0]))));
  if (result->steps.size() > args.names.size())
    return fail(ErrorCode::Protocol, "the file server walked further than it was asked to");
  for (std::size_t i = 0; i < result->steps.size(); ++i) {
    walk.names.pop_front();
    TROTH_TRY(const bool goes_on, take_step(walk, args.names[i], result->steps[i], options));
    if (!goes_on)
      return {};
  }
  if (result->steps.size() == args.names.size())
    return {};
  if (!walk.here().is_directory())
    return fail_posix(ENOTDIR, "{}: not a directory", shown(walk.here().path));
  // A walk ends the same where nothing is and where the directory is closed to the caller.
  const std::string& name = args.names[result->steps.size()];
  const std::string missing = shown(joined(walk.here().path, name));
  const auto looked = look(walk.here().fid, name, options);
  if (!looked)
    return tl::unexpected(looked.error().in(missing));
  if (!*looked)
    return fail_posix(ENOENT, "{}: no such file or directory", missing);
  // Somebody has just made it.
  walk.names.pop_front();
  TROTH_TRY([[maybe_unused]] const bool goes_on, take_step(walk, name, **looked, options));
  return {};
}

Result<Found> Walker::find(const RemotePath& path, Follow follow, const CallOptions& given) {
  const CallOptions options = client_.filled(given);
  Walk walk;
  walk.follow = follow;
  walk.must_be_directory = path.names_directory();
  TROTH_TRY(walk.at.emplace_back(), root_of(path, options));
  for (std::string& name : names_of(path.path))
    walk.names.push_back(std::move(name));
  while (!walk.names.empty())
    TROTH_TRY_VOID(step(walk, options));
  if (walk.must_be_directory && !walk.here().is_directory())
    return fail_posix(ENOTDIR, "{}: not a directory", shown(walk.here().path));
  return std::move(walk.at.back());
}

Result<std::optional<fileproto::Attributes>> Walker::look(Fid dir, const std::string& name,
                                                          const CallOptions& options) {
  if (name.size() > fileproto::kMaxNameBytes) {
    return fail_posix(ENAMETOOLONG, "{}: a name of {} bytes; at most {}", shown(name), name.size(),
                      fileproto::kMaxNameBytes);
  }
  fileproto::LookupArgs args;
  args.dir = dir;
  args.name = name;
  TROTH_TRY(auto result, client_.ask(args, options));
  return std::move(result.node);
}

Result<Spot> Walker::find_spot(const RemotePath& path, const CallOptions& given) {
  const CallOptions options = client_.filled(given);
  Spot spot;
  spot.name = base_name(path.path);
  if (spot.name.empty())
    return fail_posix(EBUSY, "{}: names a directory that is there", shown(to_text(path)));
  RemotePath parent = path;
  while (parent.path.size() > 1 && parent.path.back() == '/')
    parent.path.pop_back();
  parent.path.resize(parent.path.rfind('/') + 1);
  TROTH_TRY(spot.dir, find(parent, Follow::Last, options));
  auto node = look(spot.dir.fid, spot.name, options);
  if (!node)
    return tl::unexpected(node.error().in(shown(spot.path())));
  spot.node = *std::move(node);
  return spot;
}

}  // namespace common::fileclient
