#pragma once

// A real cell: made by `troth cell init`, its servers real processes on a loopback address of their
// own, so that any number of cells can live side by side on the default ports.

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"
#include "tests/support/notify_socket.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

namespace test_support {

inline constexpr std::array<std::string_view, 3> kRoles{"kdc", "lockserver", "fileserver"};

// The first administrator of every such cell.
inline constexpr std::string_view kAdministrator = "admin";
inline constexpr std::string_view kAdministratorPassword = "correct horse battery staple";

// How `troth` is run for a user of a cell.
struct TrothOptions {
  std::string input;      // its whole standard input
  std::string as = "me";  // whose credentials: a file of its own for each name
};

struct LiveCellOptions {
  std::map<std::string, std::string> environment;  // for every server, e.g. TROTH_FAILPOINTS
  std::string address;            // where all servers listen; empty: a loopback address of its own
  std::string network_namespace;  // of all servers, as of ProcessOptions
};

// Not safe from several threads. The destructor kills what runs and removes all files.
class LiveCell {
 public:
  // Makes the cell; nothing runs yet.
  [[nodiscard]] static common::Result<std::unique_ptr<LiveCell>> create(
      const LiveCellOptions& options = {});
  LiveCell(const LiveCell&) = delete;
  LiveCell& operator=(const LiveCell&) = delete;

  // Starts a server and returns once it says READY=1; the failure quotes what it said instead.
  common::Status start(std::string_view role);
  common::Status start_all();
  // SIGTERM, and waits for a clean end; the failure says how it ended, or that it did not in time.
  common::Status terminate(std::string_view role, std::chrono::nanoseconds within = kPatience);

  // A server that was started; kill(), stop(), resume() and signal() it as you like, and start() it
  // again when it is dead.
  [[nodiscard]] Process& process(std::string_view role);
  [[nodiscard]] NotifySocket& notify(std::string_view role);

  [[nodiscard]] std::filesystem::path directory() const { return files_ / "cell"; }
  [[nodiscard]] std::filesystem::path role_directory(std::string_view role) const {
    return directory() / role;
  }
  [[nodiscard]] std::filesystem::path config(std::string_view role) const;
  // The loopback address that all servers of this cell listen on.
  [[nodiscard]] const std::string& address() const { return address_; }
  // "address:port" of a server's RPC listener and of its health listener.
  [[nodiscard]] std::string listen(std::string_view role) const;
  [[nodiscard]] std::string health_listen(std::string_view role) const;

  // How a server of this cell is started; to start one differently.
  [[nodiscard]] ProcessOptions options_for(std::string_view role) const;
  // Runs `troth <arguments>` as a user of this cell.
  [[nodiscard]] common::Result<CommandResult> troth(const std::vector<std::string>& arguments,
                                                    const TrothOptions& options = {}) const;
  // Where the credentials of that user lie.
  [[nodiscard]] std::filesystem::path credentials(std::string_view as = "me") const {
    return files_ / fmt::format("{}.cred", as);
  }

 private:
  struct Server {
    std::optional<Process> process;
    std::optional<NotifySocket> notify;
    unsigned starts = 0;
  };

  explicit LiveCell(LiveCellOptions options);
  common::Status make();

  TempDir files_;
  LiveCellOptions options_;
  std::string address_;
  std::map<std::string, Server, std::less<>> servers_;
};

}  // namespace test_support
