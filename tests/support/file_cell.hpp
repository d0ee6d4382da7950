#pragma once

// A real cell with a file server, users of it, and mounts of theirs.

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "tests/support/file_mount.hpp"
#include "tests/support/live_cell.hpp"

namespace test_support {

struct FileCellOptions {
  std::chrono::milliseconds lease{10'000};
  std::string fileserver_failpoints;
  std::string access_log = "off";
  std::chrono::milliseconds ask_every{10'000};     // who is disabled
  std::map<std::string, std::string> environment;  // for every server
  // Where all servers listen, and in which network: as of LiveCellOptions. The caller must reach
  // it.
  std::string address;
  std::string network_namespace;
};

// Failures of the set-up throw: doctest reports them as the test's failure.
class FileCell {
 public:
  explicit FileCell(const FileCellOptions& options = {});

  [[nodiscard]] LiveCell& cell() { return *cell_; }
  // The administrator's volume "data", made at the start.
  [[nodiscard]] std::uint32_t volume() const { return volume_; }
  [[nodiscard]] nlohmann::json root() const { return {volume_, 1}; }

  // A new user with this name.
  void add_user(const std::string& name, const std::string& password);
  // By the administrator: from now on he gets no tickets, and those that he has end.
  void disable_user(const std::string& name) { set_disabled(name, "disable"); }
  void enable_user(const std::string& name) { set_disabled(name, "enable"); }
  // A new host, "host/desk7", by its keytab.
  [[nodiscard]] FileServerAddress add_host(const std::string& name);
  [[nodiscard]] FileServerAddress address(
      const std::string& user = std::string(kAdministrator),
      const std::string& password = std::string(kAdministratorPassword)) const;
  // Of a cell whose directory this is, as another process knows it.
  [[nodiscard]] static FileServerAddress address_in(const std::string& directory,
                                                    const std::string& host);
  // The administrator's tickets, which live so long; he can get no more while `may_log_in` says so.
  [[nodiscard]] std::shared_ptr<common::auth::CredentialSource> short_tickets(
      std::chrono::milliseconds life, std::function<bool()> may_log_in) const;
  // With an open session and a stream.
  [[nodiscard]] std::unique_ptr<FileMount> mount() const;
  [[nodiscard]] std::unique_ptr<FileMount> mount(FileServerAddress address) const;
  // Kills the file server and starts it again.
  void restart();
  // The same with a server that is told to stop, and does.
  void restart_in_order();

 private:
  void set_disabled(const std::string& name, const std::string& word);
  // `troth WORDS`, which asks for the administrator's password first.
  void administer(std::vector<std::string> words, const std::string& input = {});

  std::unique_ptr<LiveCell> cell_;
  std::string id_;
  std::shared_ptr<common::tls::ReloadableContext> tls_;
  std::uint32_t volume_ = 0;
};

}  // namespace test_support
