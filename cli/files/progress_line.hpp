#pragma once

// How far a transfer is, on one line of the terminal that is written again and again; nothing where
// standard error is no terminal.

#include <optional>
#include <string>
#include <thread>

#include "common/clock.hpp"
#include "common/fileclient/transfer/progress.hpp"
#include "common/sync/mutex.hpp"

namespace cli {

namespace fileclient = common::fileclient;

// What the line says. Pure. `moved`: bytes since `since`, from which the speed comes.
struct ProgressState {
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
  std::uint64_t bytes_resumed = 0;
  std::uint64_t files_done = 0;
  std::uint64_t files_total = 0;
  bool totals_known = false;
  std::string current;
};
[[nodiscard]] std::string progress_text(const ProgressState& state, std::uint64_t bytes_per_second,
                                        std::size_t width);

// Shows while it lives. `quiet`: not even on a terminal. Main thread, with a thread of its own.
class ProgressLine {
 public:
  ProgressLine(fileclient::Progress& progress, bool quiet);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine();

  // Prints a line of its own, above.
  void say(const std::string& line) EXCLUDES(mutex_);

 private:
  void run() EXCLUDES(mutex_);
  void show_locked() REQUIRES(mutex_);
  void clear_locked() REQUIRES(mutex_);

  fileclient::Progress& progress_;
  const bool shows_;
  common::Mutex mutex_;
  common::CondVar ended_;
  bool stop_ GUARDED_BY(mutex_) = false;
  bool visible_ GUARDED_BY(mutex_) = false;
  // Of the last seconds, so that the speed is the present one.
  common::Instant from_ GUARDED_BY(mutex_){};
  std::uint64_t bytes_then_ GUARDED_BY(mutex_) = 0;
  std::uint64_t speed_ GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace cli
