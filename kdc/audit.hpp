#pragma once

// Reading, checking, trimming the audit log, and records of what is no change.

#include <optional>
#include <string>
#include <vector>

#include "common/sync/mutex.hpp"
#include "kdc/core.hpp"

namespace kdc {

// Records of logins and tickets wait here for a common transaction; then callers write themselves.
inline constexpr std::size_t kMostNoted = 1024;
// How long records are kept, and how many (some 300 bytes each).
inline constexpr Millis kAuditKept = std::chrono::days(400);
inline constexpr std::uint64_t kMostAudit = 10'000'000;

struct AuditVerdict {
  bool ok = false;
  std::uint64_t first = 0;  // oldest record kept
  std::uint64_t last = 0;
  std::uint64_t broken = 0;  // the first record that does not fit, if not ok
  std::string why;
};

struct AuditQuery {
  std::uint64_t after = 0;  // seq
  std::size_t limit = 1000;
  std::string event;    // empty: any
  std::string subject;  // of a record's subject or actor; empty: any
};

// Safe from any thread.
class AuditLog {
 public:
  explicit AuditLog(Core& core) : core_(core) {}

  // Records and returns when it is committed.
  [[nodiscard]] common::Status record(AuditRecord record);
  // Keeps it for the next flush(), where equal ones become one with a count; at the latest with the
  // kMostNoted-th, those that are being written included. Failing means that it could not be kept:
  // the ticket must not leave, then.
  // `at` is filled in.
  [[nodiscard]] common::Status note(AuditRecord record);
  // The same for what a caller can be refused as often as he likes: beyond some it is only counted
  // (refusals.hpp).
  [[nodiscard]] common::Status refused(AuditRecord record);
  // Called from housekeeping. One at a time: others wait for it.
  [[nodiscard]] common::Status flush();
  // Before closing: with what was counted, too.
  [[nodiscard]] common::Status flush_all();

  [[nodiscard]] common::Result<std::vector<AuditRecord>> list(const AuditQuery& query);
  struct Range {
    std::uint64_t first = 0;  // oldest record kept
    std::uint64_t last = 0;
  };
  [[nodiscard]] common::Result<Range> range();
  // Walks the whole chain. Takes a while; others go on.
  [[nodiscard]] common::Result<AuditVerdict> verify();
  // Removes the records before `before` and all but the newest `most`; the chain goes on from an
  // anchor. True: more is left to do.
  [[nodiscard]] common::Result<bool> trim(Time before, std::uint64_t most);

 private:
  enum class Limited : std::uint8_t { No, Yes };
  [[nodiscard]] common::Status note(AuditRecord record, Limited limited);
  [[nodiscard]] common::Status flush(Refusals::Which counted);

  struct Noted {
    std::vector<AuditRecord> records;
    std::size_t writing = 0;  // more, which a flush() has taken and may have to put back
    [[nodiscard]] bool full() const { return records.size() + writing >= kMostNoted; }
  };

  Core& core_;
  common::Mutex flush_mutex_;  // held over a commit; noted_ is taken inside, never the other way
  common::Locked<Noted> noted_;
};

}  // namespace kdc
