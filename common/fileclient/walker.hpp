#pragma once

// From paths to nodes: walks names at the server, enters attached volumes, follows symbolic links.

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "common/fileclient/file_client.hpp"
#include "common/fileclient/remote_path.hpp"

namespace common::fileclient {

// As many as Linux follows in one path (F46).
inline constexpr std::size_t kMaxLinks = 40;

enum class Follow : std::uint8_t { Last, NotLast };  // the link at the end of a path

// A node that is there, and how it was reached.
struct Found {
  Fid fid;
  fileproto::Attributes node;
  Fid dir;           // that it was found in; of a volume's root the root itself
  std::string name;  // there; empty for a root
  std::string path;  // without links and ".." in it, as people write it

  [[nodiscard]] bool is_directory() const { return node.kind == fileproto::NodeKind::Directory; }
  [[nodiscard]] bool is_symlink() const { return node.kind == fileproto::NodeKind::Symlink; }
  // The directory that a volume is attached at, or its root, cannot be removed or renamed.
  [[nodiscard]] bool is_root() const { return name.empty(); }
};

// A name in a directory that is there, whether or not something has the name.
struct Spot {
  Found dir;
  std::string name;
  std::optional<fileproto::Attributes> node;  // a link itself

  [[nodiscard]] Fid fid() const { return {dir.fid.volume, node->node}; }
  [[nodiscard]] std::string path() const { return joined(dir.path, name); }
};

// Safe from any thread; each call blocks until the deadline of its options at most. Failures carry
// the errno that a file system would give, and begin with the path.
class Walker {
 public:
  explicit Walker(FileClient& client) : client_(client) {}

  [[nodiscard]] Result<Found> find(const RemotePath& path, Follow follow,
                                   const CallOptions& options = {});
  [[nodiscard]] Result<Spot> find_spot(const RemotePath& path, const CallOptions& options = {});

  // What one name of a directory is, without following or entering it; nullopt: nothing.
  [[nodiscard]] Result<std::optional<fileproto::Attributes>> look(Fid dir, const std::string& name,
                                                                  const CallOptions& options = {});

 private:
  struct Walk;
  Result<Found> root_of(const RemotePath& path, const CallOptions& options);
  Status step(Walk& walk, const CallOptions& options);
  Status enter_link(Walk& walk, const fileproto::Attributes& link, const CallOptions& options);
  Result<bool> take_step(Walk& walk, const std::string& name, const fileproto::Attributes& node,
                         const CallOptions& options);
  Status enter_volume(Walk& walk, const std::string& name, const fileproto::Attributes& mount,
                      const CallOptions& options);

  FileClient& client_;
};

}  // namespace common::fileclient
