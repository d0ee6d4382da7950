#pragma once

// Answers "how is this mount?" to its owner's tools: whoever connects gets one line and is
// disconnected. Nothing is ever read from the other side.

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "common/daemon/heartbeats.hpp"
#include "common/io/lock_file.hpp"
#include "common/io/unique_fd.hpp"
#include "common/result.hpp"

namespace fuse_client {

// Where mounts of this user leave their sockets: /run/troth/mounts for root, else below
// XDG_RUNTIME_DIR; empty if that is not set.
std::string default_runtime_directory();

// The socket's name within that directory: readable, and different for every mount point.
std::string socket_name(const std::string& mount_point);

class StatusSocket {
 public:
  struct Options {
    std::string directory;  // made (0700) if missing; must be ours and closed to others
    std::string name;       // from socket_name()
    // The line to answer with. Called in the socket's thread; must not block.
    std::function<std::string()> line;
    common::daemon::Heartbeat* heartbeat = nullptr;  // beaten at every turn, if given
  };

  // A socket that a dead process left is replaced; one that somebody serves is Busy. Everything
  // made is removed again by the destructor, apart from the directory and the lock file.
  static common::Result<std::unique_ptr<StatusSocket>> open(Options options);

  StatusSocket(const StatusSocket&) = delete;
  StatusSocket& operator=(const StatusSocket&) = delete;
  ~StatusSocket();

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  StatusSocket(Options options, std::string path, common::io::LockFile lock,
               common::UniqueFd listener, common::UniqueFd wake);
  void serve();
  void answer(const common::UniqueFd& asker) const;

  Options options_;
  std::string path_;
  common::io::LockFile lock_;
  common::UniqueFd listener_;
  common::UniqueFd wake_;
  std::thread thread_;
};

}  // namespace fuse_client
