#include "fuse-client/mount_program.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/log/log.hpp"
#include "common/version.hpp"
#include "common/wire/mount_status.hpp"
#include "fuse-client/status_socket.hpp"

namespace fuse_client {

using common::ErrorCode;
using common::fail;

namespace {

constexpr const char* kMessage = "serves status only: does not mount yet";

// The status thread turns once a second; a machine under load may delay it.
constexpr std::chrono::seconds kStatusSilence{10};

class Mount final : public common::daemon::Application {
 public:
  Mount(std::string mount_point, const common::Clock& clock)
      : mount_point_(std::move(mount_point)), clock_(clock), started_(clock.now()) {}

  common::Status open_socket(const std::string& directory, common::daemon::Heartbeat& heartbeat) {
    TROTH_TRY(socket_, StatusSocket::open({.directory = directory,
                                           .name = socket_name(mount_point_),
                                           .line = [this] { return line(); },
                                           .heartbeat = &heartbeat}));
    common::log::info("serving status",
                      {{"mount_point", mount_point_}, {"socket", socket_->path()}});
    return {};
  }

  [[nodiscard]] std::string status() const override {
    return fmt::format("{} ({})", kMessage, mount_point_);
  }
  void stop() override { socket_.reset(); }

 private:
  [[nodiscard]] std::string line() const {
    common::wire::MountStatus status;
    status.version = common::version();
    status.mount_point = mount_point_;
    status.message = kMessage;
    status.uptime_s = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::seconds>(clock_.now() - started_).count());
    status.pid = static_cast<std::uint64_t>(::getpid());
    status.ready = true;
    return common::wire::encode_mount_status(status).value_or("");
  }

  std::string mount_point_;
  const common::Clock& clock_;
  common::Instant started_;
  std::unique_ptr<StatusSocket> socket_;
};

common::Result<std::string> mount_point_of(const common::daemon::Foundation& foundation) {
  if (foundation.arguments.empty()) {
    return fail(ErrorCode::InvalidArgument, "no mount point was named; say where: troth-mount DIR");
  }
  std::error_code error;
  const auto path = std::filesystem::canonical(foundation.arguments.front(), error);
  if (error || !std::filesystem::is_directory(path, error)) {
    return fail(ErrorCode::InvalidArgument,
                "mount point {} is not a directory; make it, or name another",
                foundation.arguments.front());
  }
  return path.string();
}

}  // namespace

void MountSettings::declare(common::config::Schema& schema) {
  runtime_directory = default_runtime_directory();
  schema.section("runtime", "Where this mount leaves its status socket.")
      .path("dir", &runtime_directory,
            "Directory (0700) of the sockets of this user's mounts, read by `troth status`.");
}

common::Result<std::string> check_mount(const MountSettings& settings,
                                        const common::daemon::Foundation& foundation) {
  TROTH_TRY(const auto mount_point, mount_point_of(foundation));
  if (settings.runtime_directory.empty()) {
    return fail(ErrorCode::InvalidArgument,
                "no place for the status socket: set XDG_RUNTIME_DIR or TROTH_RUNTIME_DIR");
  }
  return fmt::format("troth-mount: the configuration for {} is good", mount_point);
}

common::Result<std::unique_ptr<common::daemon::Application>> start_mount(
    const MountSettings& settings, const common::daemon::Foundation& foundation) {
  TROTH_TRY(const auto mount_point, mount_point_of(foundation));
  auto mount = std::make_unique<Mount>(mount_point, foundation.clock);
  TROTH_TRY_VOID(mount->open_socket(settings.runtime_directory,
                                    foundation.heartbeats.add("status socket", kStatusSilence)));
  return mount;
}

}  // namespace fuse_client
