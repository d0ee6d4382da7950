#pragma once

// Where a user's credentials lie between commands: a private file, or the kernel's keyring. Knows
// nothing of what the bytes mean.

#include <memory>
#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/crypto/secret.hpp"
#include "common/io/unique_fd.hpp"
#include "common/result.hpp"

namespace common::auth {

// Held while credentials are read, renewed and written, so that two processes do not renew at once.
// Released when destroyed, or when the process ends.
class StoreLock {
 public:
  StoreLock() = default;
  explicit StoreLock(UniqueFd fd) : fd_(std::move(fd)) {}

 private:
  UniqueFd fd_;
};

// One cell's credentials of one local user. Safe from any thread; each method blocks on the disk,
// lock() until its deadline as well. Every failure is one sentence that says what to do.
class CredentialStore {
 public:
  CredentialStore() = default;
  CredentialStore(const CredentialStore&) = delete;
  CredentialStore& operator=(const CredentialStore&) = delete;
  virtual ~CredentialStore() = default;

  // NotFound if there is nothing; PermissionDenied if what is there may be somebody else's work.
  [[nodiscard]] virtual Result<crypto::Secret> read() const = 0;
  // Replaces what is there, whole.
  virtual Status write(const StoreLock& lock, ByteView bytes) = 0;
  // Overwrites and removes; nothing there is success.
  virtual Status wipe() = 0;
  virtual Result<StoreLock> lock(Instant deadline) = 0;
  // For people: the path, or "the kernel's keyring".
  [[nodiscard]] virtual std::string where() const = 0;
};

// How the place is found; tests name other roots.
struct StorePlaces {
  std::string variable;                    // $TROTH_CREDENTIALS: a path, "keyring", or empty
  std::string runtime_root = "/run/user";  // <root>/<uid>/troth/<cell>.cred
  std::string fallback_root = "/tmp";      // <root>/troth-<uid>/<cell>.cred
};

// As $TROTH_CREDENTIALS of this process says.
StorePlaces places_of_process();

// The store of this process's effective uid. Nothing is made yet. The failure says why a place
// cannot be trusted.
Result<std::unique_ptr<CredentialStore>> open_store(std::string_view cell,
                                                    const StorePlaces& places);

// In the kernel's keyring of this uid. Unsupported where the kernel or a container forbids it.
Result<std::unique_ptr<CredentialStore>> open_keyring_store(std::string_view cell);

}  // namespace common::auth
