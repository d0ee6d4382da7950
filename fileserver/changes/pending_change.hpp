#pragma once

// A change between its first run and its answer: what a parked call keeps. Internal to the
// pipeline.

#include <atomic>

#include "common/rpc/parked.hpp"
#include "fileserver/changes/change.hpp"
#include "fileserver/sessions/promise_keeper.hpp"

namespace fileserver {

class PendingChange final : public common::rpc::Parked, public ChangeWaiter {
 public:
  PendingChange(PromiseKeeper& keeper, std::unique_ptr<Change> change)
      : keeper_(keeper), change_(std::move(change)), id_(keeper.new_change()) {}
  // Gives up what it has marked: whatever became of its call, no mark stays.
  ~PendingChange() override {
    if (marked_ && state_.load() != State::Expired)
      static_cast<void>(keeper_.end_change(id_, nullptr));
  }

  enum class State : std::uint8_t { Waiting, Ready, Expired };
  [[nodiscard]] State state() const { return state_.load(); }
  // Before the core is asked: its answer may come at any time.
  void waits() { state_.store(State::Waiting); }
  void is_ready() { state_.store(State::Ready); }
  void settled(bool ready) override {
    state_.store(ready ? State::Ready : State::Expired);
    wake();
  }

  [[nodiscard]] Change& change() { return *change_; }
  [[nodiscard]] ChangeId id() const { return id_; }

  void marked() { marked_ = true; }
  // Its marks stay when it is gone: whether it was committed nobody can say before the volume has
  // been opened anew (R20).
  void leave_marks() {
    marked_ = false;
    keeper_.leave_change(id_, change_->volume().id());
  }
  // It ends by `news`, or by being given up.
  PromiseCore::Ended end(ChangeNewsPtr news) {
    marked_ = false;
    return keeper_.end_change(id_, std::move(news));
  }

  // Of the pipeline, from run to run.
  Change::Look look;
  std::optional<store::OperationKey> key;
  int extensions = 0;
  int repetitions = 0;

 private:
  PromiseKeeper& keeper_;
  std::unique_ptr<Change> change_;
  const ChangeId id_;
  bool marked_ = false;
  std::atomic<State> state_{State::Ready};
};

}  // namespace fileserver
