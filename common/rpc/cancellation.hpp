#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "common/io/unique_fd.hpp"

namespace common::rpc {

// Lets one thread end another's waiting. cancel() is final, safe from any thread and from signal
// handlers, and never blocks.
class Cancellation {
 public:
  Cancellation() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  void cancel() {
    const std::uint64_t one = 1;
    (void)!::write(event_.get(), &one, sizeof one);
  }
  [[nodiscard]] bool cancelled() const {
    pollfd poll_fd{event_.get(), POLLIN, 0};
    return ::poll(&poll_fd, 1, 0) > 0;
  }
  // Readable once cancelled; to be polled beside a socket.
  [[nodiscard]] int fd() const { return event_.get(); }

 private:
  UniqueFd event_;
};

}  // namespace common::rpc
