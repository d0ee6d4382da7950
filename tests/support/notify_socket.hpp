#pragma once

// The service manager's side of readiness: a real NOTIFY_SOCKET, so that a test waits for a
// daemon's own word and for nothing else.

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/io/unique_fd.hpp"
#include "common/result.hpp"
#include "tests/support/patience.hpp"

namespace test_support {

// Not safe from several threads.
class NotifySocket {
 public:
  // Makes the socket `path`, which must not exist yet; it goes with the directory it lies in.
  [[nodiscard]] static common::Result<NotifySocket> open(const std::filesystem::path& path);

  // The value of NOTIFY_SOCKET for the daemon.
  [[nodiscard]] std::string path() const { return path_.string(); }

  // Waits for the next message with this line ("READY=1", "WATCHDOG=1", "STOPPING=1"); returns the
  // whole message. DeadlineExceeded lists the messages that did come.
  [[nodiscard]] common::Result<std::string> wait_for(std::string_view line,
                                                     std::chrono::nanoseconds timeout = kPatience);

  // Every message so far, in order.
  [[nodiscard]] const std::vector<std::string>& messages() const { return messages_; }

 private:
  NotifySocket(common::UniqueFd fd, std::filesystem::path path)
      : fd_(std::move(fd)), path_(std::move(path)) {}

  common::UniqueFd fd_;
  std::filesystem::path path_;
  std::vector<std::string> messages_;
};

// The value of `name=` in a message's STATUS line, as in "STATUS=serving listening=127.0.0.1:7480";
// none if it is not there. Values end at a blank.
[[nodiscard]] std::optional<std::string> status_field(std::string_view message,
                                                      std::string_view name);

}  // namespace test_support
