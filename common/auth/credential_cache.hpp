#pragma once

// A user's credentials for one cell, kept between commands.

#include <memory>
#include <string>
#include <vector>

#include "common/auth/credential_store.hpp"
#include "common/result.hpp"
#include "common/ticket/credential.hpp"

namespace common::auth {

// The store with its bytes understood. Safe from any thread; blocks on the disk.
class CredentialCache {
 public:
  static Result<std::shared_ptr<CredentialCache>> open(
      std::string_view cell, const StorePlaces& places = places_of_process());

  // NotFound: nobody is logged in. Everything else that is wrong is one line that says what to do.
  // The TGT comes first, if there is one.
  [[nodiscard]] Result<std::vector<ticket::Credential>> load() const;

  Result<StoreLock> lock(Instant deadline) { return store_->lock(deadline); }
  // A ticket that came straight from a key is not written, save the TGT: see kdc/PROTOCOL.md,
  // "fresh".
  Status save(const StoreLock& lock, const std::vector<ticket::Credential>& credentials);
  // Replaces what is there, whatever it is: for logging in.
  Status replace(const std::vector<ticket::Credential>& credentials, Instant deadline);
  // Waits for a renewal under way, which would else write its ticket after this. If that does not
  // end in time, what is there is wiped all the same, and the failure says so.
  Status wipe(Instant deadline);

  [[nodiscard]] std::string where() const { return store_->where(); }
  [[nodiscard]] const std::string& cell() const { return cell_; }

 private:
  CredentialCache(std::string cell, std::unique_ptr<CredentialStore> store)
      : cell_(std::move(cell)), store_(std::move(store)) {}
  const std::string cell_;
  const std::unique_ptr<CredentialStore> store_;
};

}  // namespace common::auth
