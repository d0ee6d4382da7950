#pragma once

// From a received request to its answer: decodes the request head, admits or refuses the call, runs
// the handler, encodes. Internal to the server.

#include <atomic>
#include <memory>

#include "common/log/seldom.hpp"
#include "common/rpc/http_engine.hpp"
#include "common/rpc/server_connection.hpp"

namespace common::rpc {

class Dispatcher {
 public:
  explicit Dispatcher(ServerShared& shared);
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  // Answers the request that advance() announced with Step::Request, or parks it. Called by the
  // worker that has claimed the connection; runs the handler, so it takes as long as that. A call
  // that was parked must have its turn (see WokenCalls).
  void execute(ServerConnection& connection);

  // Who has no session shares the room for small calls with those who have one, but gets no more
  // than half of it: strangers cannot starve them.
  enum class Caller : std::uint8_t { Known, Stranger };

  // Room for one more call of a class; gives it back when it goes. A call has it until its reply
  // has been delivered: a caller who reads slowly holds a thread just as a slow handler does.
  class Slot {
   public:
    Slot(Dispatcher& dispatcher, OperationClass kind, Caller caller);
    ~Slot();
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

    [[nodiscard]] bool admitted() const { return admitted_; }

   private:
    std::atomic<std::size_t>& count_;
    std::atomic<std::size_t>* strangers_ = nullptr;
    bool counted_ = true;
    bool admitted_ = false;
  };

  // Failures of this server itself that strangers met: how many of them are in the log one by one.
  [[nodiscard]] log::Seldom& failures_before_strangers() { return failures_before_strangers_; }

  // The operation's result, or why there is none. For the exchange, which has the slot.
  Result<Reply> run(Call& call, const Operation& operation, const Slot& slot);
  Result<Reply> run_admitted(Call& call, const Operation& operation);

 private:
  [[nodiscard]] std::size_t cap(OperationClass kind) const {
    return InFlight::cap(shared_.limits, kind);
  }

  ServerShared& shared_;
  HttpEngine engine_;
  std::atomic<std::size_t> strangers_{0};  // of those in Metadata
  log::Seldom failures_before_strangers_{std::chrono::seconds(1), 10};
};

}  // namespace common::rpc
