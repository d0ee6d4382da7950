#pragma once

// Everything that the KDC knows, on its disk: see README.md, "Storage".

#include <memory>
#include <string>

#include "kdc/attempts.hpp"
#include "kdc/audit.hpp"
#include "kdc/groups.hpp"
#include "kdc/keys.hpp"
#include "kdc/master_rollover.hpp"
#include "kdc/policy.hpp"
#include "kdc/principals.hpp"

namespace kdc {

struct DatabaseOptions {
  std::string directory;       // private, locked by the caller; holds kdc.db and master.keys
  std::string cell;            // its id; another cell's database is refused
  std::string first_contents;  // path; empty: DIRECTORY/first-contents
  common::db::DiskProbe* probe = nullptr;  // for tests
};
inline constexpr std::string_view kDatabaseFile = "kdc.db";
inline constexpr std::string_view kMasterKeyFile = "master.keys";
inline constexpr std::string_view kFirstContentsFile = "first-contents";
inline constexpr std::uint32_t kDatabaseId = 0x74'6b'64'63;  // "tkdc"

// Safe from any thread. What it returns as keys, the caller keeps no longer than it must.
class Database {
 public:
  // Opens the database, or makes it from the first contents, whose file is then wiped and removed.
  // Killed at any moment of that, the next open goes on. NotFound: neither is there. Corrupt or
  // InvalidArgument: the stash does not fit the database, with one line that says so. Blocks.
  [[nodiscard]] static common::Result<std::unique_ptr<Database>> open(
      const DatabaseOptions& options, const common::Clock& clock);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  [[nodiscard]] Principals& principals();
  [[nodiscard]] Keys& keys();
  [[nodiscard]] Groups& groups();
  [[nodiscard]] Policies& policies();
  [[nodiscard]] Attempts& attempts();
  [[nodiscard]] AuditLog& audit();
  [[nodiscard]] MasterRollover& master_rollover();

  // What is due: noted audit records, rotation of own keys, destruction of ended ones, a step of a
  // master rollover, trimming. Called about once a second from one thread that may block on the
  // disk (not the daemon's tick). The first failure; the rest was tried, too.
  [[nodiscard]] common::Status housekeeping();

  // Whether changes are possible.
  [[nodiscard]] common::Status health();

  // Writes noted audit records and closes. No other call may be under way or follow.
  [[nodiscard]] common::Status close();

  [[nodiscard]] Core& core();  // for dump.hpp and tests

 private:
  struct Parts;
  explicit Database(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace kdc
