#include "cli/files/interrupt.hpp"

#include <atomic>

namespace cli {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

std::atomic<common::rpc::Cancellation*> current{nullptr};
std::atomic<int> caught{0};
std::atomic<bool> only_once{false};

void on_signal(int number) {
  if (caught.exchange(number) != 0 && only_once) {
    // Somebody means it.
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    ::sigaction(number, &standard, nullptr);
    ::raise(number);
    return;
  }
  if (auto* cancellation = current.load())
    cancellation->cancel();
}

}  // namespace

InterruptScope::InterruptScope(common::rpc::Cancellation& cancellation, bool shell)
    : shell_(shell) {
  caught = 0;
  only_once = !shell;
  current = &cancellation;
  struct sigaction action {};
  action.sa_handler = &on_signal;
  for (int i = 0; i < 3; ++i) {
    ::sigaction(kSignals[i], nullptr, &before_[i]);
    // What the caller of the program has switched off stays so (nohup).
    if (before_[i].sa_handler != SIG_IGN)
      ::sigaction(kSignals[i], &action, nullptr);
  }
}

void InterruptScope::restore() {
  if (restored_)
    return;
  restored_ = true;
  for (int i = 0; i < 3; ++i)
    ::sigaction(kSignals[i], &before_[i], nullptr);
  current = nullptr;
}

InterruptScope::~InterruptScope() {
  restore();
}

int InterruptScope::ended(int code) {
  constexpr int kBySignal = 128;
  restore();
  const int number = caught.load();
  if (number == 0)
    return code;
  if (!shell_ || number != SIGINT)
    ::raise(number);
  return kBySignal + number;
}

}  // namespace cli
