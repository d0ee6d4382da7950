#pragma once

// A call that waits for others without a thread: what its handler keeps meanwhile, and how it is
// told to go on (PROTOCOL.md, "Parked calls").

#include <atomic>
#include <cstdint>
#include <memory>

#include "common/io/unique_fd.hpp"

namespace common::rpc {

class WokenList;
enum class OperationClass : std::uint8_t;

// The progress of one call, derived from by its handler:
//
//   Result<Reply> handle(Call& call) {
//     auto wait = std::static_pointer_cast<Wait>(call.parked());  // null in the first run
//     if (!wait)
//       wait = begin(call);                                 // registers itself where wake() is due
//     if (!wait->done() && !call.cancelled() && now() < call.deadline())
//       return call.park(wait);
//     ...
//   }
//
// A state belongs to the first call that parks with it, and to no other. The server drops it when
// the call has ended, however that came about: a handler need not be run again for that (the
// session has ended, memory is short). So what must be undone is undone by the destructor.
class Parked : public std::enable_shared_from_this<Parked> {
 public:
  Parked() = default;
  Parked(const Parked&) = delete;
  Parked& operator=(const Parked&) = delete;
  virtual ~Parked() = default;

  // Has the handler run again. Any thread, any time: before the handler has returned it is run
  // again as soon as it has parked; once the call has ended nothing happens. Again, before that
  // run has begun, is harmless; after it has, another run follows if the handler parks again.
  // Lock-free and never blocks, so callers may hold whatever they like. What was written before is
  // seen by that run.
  void wake() noexcept { wake(Reason::Call); }

  // The rest is the server's.

  enum class Reason : std::uint8_t { Call, Deadline, HangUp, Stop };
  void wake(Reason reason) noexcept;

  // Makes it the state of that connection's call; false: it is or was another's.
  [[nodiscard]] bool bind(const std::shared_ptr<WokenList>& woken, std::uint64_t connection,
                          OperationClass kind);
  // The handler has returned, and the connection can be claimed from now on. If the call has been
  // woken already it is in the list then: the worker looks there next, so nobody is signalled.
  void wait() noexcept;
  // The handler is about to run; why.
  Reason begin_run() noexcept;
  // The call has ended.
  void end() noexcept;
  // A wake-up came that no run has followed yet.
  [[nodiscard]] bool is_woken() const;

  [[nodiscard]] std::uint64_t connection() const { return owner_.load(std::memory_order_relaxed); }
  [[nodiscard]] OperationClass kind() const { return kind_; }

 private:
  friend class WokenList;
  bool set(std::uint32_t bits) noexcept;  // true: it is in the list now

  std::atomic<std::uint32_t> bits_{0};
  OperationClass kind_{};
  std::atomic<std::uint64_t> owner_{0};  // the connection, zero: none yet
  std::shared_ptr<WokenList> woken_;     // read by wake() only once wait() was called
  // While it is in the list: what owns it there, and who came before it (after take(): behind it).
  std::shared_ptr<Parked> self_;
  Parked* next_ = nullptr;
};

// Woken calls on their way to a worker, from any thread. Outlives the server for those who still
// hold states of it.
class WokenList {
 public:
  WokenList();
  ~WokenList() { close(); }
  WokenList(const WokenList&) = delete;
  WokenList& operator=(const WokenList&) = delete;

  // Takes a state in; signal() is to follow if nobody is about to look. Lock-free.
  void push(Parked& state) noexcept;
  [[nodiscard]] bool empty() const;

  // Takes all out: the first, in the order in which they came, and after each the next. For one
  // thread at a time.
  [[nodiscard]] std::shared_ptr<Parked> take() noexcept;
  [[nodiscard]] static std::shared_ptr<Parked> next(Parked& state) noexcept;

  // Drops what is in it, and whatever comes.
  void close() noexcept;

  // Readable after signal(), until heard().
  [[nodiscard]] int fd() const { return event_.get(); }
  void signal() noexcept;
  void heard() noexcept;

 private:
  UniqueFd event_;
  std::atomic<bool> signalled_{false};
  std::atomic<Parked*> newest_{nullptr};
};

}  // namespace common::rpc
