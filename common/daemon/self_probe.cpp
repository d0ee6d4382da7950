#include "common/daemon/self_probe.hpp"

#include <new>
#include <optional>

#include "common/rpc/client.hpp"

namespace common::daemon {

Result<std::unique_ptr<SelfProbe>> SelfProbe::start(Options options) {
  TROTH_TRY(auto tls, tls::ReloadableContext::make([ca = options.ca] {
              return tls::make_client({.ca = ca, .certificate = {}, .key = {}});
            }));
  return std::unique_ptr<SelfProbe>(new SelfProbe(std::move(options), std::move(tls)));
}

SelfProbe::SelfProbe(Options options, std::shared_ptr<tls::ReloadableContext> tls)
    : options_(std::move(options)), tls_(std::move(tls)), thread_([this] { run(); }) {}

SelfProbe::~SelfProbe() {
  cancellation_.cancel();
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void SelfProbe::run() {
  std::optional<rpc::Client> client;  // made anew after a failure
  do {
    try {
      if (!client) {
        client.emplace(rpc::ClientOptions{.host = options_.address,
                                          .port = options_.port,
                                          .server_name = options_.server_name,
                                          .tls = tls_});
      }
      rpc::Request request{.service = options_.role, .operation = "status"};
      request.deadline = rpc::now() + kProbeDeadline;
      request.cancellation = &cancellation_;
      const rpc::CallResult result = client->call(request);
      if (result.outcome == rpc::Outcome::Answered)
        options_.heartbeat->beat();
    } catch (const std::bad_alloc&) {
      // As good as no answer: the watchdog decides how long that may go on.
      client.reset();
    }
  } while (wait_for_next());
}

bool SelfProbe::wait_for_next() {
  const auto until = std::chrono::steady_clock::now() + options_.every;
  MutexLock lock(mutex_);
  while (!stopping_) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left <= std::chrono::steady_clock::duration::zero())
      return true;
    changed_.wait_for(mutex_, left);
  }
  return false;
}

}  // namespace common::daemon
