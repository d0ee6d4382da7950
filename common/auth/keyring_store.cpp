// The kernel's keyring of a uid, by system call: no library is worth a dependency for five calls.

#include <linux/keyctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "common/auth/credential_codec.hpp"
#include "common/auth/credential_store.hpp"

namespace common::auth {
namespace {

constexpr const char* kKeyType = "user";
// What a key of this type may hold.
constexpr std::size_t kMaxPayload = 32767;
// The owner may do everything, nobody else anything; possession is not asked for, because a user's
// keyring is not possessed by every session of his.
constexpr unsigned long kOwnerOnly = 0x3f3f0000;

// The id of our key in the user's keyring; negative with errno.
long find_key(const std::string& name) {
  return ::syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, kKeyType, name.c_str(), 0);
}

tl::unexpected<Error> refused_by_kernel(int error, std::string_view doing) {
  if (error == ENOSYS || error == EPERM || error == EACCES) {
    return fail(ErrorCode::Unsupported,
                "cannot {} the kernel's keyring: it is not permitted here; unset "
                "TROTH_CREDENTIALS to use a file",
                doing);
  }
  return fail_errno(error, "{} the kernel's keyring", doing);
}

bool is_missing(int error) {
  return error == ENOKEY || error == EKEYEXPIRED || error == EKEYREVOKED;
}

class KeyringStore final : public CredentialStore {
 public:
  explicit KeyringStore(std::string name) : name_(std::move(name)) {}

  [[nodiscard]] Result<crypto::Secret> read() const override {
    const long key = find_key(name_);
    if (key < 0 && is_missing(errno))
      return fail(ErrorCode::NotFound, "the kernel's keyring holds no credentials");
    if (key < 0)
      return refused_by_kernel(errno, "search");
    crypto::Secret room(kMaxPayload);
    const auto into = room.writable();
    const long got = ::syscall(SYS_keyctl, KEYCTL_READ, key, into.data(), into.size());
    if (got < 0)
      return refused_by_kernel(errno, "read");
    if (static_cast<std::size_t>(got) > kMaxPayload)
      return fail(ErrorCode::Corrupt, "the key {} is too long", name_);
    return crypto::Secret::copy_of(room.bytes().first(static_cast<std::size_t>(got)));
  }

  Status write(const StoreLock&, ByteView bytes) override {
    if (bytes.size() > kMaxPayload)
      return fail(ErrorCode::TooLarge, "the tickets are too large for the kernel's keyring");
    const long key = ::syscall(SYS_add_key, kKeyType, name_.c_str(), bytes.data(), bytes.size(),
                               KEY_SPEC_USER_KEYRING);
    if (key < 0)
      return refused_by_kernel(errno, "write to");
    if (::syscall(SYS_keyctl, KEYCTL_SETPERM, key, kOwnerOnly) != 0)
      return refused_by_kernel(errno, "close");
    return {};
  }

  Status wipe() override {
    const long key = find_key(name_);
    if (key < 0)
      return is_missing(errno) ? Status() : refused_by_kernel(errno, "search");
    if (::syscall(SYS_keyctl, KEYCTL_REVOKE, key) != 0)
      return refused_by_kernel(errno, "empty");
    static_cast<void>(::syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_USER_KEYRING));
    return {};
  }

  // A key is replaced in one step; two processes that renew at once both succeed.
  Result<StoreLock> lock(Instant) override { return StoreLock(); }

  [[nodiscard]] std::string where() const override { return "the kernel's keyring"; }

 private:
  const std::string name_;
};

}  // namespace

Result<std::unique_ptr<CredentialStore>> open_keyring_store(std::string_view cell) {
  auto store = std::make_unique<KeyringStore>("troth:" + std::string(cell));
  // Whether we may use it at all; missing is fine.
  if (find_key("troth:") < 0 && !is_missing(errno))
    return refused_by_kernel(errno, "use");
  return store;
}

}  // namespace common::auth
