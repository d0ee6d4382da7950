#include "common/auth/credential_cache.hpp"

#include "common/auth/credential_codec.hpp"

namespace common::auth {
namespace {

// What stands for a password typed a moment ago: it stays in the process that asked for it.
bool proves_a_key(const ticket::Credential& credential) {
  return credential.validity.initial && credential.service != ticket::kTgsService;
}

}  // namespace

Result<std::shared_ptr<CredentialCache>> CredentialCache::open(std::string_view cell,
                                                               const StorePlaces& places) {
  TROTH_TRY(auto store, open_store(cell, places));
  return std::shared_ptr<CredentialCache>(new CredentialCache(std::string(cell), std::move(store)));
}

Result<std::vector<ticket::Credential>> CredentialCache::load() const {
  const auto bytes = store_->read();
  if (!bytes && bytes.error().code == ErrorCode::NotFound)
    return fail(ErrorCode::NotFound, "you are not logged in; log in with: troth login");
  if (!bytes)
    return tl::unexpected(bytes.error());
  TROTH_TRY(const BootId boot, io::current_boot());
  auto credentials = decode_credentials(bytes->bytes(), cell_, boot);
  if (!credentials) {
    return fail(credentials.error().code, "the credentials in {} are {}; log in again: troth login",
                where(), credentials.error().message);
  }
  return credentials;
}

Status CredentialCache::save(const StoreLock& lock,
                             const std::vector<ticket::Credential>& credentials) {
  TROTH_TRY(const BootId boot, io::current_boot());
  std::vector<ticket::Credential> kept;
  for (const ticket::Credential& credential : credentials) {
    if (!proves_a_key(credential))
      kept.push_back(credential.clone());
  }
  TROTH_TRY(const crypto::Secret bytes, encode_credentials(cell_, boot, kept));
  return store_->write(lock, bytes.bytes());
}

Status CredentialCache::replace(const std::vector<ticket::Credential>& credentials,
                                Instant deadline) {
  TROTH_TRY(const StoreLock held, lock(deadline));
  return save(held, credentials);
}

Status CredentialCache::wipe(Instant deadline) {
  // Nothing to lock where nothing is: locking makes the directory.
  if (const auto bytes = store_->read(); !bytes && bytes.error().code == ErrorCode::NotFound)
    return store_->wipe();
  const auto held = lock(deadline);
  TROTH_TRY_VOID(store_->wipe());
  if (!held && held.error().code == ErrorCode::DeadlineExceeded)
    return tl::unexpected(held.error());
  return {};
}

}  // namespace common::auth
