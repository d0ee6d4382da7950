#pragma once

// All connections of one server: who owns which, how many per address, and when each must go.
// Internal to the server.
//
// A connection is either parked (armed in an epoll set, nobody's) or claimed (one thread's). Only
// whoever claims it may touch it; the table's lock decides races between readiness and deadlines.
// One whose call has parked is claimed for a run of that call only; whatever happens to it before,
// its deadline and its peer's going away too, is a wake-up for the call.
// There are two epoll sets: until the handshake is done a connection is the reception's, and then
// the workers' for good.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/rpc/server_connection.hpp"
#include "common/sync/mutex.hpp"
#include "common/timer_queue.hpp"

namespace common::rpc {

class ConnectionTable {
 public:
  using Owned = std::unique_ptr<ServerConnection>;

  // `pressed` is asked whether idle connections should go early; called with the lock held, must
  // not block.
  ConnectionTable(ServerShared& shared, int handshake_epoll, int call_epoll,
                  std::function<bool()> pressed);

  // A new connection, parked for its first byte; or the reason why there is none, counted, and the
  // socket is closed.
  void add(UniqueFd socket, Origin origin) EXCLUDES(mutex_);

  // Hands the connection back, to be woken by `events` or ended by its phase's deadline. One whose
  // deadline has passed is ended here: a peer that is always just sending something would
  // otherwise never be parked when the sweeper looks.
  void park(ServerConnection& connection, std::uint32_t events) EXCLUDES(mutex_);

  // Hands back a connection whose call has parked, to be claimed once that is woken.
  void park_call(ServerConnection& connection) EXCLUDES(mutex_);

  // Who is about to shake hands; nullopt if it is gone.
  struct Newcomer {
    std::string unit;
    bool known = false;  // its address has a connection whose calls are answered
  };
  [[nodiscard]] std::optional<Newcomer> newcomer(std::uint64_t id) const EXCLUDES(mutex_);

  // Takes a parked connection that became ready; nullptr if it is gone or somebody else's, or if
  // its call has parked: then its peer has hung up, and the call is told.
  [[nodiscard]] ServerConnection* claim(std::uint64_t id) EXCLUDES(mutex_);

  // Takes the connection of a call that was woken, to run it; nullptr if it is gone.
  [[nodiscard]] ServerConnection* claim_woken(Parked& state) EXCLUDES(mutex_);

  // Destroys a claimed connection.
  void remove(ServerConnection& connection) EXCLUDES(mutex_);

  // Closes up to `count` connections idle for at least `idle_for`, longest idle first.
  std::size_t shed(std::size_t count, Duration idle_for = {}) EXCLUDES(mutex_);

  // Ends connections whose phase has overstayed; sleeps until the next may, until stop(). For the
  // sweeper's thread.
  void sweep_main() EXCLUDES(mutex_);

  // Wakes the sweeper soon, because pressure has changed.
  void pressure_changed() EXCLUDES(mutex_);

  // Ends sweep_main, closes what is parked, aborts what is claimed, wakes the calls that have
  // parked, admits nothing any more.
  void stop() EXCLUDES(mutex_);

  [[nodiscard]] std::size_t size() const EXCLUDES(mutex_);

 private:
  struct Entry {
    Owned connection;
    bool parked = false;
    bool secured = false;   // it is in the set for calls
    bool answered = false;  // it counts as such for its address
  };
  // One address, or one IPv6 site, for as long as it has connections.
  struct Unit {
    std::size_t connections = 0;
    std::size_t answered = 0;  // connections that have had a reply
    std::shared_ptr<AddressShare> share;
  };

  [[nodiscard]] Owned take_locked(ServerConnection& connection) REQUIRES(mutex_);
  // Take parked connections whose phase has overstayed, a batch at most, into what has room for
  // it, and note when to look again.
  void take_due_locked(Instant at, std::vector<Owned>& gone) REQUIRES(mutex_);
  void take_due_under_pressure_locked(Instant at, std::vector<Owned>& gone) REQUIRES(mutex_);
  void end_locked(ServerConnection& connection, std::vector<Owned>& gone) REQUIRES(mutex_);
  [[nodiscard]] bool set_deadline_locked(const ServerConnection& connection) REQUIRES(mutex_);
  void arm_locked(Entry& entry, std::uint32_t events) REQUIRES(mutex_);
  void count_cut(const ServerConnection& connection);
  void count_woken(Parked::Reason reason);
  void wake_by_locked(Instant when) REQUIRES(mutex_);

  ServerShared& shared_;
  const int handshake_epoll_;
  const int call_epoll_;
  const std::function<bool()> pressed_;
  const Duration granularity_;

  mutable Mutex mutex_;
  CondVar wake_;
  std::unordered_map<std::uint64_t, Entry> entries_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, Unit> per_unit_ GUARDED_BY(mutex_);
  // When each must go. Every call takes the lock twice, so the sweeper may hold it for what is due,
  // and not for all that there is.
  TimerQueue<std::uint64_t> deadlines_ GUARDED_BY(mutex_);
  std::uint64_t last_id_ GUARDED_BY(mutex_) =
      16;  // smaller ones name other things in the epoll set
  Instant wake_at_ GUARDED_BY(mutex_) = Instant::max();
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace common::rpc
