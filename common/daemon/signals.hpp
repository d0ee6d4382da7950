#pragma once

#include <optional>

#include "common/io/unique_fd.hpp"
#include "common/result.hpp"

namespace common::daemon {

enum class Signal : std::uint8_t {
  Stop,    // SIGTERM, SIGINT
  Reload,  // SIGHUP
};

// Signals as events. Made before any other thread, which then inherits the mask:
// the signals are blocked everywhere and read here, by one thread. SIGPIPE is ignored.
class Signals {
 public:
  static Result<Signals> take_over();

  // Readable when next() has something.
  [[nodiscard]] int fd() const { return fd_.get(); }
  // Does not wait.
  [[nodiscard]] std::optional<Signal> next();

 private:
  explicit Signals(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace common::daemon
