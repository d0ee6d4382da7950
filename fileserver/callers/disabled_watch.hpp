#pragma once

// The thread that keeps a DisabledList as the KDC has it.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "common/clock.hpp"
#include "common/sync/mutex.hpp"
#include "fileserver/callers/disabled_list.hpp"

namespace fileserver {

struct DisabledWatchOptions {
  // From one answer or failure to the next question, a quarter more or less by chance: servers of a
  // cell that were started together do not ask together.
  std::chrono::milliseconds every{10'000};
  DisabledList::Ask ask;  // bounded in time
  // After each answer, in the thread: who was not disabled before.
  std::function<void(std::span<const PrincipalId> newly)> told;
  std::function<void()> beat;  // a sign of life of the thread
};

// Safe from any thread.
class DisabledWatch {
 public:
  // Asks at once. The list and the clock outlive it.
  DisabledWatch(DisabledWatchOptions options, DisabledList& list, const common::Clock& clock);
  ~DisabledWatch();  // waits for a question that is under way
  DisabledWatch(const DisabledWatch&) = delete;
  DisabledWatch& operator=(const DisabledWatch&) = delete;

  // Asks no more. Does not wait.
  void stop() EXCLUDES(mutex_);

  // How long ago the KDC said what the list says; while it never has, since the beginning.
  [[nodiscard]] common::Duration age() const EXCLUDES(mutex_);
  [[nodiscard]] std::uint64_t failures() const EXCLUDES(mutex_);
  // Why the last question was not answered; none: it was.
  [[nodiscard]] std::optional<std::string> trouble() const EXCLUDES(mutex_);

 private:
  void run() EXCLUDES(mutex_);
  void ask_once() EXCLUDES(mutex_);
  [[nodiscard]] common::Duration pause() const;

  const DisabledWatchOptions options_;
  DisabledList& list_;
  const common::Clock& clock_;
  mutable common::Mutex mutex_;
  common::CondVar wake_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  common::Instant known_at_ GUARDED_BY(mutex_);
  std::uint64_t failures_ GUARDED_BY(mutex_) = 0;
  std::optional<std::string> trouble_ GUARDED_BY(mutex_);
  std::thread thread_;  // last: it uses the others
};

}  // namespace fileserver
