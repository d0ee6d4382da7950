#pragma once

// Calls our own `status` as a client would, so that the watchdog knows that calls are answered and
// not only that threads exist.

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "common/daemon/heartbeats.hpp"
#include "common/result.hpp"
#include "common/rpc/cancellation.hpp"
#include "common/sync/mutex.hpp"
#include "common/tls/context.hpp"

namespace common::daemon {

// How often, and how long one call may take.
inline constexpr std::chrono::seconds kProbeEvery{5};
inline constexpr std::chrono::seconds kProbeDeadline{3};

// One thread with one kept connection. Beats after each answer, whatever the answer says.
class SelfProbe {
 public:
  struct Options {
    std::string address;  // numeric; where we listen, not "any"
    std::uint16_t port = 0;
    std::string server_name;  // a name in our own certificate
    std::string role;
    std::string ca;
    Heartbeat* heartbeat = nullptr;
    std::chrono::milliseconds every = kProbeEvery;
  };
  static Result<std::unique_ptr<SelfProbe>> start(Options options);

  SelfProbe(const SelfProbe&) = delete;
  SelfProbe& operator=(const SelfProbe&) = delete;
  ~SelfProbe();  // ends a call in progress

  // After the certificates were read anew.
  Status reload() { return tls_->reload(); }

 private:
  SelfProbe(Options options, std::shared_ptr<tls::ReloadableContext> tls);
  void run();
  // False: stopping.
  bool wait_for_next();

  Options options_;
  std::shared_ptr<tls::ReloadableContext> tls_;
  rpc::Cancellation cancellation_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace common::daemon
