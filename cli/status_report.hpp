#pragma once

// How the parts of a cell are, as `troth status` shows it.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/cell/description.hpp"
#include "common/clock.hpp"
#include "common/result.hpp"

namespace cli {

// One server or mount.
struct PartStatus {
  std::string kind;     // role of a server, or "mount"
  std::string name;     // of a server, or the mount point
  std::string where;    // address, or the socket's path
  bool up = false;      // it answered
  bool ready = false;   // and can do its work
  std::string message;  // why not, or what it says about itself
  std::string version;
  std::optional<std::uint64_t> uptime_s;
  std::optional<common::WallTime> certificate_not_after;
};

struct StatusReport {
  std::string cell;  // its name; empty if only mounts were asked
  std::vector<PartStatus> parts;

  [[nodiscard]] bool all_well() const;  // every part is up and ready
};

std::string to_text(const StatusReport& report, common::WallTime now);
std::string to_json(const StatusReport& report, common::WallTime now);  // one line

// Asks all servers of the cell at once. Returns by the deadline, whatever the servers do; those
// that have not answered say so. Blocks.
std::vector<PartStatus> ask_servers(const common::cell::Description& description,
                                    common::Instant deadline);

// Where this user's mounts leave their sockets: TROTH_RUNTIME_DIR, else by what daemons do.
std::string mount_directory();
// Asks every mount with a socket in `directory`, in the same way; a missing directory means no
// mounts. At most kMaxMounts.
std::vector<PartStatus> ask_mounts(const std::string& directory, common::Instant deadline);
inline constexpr std::size_t kMaxMounts = 256;  // one machine has a handful

}  // namespace cli
