#include "common/rpc/pool.hpp"

#include <algorithm>

#include "common/rpc/jitter.hpp"

namespace common::rpc {
namespace {

// A connection used this recently is not asked whether it is still open.
constexpr std::chrono::milliseconds kTrusted{100};
// How long a caller waits for a connection before it looks at its cancellation again.
constexpr std::chrono::milliseconds kLook{50};

}  // namespace

Pool::Pool(PoolOptions options) : options_(std::move(options)) {
  // So that giving a connection back cannot run out of memory.
  calls_.idle.reserve(options_.idle_calls);
  bulk_.idle.reserve(options_.idle_bulk);
}

Pool::~Pool() = default;

void Pool::take_stale_locked(Clients& into) {
  const Instant oldest = now() - options_.max_idle;
  for (LaneState* lane : {&calls_, &bulk_}) {
    const auto fresh = std::find_if(lane->idle.begin(), lane->idle.end(),
                                    [&](const Idle& idle) { return idle.since >= oldest; });
    for (auto stale = lane->idle.begin(); stale != fresh; ++stale) {
      into.push_back(std::move(stale->client));
      --lane->open;
    }
    lane->idle.erase(lane->idle.begin(), fresh);
  }
}

void Pool::drop_idle() {
  Clients stale;
  const MutexLock lock(mutex_);
  take_stale_locked(stale);
}

Result<std::unique_ptr<Client>> Pool::acquire(const Request& request, Lane lane) {
  Clients stale;  // closed after the lock is given up
  MutexLock lock(mutex_);
  ++stats_.calls;
  LaneState& state = state_locked(lane);
  const std::size_t most = lane == Lane::Calls ? options_.calls : options_.bulk;
  take_stale_locked(stale);
  for (;;) {
    while (!state.idle.empty()) {
      Idle idle = std::move(state.idle.back());
      state.idle.pop_back();
      if (now() - idle.since < kTrusted || idle.client->still_open()) {
        return std::move(idle.client);
      }
      --state.open;
      stale.push_back(std::move(idle.client));
    }
    if (state.open < most) {
      if (const Duration down = down_until_ - now(); down > Duration::zero()) {
        return tl::unexpected(Error{ErrorCode::Unavailable,
                                    options_.client.host + " could not be reached just now",
                                    std::chrono::ceil<std::chrono::milliseconds>(down)});
      }
      auto fresh = std::make_unique<Client>(options_.client);
      ++state.open;
      return fresh;
    }
    if (request.cancellation != nullptr && request.cancellation->cancelled()) {
      return fail(ErrorCode::Cancelled, "the call was cancelled");
    }
    const Duration left = request.deadline - now();
    if (left <= Duration::zero()) {
      return fail(ErrorCode::DeadlineExceeded, "no connection to {} became free in time",
                  options_.client.host);
    }
    freed_.wait_for(mutex_, std::min<Duration>(left, kLook));
  }
}

void Pool::release(std::unique_ptr<Client> client, Lane lane) {
  const MutexLock lock(mutex_);
  LaneState& state = state_locked(lane);
  const std::size_t keep = lane == Lane::Calls ? options_.idle_calls : options_.idle_bulk;
  if (client->connected() && state.idle.size() < keep) {
    state.idle.push_back({std::move(client), now()});
  } else {
    --state.open;
  }
  freed_.notify_all();  // both lanes wait here; those of the other look and wait on
}

Status Pool::dial(Client& client, const Request& request) {
  const auto connected = client.connect(request.deadline, request.cancellation);
  const MutexLock lock(mutex_);
  ++stats_.dials;
  if (connected) {
    down_until_ = Instant{};
  } else {
    ++stats_.failed_dials;
    // A caller whose time was short has learnt nothing about the server.
    if (connected.error().code == ErrorCode::Unavailable && now() < request.deadline) {
      down_until_ = now() + jittered(options_.down_for);
    }
  }
  return connected;
}

CallResult Pool::call(const Request& request, Lane lane) {
  auto client = acquire(request, lane);
  if (!client)
    return {Outcome::NotSent, tl::unexpected(client.error())};
  try {
    CallResult result;
    Status dialled;
    if (!(*client)->connected())
      dialled = dial(**client, request);
    if (dialled) {
      result = (*client)->call(request);
    } else {
      (*client)->disconnect();
      result = {Outcome::NotSent, tl::unexpected(dialled.error())};
    }
    release(*std::move(client), lane);
    return result;
  } catch (...) {
    // Memory ran out, or a sink threw: the lane must not stay one connection short for good.
    if (*client) {
      (*client)->disconnect();
      release(*std::move(client), lane);
    }
    throw;
  }
}

PoolStats Pool::stats() const {
  const MutexLock lock(mutex_);
  PoolStats stats = stats_;
  stats.open = calls_.open + bulk_.open;
  stats.idle = calls_.idle.size() + bulk_.idle.size();
  return stats;
}

}  // namespace common::rpc
