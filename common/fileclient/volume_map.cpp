#include "common/fileclient/volume_map.hpp"

#include <algorithm>
#include <thread>

#include "common/fileproto/codec.hpp"
#include "common/rpc/socket.hpp"

namespace common::fileclient {
namespace {

// One that is down must not make everybody wait for the volumes of the others.
constexpr std::chrono::seconds kServerPatience{5};
// What was asked for this recently is not asked for again because something was not found.
constexpr std::chrono::seconds kFresh{2};
constexpr std::chrono::milliseconds kLook{50};

struct Answered {
  Result<fileproto::VolumesResult> volumes = fail(ErrorCode::Unavailable, "was not asked");
};

Result<fileproto::VolumesResult> ask(FileServer& server, CallOptions options) {
  options.deadline = std::min(options.until(), rpc::now() + kServerPatience);
  TROTH_TRY(const auto answer, server.call({.operation = "volumes",
                                            .args = fileproto::encode(fileproto::VolumesArgs{}),
                                            .bytes = {},
                                            .id = {}},
                                           options));
  return fileproto::decode<fileproto::VolumesResult>(answer.result());
}

}  // namespace

VolumeMap::Known VolumeMap::ask_all(const CallOptions& options) const {
  std::vector<Answered> answers(servers_.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < servers_.size(); ++i)
    threads.emplace_back([&, i] { answers[i].volumes = ask(*servers_[i], options); });
  answers[0].volumes = ask(*servers_[0], options);
  for (std::thread& thread : threads)
    thread.join();

  Known known;
  known.at = rpc::now();
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    if (!answers[i].volumes) {
      if (!known.trouble)
        known.trouble = answers[i].volumes.error().in("file server " + servers_[i]->name());
      continue;
    }
    for (auto& entry : answers[i].volumes->volumes)
      known.volumes.push_back({std::move(entry), servers_[i]->name()});
  }
  std::sort(known.volumes.begin(), known.volumes.end(),
            [](const auto& a, const auto& b) { return a.entry.name < b.entry.name; });
  return known;
}

Status VolumeMap::refresh(const CallOptions& options, Instant older_than) {
  if (servers_.empty())
    return fail(ErrorCode::NotFound, "the cell's description names no file server");
  MutexLock lock(mutex_);
  for (;;) {
    if (known_ && known_->at > older_than)
      return {};
    if (!asking_)
      break;
    if (rpc::now() >= options.until())
      return fail(ErrorCode::DeadlineExceeded,
                  "the file servers did not say in time what they hold");
    asked_.wait_for(mutex_, kLook);
  }
  asking_ = true;
  lock.unlock();
  Known known = ask_all(options);
  lock.lock();
  asking_ = false;
  asked_.notify_all();
  if (known.volumes.empty() && known.trouble)
    return tl::unexpected(*known.trouble);
  known_ = std::move(known);
  return {};
}

Result<VolumeInfo> VolumeMap::find(const Wanted& wanted, std::string_view what,
                                   const CallOptions& options) {
  for (const bool again : {false, true}) {
    TROTH_TRY_VOID(refresh(options, again ? rpc::now() - kFresh : Instant{}));
    const MutexLock lock(mutex_);
    if (!known_)
      continue;
    const auto found = std::find_if(known_->volumes.begin(), known_->volumes.end(), wanted);
    if (found != known_->volumes.end())
      return *found;
    if (again && known_->trouble) {
      return tl::unexpected(
          Error{ErrorCode::Unavailable,
                fmt::format("{} is on none of the file servers that answered, and "
                            "not all did: {}",
                            what, known_->trouble->message)});
    }
  }
  return fail(ErrorCode::NotFound, "there is no {} that you may see; see: troth volume list", what);
}

Result<VolumeInfo> VolumeMap::find(VolumeId volume, const CallOptions& options) {
  return find([&](const VolumeInfo& info) { return info.entry.volume == volume; },
              fmt::format("volume with the number {}", volume.value), options);
}

Result<VolumeInfo> VolumeMap::find(std::string_view name, const CallOptions& options) {
  return find([&](const VolumeInfo& info) { return info.entry.name == name; },
              fmt::format("volume {}", name), options);
}

Result<VolumeInfo> VolumeMap::root(const CallOptions& options) {
  auto found = find([](const VolumeInfo& info) { return info.is_root(); }, "root volume", options);
  if (!found && found.error().code == ErrorCode::NotFound) {
    return fail(
        ErrorCode::NotFound,
        "the cell has no root volume that you may see; name one, as in VOLUME:/, or make it: "
        "troth volume create root --root");
  }
  return found;
}

Result<std::vector<VolumeInfo>> VolumeMap::all(const CallOptions& options) {
  TROTH_TRY_VOID(refresh(options, rpc::now()));
  const MutexLock lock(mutex_);
  return known_ ? known_->volumes : std::vector<VolumeInfo>{};
}

Result<std::shared_ptr<FileServer>> VolumeMap::server_of(VolumeId volume,
                                                         const CallOptions& options) {
  TROTH_TRY(const VolumeInfo info, find(volume, options));
  return *std::find_if(servers_.begin(), servers_.end(),
                       [&](const auto& server) { return server->name() == info.server; });
}

bool VolumeMap::look_again(const CallOptions& options) {
  const Instant before = rpc::now() - kFresh;
  {
    const MutexLock lock(mutex_);
    if (known_ && known_->at > before)
      return false;
  }
  return refresh(options, before).has_value();
}

void VolumeMap::forget() {
  const MutexLock lock(mutex_);
  known_.reset();
}

}  // namespace common::fileclient
