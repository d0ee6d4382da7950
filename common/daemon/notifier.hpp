#pragma once

// Tells the service manager how we are, by the datagrams that sd_notify(3) describes.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "common/io/unique_fd.hpp"
#include "common/result.hpp"

namespace common::daemon {

// Used by the main thread only. Never blocks: a manager that does not read loses the message.
class Notifier {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. Without a manager it does nothing and is
  // no error; a NOTIFY_SOCKET that is neither a path nor "@name" is InvalidArgument.
  static Result<Notifier> from_environment();
  // The same with the values given; empty: not set.
  static Result<Notifier> make(std::string_view socket, std::string_view watchdog_usec,
                               std::string_view watchdog_pid);

  [[nodiscard]] bool connected() const { return socket_.valid(); }

  void ready();
  void reloading();  // to be followed by ready()
  void stopping();
  // One line for `systemctl status`; newlines in it become spaces. Sent only when it has changed.
  void status(std::string_view text);
  // Proof of life.
  void watchdog();

  // How often the manager wants watchdog(), if at all: half of what it allows.
  [[nodiscard]] std::optional<std::chrono::milliseconds> watchdog_interval() const {
    return watchdog_interval_;
  }

 private:
  void send(std::string_view message);

  UniqueFd socket_;
  std::string address_;  // sockaddr_un bytes
  std::optional<std::chrono::milliseconds> watchdog_interval_;
  std::string last_status_;
};

}  // namespace common::daemon
