#include "common/daemon/server_certificate.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <span>

#include "common/cell/certificate_files.hpp"
#include "common/crypto/certificates.hpp"
#include "common/io/unique_fd.hpp"

namespace common::daemon {
namespace {

// A certificate with its key is about 2 KiB of PEM.
constexpr std::size_t kMaxPem = 16 * 1024;

constexpr std::string_view kRenew = "make a new one with `troth cell cert renew`";

// A whole small file, wiped when dropped: it may hold a key.
Result<crypto::Secret> read_pem(const std::string& path, std::string_view setting) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    return fail_errno(errno, "cannot read {} ([tls] {}); make it readable or name another file",
                      path, setting);
  }
  crypto::Secret buffer(kMaxPem);
  std::size_t filled = 0;
  for (;;) {
    const auto rest = buffer.writable().subspan(filled);
    if (rest.empty())
      return fail(ErrorCode::TooLarge, "{} is too large to be a PEM file", path);
    const ssize_t n = ::read(fd.get(), rest.data(), rest.size());
    if (n < 0)
      return fail_errno(errno, "cannot read {} ([tls] {})", path, setting);
    if (n == 0)
      break;
    filled += static_cast<std::size_t>(n);
  }
  return crypto::Secret::copy_of(buffer.bytes().first(filled));
}

std::string_view as_text(const crypto::Secret& secret) {
  const auto bytes = secret.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<crypto::Certificate> read_certificate(const std::string& path, std::string_view setting) {
  TROTH_TRY(const auto pem, read_pem(path, setting));
  auto certificate = crypto::Certificate::from_pem(as_text(pem));
  if (!certificate)
    return tl::unexpected<Error>(certificate.error().in(path));
  return certificate;
}

}  // namespace

Status check_private_file(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return fail_errno(errno, "cannot read {}; name an existing file or make it readable", path);
  }
  const bool group_may_read = info.st_uid == 0 && (info.st_mode & 030) == 0;
  if ((info.st_mode & 07) != 0 || ((info.st_mode & 070) != 0 && !group_may_read)) {
    return fail(ErrorCode::PermissionDenied,
                "{} can be used by other users (mode {:04o}); close it with: chmod 600 {}", path,
                info.st_mode & 07777, path);
  }
  return {};
}

namespace {

// How often a pair is read again because a renewal replaced it meanwhile. However slow the reader,
// nobody renews so often in a row.
constexpr int kReadAttempts = 1000;

// Which files there are, and as which they were written.
struct Versions {
  struct One {
    ino_t inode = 0;  // 0: there is none
    std::int64_t changed_s = 0;
    std::int64_t changed_ns = 0;
    bool operator==(const One&) const = default;
  };
  One certificate, key, waiting;
  bool operator==(const Versions&) const = default;
};

Versions versions_of(const CertificateFiles& files) {
  const auto one = [](const std::string& path) -> Versions::One {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0)
      return {};
    return {info.st_ino, info.st_ctim.tv_sec, info.st_ctim.tv_nsec};
  };
  return {one(files.certificate), one(files.key), one(cell::waiting_key_path(files.key))};
}

Result<crypto::PrivateKey> read_private_key(const std::string& path) {
  TROTH_TRY_VOID(check_private_file(path));
  TROTH_TRY(const auto pem, read_pem(path, "key"));
  auto key = crypto::PrivateKey::from_pem(pem);
  if (!key)
    return tl::unexpected<Error>(key.error().in(path));
  return key;
}

// The path of the key that belongs to the certificate.
Result<std::string> matching_key(const crypto::Certificate& certificate,
                                 const CertificateFiles& files) {
  const auto key = read_private_key(files.key);
  if (key && certificate.belongs_to(*key))
    return files.key;
  const std::string waiting = cell::waiting_key_path(files.key);
  if (const auto next = read_private_key(waiting); next && certificate.belongs_to(*next))
    return waiting;
  if (!key)
    return tl::unexpected<Error>(key.error());
  return fail(ErrorCode::InvalidArgument,
              "key {} does not belong to certificate {}; name the pair that was made together",
              files.key, files.certificate);
}

Result<CheckedCertificate> check_once(const CertificateFiles& files, std::string_view role,
                                      WallTime now) {
  TROTH_TRY(const auto authority, read_certificate(files.ca, "ca"));
  TROTH_TRY(const auto certificate, read_certificate(files.certificate, "certificate"));
  TROTH_TRY(std::string key, matching_key(certificate, files));
  const auto verified =
      crypto::verify_certificate(certificate, authority, {.now = now, .role = role});
  if (!verified) {
    const Error error = verified.error().in(files.certificate);
    return fail(error.code, "{}; authority {}; {}", error.message, files.ca, kRenew);
  }
  TROTH_TRY(const auto info, certificate.inspect());
  return CheckedCertificate{{info.not_before, info.not_after}, std::move(key)};
}

}  // namespace

Result<CheckedCertificate> check_server_certificate(
    const CertificateFiles& files, std::string_view role, WallTime now,
    const std::function<Status(const CertificateFiles&)>& use) {
  for (int attempt = 1;; ++attempt) {
    const Versions before = versions_of(files);
    auto checked = check_once(files, role, now);
    Status used;
    if (checked && use)
      used = use({files.certificate, checked->key, files.ca});
    if (checked && used)
      return checked;
    if (attempt == kReadAttempts || versions_of(files) == before)
      return checked ? tl::unexpected<Error>(used.error()) : std::move(checked);
  }
}

Result<ServerIdentity> read_server_certificate(const std::string& path) {
  TROTH_TRY(const auto certificate, read_certificate(path, "certificate"));
  TROTH_TRY(const auto info, certificate.inspect());
  ServerIdentity identity;
  if (info.identity)
    identity.cell_id = info.identity->cell_id;
  if (!info.addresses.empty())
    identity.any_name = info.addresses.front();
  if (!info.dns_names.empty())
    identity.any_name = info.dns_names.front();
  return identity;
}

}  // namespace common::daemon
