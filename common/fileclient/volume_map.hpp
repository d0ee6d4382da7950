#pragma once

// Which file server holds which volume: asked of all servers when it is first needed, and again
// when something is not where it was.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/fileclient/file_server.hpp"
#include "common/fileproto/reads.hpp"
#include "common/sync/mutex.hpp"

namespace common::fileclient {

struct VolumeInfo {
  fileproto::VolumeEntry entry;
  std::string server;

  [[nodiscard]] Fid root() const { return {entry.volume, entry.root}; }
  [[nodiscard]] bool is_root() const { return (entry.flags & fileproto::volume_flag::kRoot) != 0; }
};

// Safe from any thread. One thread asks the servers, the others wait for its answer.
class VolumeMap {
 public:
  using Servers = std::vector<std::shared_ptr<FileServer>>;
  explicit VolumeMap(Servers servers) : servers_(std::move(servers)) {}

  // NotFound: no server that answered has it. The sentence names the servers that did not answer;
  // if there are any, the code is Unavailable.
  [[nodiscard]] Result<VolumeInfo> find(VolumeId volume, const CallOptions& options)
      EXCLUDES(mutex_);
  [[nodiscard]] Result<VolumeInfo> find(std::string_view name, const CallOptions& options)
      EXCLUDES(mutex_);
  // The one that paths of the cell begin in.
  [[nodiscard]] Result<VolumeInfo> root(const CallOptions& options) EXCLUDES(mutex_);
  // By name. Asks anew. A failure only if no server answered.
  [[nodiscard]] Result<std::vector<VolumeInfo>> all(const CallOptions& options) EXCLUDES(mutex_);

  [[nodiscard]] Result<std::shared_ptr<FileServer>> server_of(VolumeId volume,
                                                              const CallOptions& options)
      EXCLUDES(mutex_);
  // Something of the volume was not found: true if what is known was old and has been asked for
  // anew, so that it is worth looking again.
  [[nodiscard]] bool look_again(const CallOptions& options) EXCLUDES(mutex_);
  void forget() EXCLUDES(mutex_);

  [[nodiscard]] const Servers& servers() const { return servers_; }

 private:
  using Wanted = std::function<bool(const VolumeInfo&)>;
  struct Known {
    std::vector<VolumeInfo> volumes;
    Instant at{};
    std::optional<Error> trouble;  // of the servers that did not answer
  };
  Result<VolumeInfo> find(const Wanted& wanted, std::string_view what, const CallOptions& options)
      EXCLUDES(mutex_);
  Status refresh(const CallOptions& options, Instant older_than) EXCLUDES(mutex_);
  [[nodiscard]] Known ask_all(const CallOptions& options) const;

  const Servers servers_;
  Mutex mutex_;
  CondVar asked_;
  bool asking_ GUARDED_BY(mutex_) = false;
  std::optional<Known> known_ GUARDED_BY(mutex_);
};

}  // namespace common::fileclient
