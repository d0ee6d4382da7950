#pragma once

// What readers see, as a number: two reads that begin under the same one see the same rows.

#include <atomic>
#include <cstdint>

namespace common::db {

// Safe from any thread.
class ReadState {
 public:
  // 0: a commit is under way, or the outcome of one is not known: whoever begins to read now may
  // see it or not. Else a number that this process has for no other state of any database, so that
  // what was made under it stands as long as it is still the answer.
  [[nodiscard]] std::uint64_t now() const { return value_.load(); }

  // Around a COMMIT, by the writer.
  class Change {
   public:
    explicit Change(ReadState& state) : state_(state) { state_.value_.store(0); }
    ~Change() {
      if (!unknown_)
        state_.value_.store(next());
    }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;
    // It stays 0.
    void outcome_unknown() { unknown_ = true; }

   private:
    ReadState& state_;
    bool unknown_ = false;
  };

 private:
  static std::uint64_t next() {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1) + 1;
  }
  std::atomic<std::uint64_t> value_{next()};
};

}  // namespace common::db
