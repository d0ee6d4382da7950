#pragma once

// Ctrl-C during a command that works with files.

#include <csignal>

#include "common/rpc/cancellation.hpp"

namespace cli {

// While it lives, SIGINT, SIGTERM and SIGHUP cancel what is under way instead of ending the
// process; a second one ends it, unless the shell goes on. One at a time, main thread.
class InterruptScope {
 public:
  InterruptScope(common::rpc::Cancellation& cancellation, bool shell);
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
  ~InterruptScope();

  // The command has ended with that code. If a signal ended it, the process ends by that signal, as
  // whoever waits for it expects; in the shell, 128 and its number.
  int ended(int code);

 private:
  void restore();
  const bool shell_;
  bool restored_ = false;
  struct sigaction before_[3]{};
};

}  // namespace cli
