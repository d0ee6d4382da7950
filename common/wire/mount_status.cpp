#include "common/wire/mount_status.hpp"

#include <nlohmann/json.hpp>

#include "common/wire/json.hpp"
#include "common/wire/json_object.hpp"
#include "common/wire/name.hpp"

namespace common::wire {
namespace {

constexpr std::size_t kMaxPath = 4096;  // PATH_MAX
constexpr std::size_t kMaxSentence = 1024;

}  // namespace

Result<std::string> encode_mount_status(const MountStatus& status) {
  const nlohmann::json value{
      {"role", "mount"},
      {"version", status.version},
      {"mount_point", encode_name(status.mount_point)},
      {"message", status.message},
      {"uptime_s", status.uptime_s},
      {"pid", status.pid},
      {"ready", status.ready},
  };
  TROTH_TRY(std::string line, dump_json(value));
  line += '\n';
  if (line.size() > kMaxMountStatus) {
    return fail(ErrorCode::TooLarge, "the mount's status is longer than {} bytes", kMaxMountStatus);
  }
  return line;
}

Result<MountStatus> decode_mount_status(std::string_view line) {
  if (line.ends_with('\n'))
    line.remove_suffix(1);
  TROTH_TRY(const auto value, parse_json(line, {.bytes = kMaxMountStatus, .values = 64}));
  TROTH_TRY(const auto object, JsonObject::of(value, "mount status"));
  MountStatus status;
  TROTH_TRY(status.version, object.text("version", kMaxSentence));
  TROTH_TRY(status.mount_point, object.name("mount_point", kMaxPath));
  TROTH_TRY(status.message, object.text("message", kMaxSentence));
  TROTH_TRY(status.uptime_s, object.u64("uptime_s"));
  TROTH_TRY(status.pid, object.u64("pid"));
  TROTH_TRY(status.ready, object.boolean("ready"));
  return status;
}

}  // namespace common::wire
