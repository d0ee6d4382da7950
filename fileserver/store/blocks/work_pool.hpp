#pragma once

// Threads for hashing and compressing, shared by all volumes of a process.

#include <cstddef>
#include <functional>
#include <memory>

#include "common/result.hpp"

namespace fileserver::store {

class WorkPool {
 public:
  // `helpers` threads beside the callers' own (store-hash-N); 0 is fine. Default: cores less one.
  explicit WorkPool(std::size_t helpers);
  WorkPool();
  ~WorkPool();  // no call may be under way
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  // Runs task(0) ... task(count - 1), each once, on this thread and on helpers that are free, and
  // returns when all have ended: the error of the lowest index that failed, if any (later ones may
  // then not have run). Tasks must not wait for each other or call run(). Safe from any thread.
  [[nodiscard]] common::Status run(std::size_t count,
                                   const std::function<common::Status(std::size_t)>& task);

  [[nodiscard]] std::size_t threads() const;  // helpers and one caller

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace fileserver::store
