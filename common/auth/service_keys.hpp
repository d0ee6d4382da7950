#pragma once

// A service's keytab while the service runs: read at the start, again when told to, and again when
// somebody shows a ticket for a key that we have not seen yet (it was rotated a moment ago).

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/log/seldom.hpp"
#include "common/result.hpp"
#include "common/rpc/operations.hpp"
#include "common/sync/mutex.hpp"
#include "common/ticket/verifier.hpp"

namespace common::auth {

// How often strangers can make us look at the file: a kvno in a ticket is anybody's to write.
inline constexpr std::chrono::seconds kLookAgain{1};
// How often they can make us write that a ticket does not open.
inline constexpr std::chrono::seconds kTellAgain{60};

// Safe from any thread. The clock outlives it.
class ServiceKeys {
 public:
  // Reads the keytab. The failure is one line that names the file and says what to do.
  static Result<std::shared_ptr<ServiceKeys>> load(std::string path, std::string cell,
                                                   std::string service, const Clock& clock);
  // Whether load() would succeed. Changes nothing.
  static Status check(const std::string& path, const std::string& cell, const std::string& service);

  // Reads the file again; on failure the old keys stay in use. Blocks on the disk.
  Status reload() EXCLUDES(reading_, mutex_);

  // Looks at the file if `request` names a key that is newer than all we have, at most once in
  // kLookAgain. What is wrong with the request or the file is for others to say.
  void look_again_for(ByteView request) EXCLUDES(reading_, mutex_);

  // `request` was refused. If that was because a ticket for this very service does not open,
  // whoever looks after the service must hear of it: a line in the log, at most one in kTellAgain,
  // since anybody can write such tickets.
  void note_refused(ByteView request, const std::string& from) EXCLUDES(mutex_);

  [[nodiscard]] const std::shared_ptr<ticket::Verifier>& verifier() const { return verifier_; }

  // `<role>/auth` with these keys; `keys` lives as long as the operation.
  static rpc::Operation operation(std::string role, std::shared_ptr<ServiceKeys> keys);

 private:
  ServiceKeys(std::string path, const Clock& clock, std::shared_ptr<ticket::Verifier> verifier)
      : path_(std::move(path)), clock_(clock), verifier_(std::move(verifier)) {}

  const std::string path_;
  const Clock& clock_;
  const std::shared_ptr<ticket::Verifier> verifier_;
  Mutex reading_;  // one reads the file at a time, so that an older one never replaces a newer
  Mutex mutex_;
  std::uint32_t newest_ GUARDED_BY(mutex_) = 0;
  bool looked_ GUARDED_BY(mutex_) = false;
  Instant looked_at_ GUARDED_BY(mutex_){};
  log::Seldom tells_{kTellAgain};
};

}  // namespace common::auth
