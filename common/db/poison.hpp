#pragma once

// The one-way switch of a store whose state is no longer known.

#include <atomic>
#include <new>

#include "common/result.hpp"
#include "common/sync/locked.hpp"

namespace common::db {

// Set once, by a failed sync, a failed commit or a damaged page; from then on check() refuses. Only
// opening the database anew, which verifies it, gets rid of it. Safe from any thread.
class Poison {
 public:
  // The first reason is kept. Does not throw.
  void set(const Error& why) {
    auto reason = reason_.lock();
    if (set_.load(std::memory_order_relaxed))
      return;
    try {
      *reason = why;
    } catch (const std::bad_alloc&) {
      reason->code = why.code;  // it holds without its sentence
    }
    set_.store(true, std::memory_order_release);
  }

  [[nodiscard]] bool is_set() const { return set_.load(std::memory_order_acquire); }

  // Corrupt or IoError with the first reason, once set.
  [[nodiscard]] Status check() {
    if (!is_set())
      return {};
    Error error = *reason_.lock();
    if (error.code != ErrorCode::Corrupt)
      error.code = ErrorCode::IoError;
    error.message = "no more writes until this database is opened again and verified, because: " +
                    error.message;
    return tl::unexpected(std::move(error));
  }

 private:
  std::atomic<bool> set_{false};
  Locked<Error> reason_;
};

}  // namespace common::db
