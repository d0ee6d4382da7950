#pragma once

// The event loop under StreamServer and StreamClient: one thread, one epoll set, tens of thousands
// of links. Waits on CLOCK_BOOTTIME, so that a machine that slept finds its leases run out at
// once. Internal to common/stream.
//
// Everything but post(), start() and stop() belongs to the loop's thread, which is where the owner
// is called. An owner never acts on another link from within a call: it posts.

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/clock.hpp"
#include "common/io/unique_fd.hpp"
#include "common/result.hpp"
#include "common/stream/link.hpp"
#include "common/sync/locked.hpp"
#include "common/timer_queue.hpp"

namespace common::stream {

// What another thread asks of the loop.
struct Command {
  enum class Kind : std::uint8_t { Send, Broadcast, Goodbye, Acknowledge, Call };
  Kind kind = Kind::Call;
  std::uint64_t id = 0;
  std::shared_ptr<const Bytes> frame;  // Send, Broadcast: a whole Message frame
  Goodbye goodbye;                     // Goodbye
  std::uint64_t number = 0;            // Acknowledge
  std::function<void(Instant)> call;   // Call
};

class LoopOwner {
 public:
  LoopOwner() = default;
  LoopOwner(const LoopOwner&) = delete;
  LoopOwner& operator=(const LoopOwner&) = delete;
  virtual ~LoopOwner() = default;

  // The handshake is done: the owner must begin() the link with a core.
  virtual void on_secured(Link& link, Instant now) = 0;
  // One effect of the link's core. What calls to the core add goes to `more`.
  virtual void on_effect(Link& link, Effect effect, Instant now, Effects& more) = 0;
  // The link is about to be destroyed; once for each. Its Closed effect, if any, has been given.
  virtual void on_gone(Link& link, Instant now) = 0;
  // A command of another thread that the loop does not do by itself (all but Call).
  virtual void on_command(Command command, Instant now) = 0;
  // The watched descriptor is ready.
  virtual void on_watched(Instant now) = 0;
  // At the end of each turn; returns when the owner wants a turn by time alone.
  virtual Instant on_turn(Instant now) = 0;
};

class Loop {
 public:
  // `owner` and `clock` outlive the loop.
  Loop(LoopOwner& owner, const Clock& clock);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Makes the descriptors and the thread `name`. Call once.
  Status start(const char* name);
  // Ends the thread after its current turn; links are destroyed without a word. From any other
  // thread, repeatable.
  void stop();

  // From any thread, never blocks. Overloaded when the loop is that far behind, Cancelled after
  // stop(). Commands of one thread are done in order.
  Status post(Command command);

  // Reports readability of one descriptor (a listener) while `on`.
  void watch(int fd, bool on);

  // Takes a connected or connecting socket. Its id is chosen by the owner, unique for good, above
  // kFirstId.
  Status add(std::unique_ptr<Link> link, Instant now);
  [[nodiscard]] Link* find(std::uint64_t id);
  // After the owner has used a link's core outside of on_effect(): acts on what came of it.
  void settle(Link& link, Effects& effects, Instant now);
  // Ends a link at once. Owners use it for links that have no core yet.
  void drop(std::uint64_t id, Instant now);
  // Calls `visit` for each link; it may settle() that link but not add or drop others.
  void for_each(const std::function<void(Link&)>& visit);
  [[nodiscard]] std::size_t links() const { return links_.size(); }

  static constexpr std::uint64_t kFirstId = 16;

 private:
  struct Mailbox {
    std::vector<Command> commands;
    std::size_t bytes = 0;
    bool closed = false;
  };

  void loop_main();
  void turn(std::span<const epoll_event> events);
  void serve_link(std::uint64_t id, Instant now);
  void serve_hungry(Instant now);
  void serve_mailbox(Instant now);
  void serve_timers(Instant now);
  void arm_timer(Instant when);
  void remove(Link& link, Instant now);
  // Short memory costs a link its life and not the process its own: what a link has not been told
  // for want of memory it learns by dialling again.
  template <typename Act>
  void guarded(std::uint64_t id, Instant now, Act act);
  void abandon(std::uint64_t id, Instant now) noexcept;
  void abandon_all(Instant now) noexcept;

  LoopOwner& owner_;
  const Clock& clock_;
  UniqueFd epoll_;
  UniqueFd wakeup_;
  UniqueFd timer_;
  std::thread thread_;
  Locked<Mailbox> mailbox_;

  // Only the loop's thread touches what follows.
  std::unordered_map<std::uint64_t, std::unique_ptr<Link>> links_;
  TimerQueue<std::uint64_t> timers_;
  std::vector<std::uint64_t> hungry_;
  std::vector<std::byte> scratch_;
  Instant armed_ = Instant::max();
  bool stopping_ = false;
};

}  // namespace common::stream
