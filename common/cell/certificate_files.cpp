#include "common/cell/certificate_files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>

#include "common/bytes.hpp"
#include "common/failpoint/failpoint.hpp"
#include "common/io/atomic_file.hpp"
#include "common/io/posix_file_io.hpp"
#include "common/io/unique_fd.hpp"

namespace common::cell {
namespace {

namespace fs = std::filesystem;
using crypto::Secret;

constexpr std::size_t kMaxPem = std::size_t{64} * 1024;

enum class Kind { Certificate, Key };

// The whole file, in memory that is wiped: keys and certificates alike.
Result<Secret> read_pem(const std::string& path, Kind kind) {
  // O_NONBLOCK: a FIFO in the file's place must not hold the program up.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid())
    return fail_errno(errno, "cannot read {}", path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0)
    return fail_errno(errno, "cannot read {}", path);
  if (!S_ISREG(info.st_mode) || info.st_size > static_cast<off_t>(kMaxPem))
    return fail(ErrorCode::InvalidArgument, "{} is not a PEM file", path);
  if (kind == Kind::Key && (info.st_mode & 077) != 0) {
    return fail(ErrorCode::PermissionDenied,
                "the key {} can be read by others than its owner; run: chmod 600 {}", path, path);
  }
  Secret content(static_cast<std::size_t>(info.st_size));
  std::span<std::byte> rest = content.writable();
  while (!rest.empty()) {
    const ssize_t n = ::read(fd.get(), rest.data(), rest.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return fail_errno(errno, "cannot read {}", path);
    if (n == 0)
      return fail(ErrorCode::IoError, "{} changed while it was read", path);
    rest = rest.subspan(static_cast<std::size_t>(n));
  }
  return content;
}

std::string key_path_of(const std::string& certificate_path) {
  return fs::path(certificate_path).replace_extension(".key").string();
}

// Where `path` lies and what it is called there.
struct Place {
  std::unique_ptr<io::PosixFileIo> directory;
  std::string name;
};
Result<Place> place_of(const std::string& path) {
  const fs::path whole(path);
  const std::string parent = whole.has_parent_path() ? whole.parent_path().string() : ".";
  auto directory = io::PosixFileIo::open_root(parent);
  if (!directory)
    return fail(directory.error().code, "cannot write {}: {}", path, directory.error().message);
  return Place{*std::move(directory), whole.filename().string()};
}

// The owner of `like`, who may be a server's own user while root renews, and `mode`.
Status take_over(const std::string& like, const std::string& temporary, mode_t mode) {
  struct stat old {};
  if (::lstat(like.c_str(), &old) == 0 &&
      (old.st_uid != ::geteuid() || old.st_gid != ::getegid()) &&
      ::lchown(temporary.c_str(), old.st_uid, old.st_gid) != 0) {
    return fail_errno(errno, "give {} to the owner of {}", temporary, like);
  }
  if (::chmod(temporary.c_str(), mode) != 0)
    return fail_errno(errno, "set the mode of {}", temporary);
  return {};
}

// The new file belongs to the owner of `like`, if that exists.
Status write_file(const std::string& path, ByteView content, mode_t mode, const std::string& like) {
  TROTH_TRY(const Place place, place_of(path));
  const auto prepare = [&](const std::string& temporary) {
    return take_over(like, fs::path(path).replace_filename(temporary).string(), mode);
  };
  auto written = io::write_file_atomically(*place.directory, place.name, content, prepare);
  if (!written)
    return fail(written.error().code, "cannot write {}: {}", path, written.error().message);
  return {};
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

// --- Renewing with a new key --------------------------------------------------------------------
//
// Certificate and key are two files, and no file system replaces two at once. So the new key first
// waits as `<key>.next`; then the certificate is replaced, which is the moment of change; then the
// waiting key takes its place. At every moment one of the two keys belongs to the certificate, and
// whoever reads the pair takes that one.

// Holds off a second renewal in the same directory; ends with the process.
Result<UniqueFd> lock_directory_of(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  const std::string directory = parent.empty() ? "." : parent.string();
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid())
    return fail_errno(errno, "cannot open {}", directory);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(ErrorCode::Busy, "another renewal is at work in {}; try again when it has ended",
                directory);
  }
  return fd;
}

Status put_waiting_key_in_place(const std::string& key_path) {
  TROTH_TRY(const Place place, place_of(key_path));
  const auto renamed = place.directory->rename_durably(waiting_key_path(place.name), place.name);
  if (!renamed)
    return fail(renamed.error().code, "cannot write {}: {}", key_path, renamed.error().message);
  return {};
}

// Does what a renewal that was killed left to do, or undoes it.
Status finish_renewal(const crypto::Certificate& certificate, const std::string& key_path) {
  const std::string waiting = waiting_key_path(key_path);
  if (!exists(waiting))
    return {};
  if (const auto key = read_key(key_path); key && certificate.belongs_to(*key)) {
    if (::unlink(waiting.c_str()) != 0)
      return fail_errno(errno, "cannot remove {}", waiting);
    return {};
  }
  if (const auto key = read_key(waiting); key && certificate.belongs_to(*key))
    return put_waiting_key_in_place(key_path);
  return {};  // neither fits: nothing that could be lost
}

Status replace_key(const crypto::CertificateAndKey& authority,
                   const crypto::CertificateRequest& request, const std::string& certificate_path,
                   WallTime now) {
  const std::string key_path = key_path_of(certificate_path);
  TROTH_TRY(const auto issued, crypto::issue_certificate(authority, request, now));
  TROTH_TRY(const Secret pem, issued.key.to_pem());
  // A lost key's owner is that of the certificate.
  const std::string& like = exists(key_path) ? key_path : certificate_path;
  TROTH_TRY_VOID(write_file(waiting_key_path(key_path), pem.bytes(), 0600, like));
  TROTH_FAILPOINT("cell.renew.key_waits");
  TROTH_TRY_VOID(write_certificate(certificate_path, issued.certificate));
  TROTH_FAILPOINT("cell.renew.certificate_changed");
  return put_waiting_key_in_place(key_path);
}

}  // namespace

std::string waiting_key_path(const std::string& key_path) {
  return key_path + ".next";
}

Result<crypto::Certificate> read_certificate(const std::string& path) {
  TROTH_TRY(const Secret pem, read_pem(path, Kind::Certificate));
  auto certificate = crypto::Certificate::from_pem(as_text(pem.bytes()));
  if (!certificate)
    return tl::unexpected(certificate.error().in(path));
  return certificate;
}

Result<crypto::PrivateKey> read_key(const std::string& path) {
  TROTH_TRY(const Secret pem, read_pem(path, Kind::Key));
  auto key = crypto::PrivateKey::from_pem(pem);
  if (!key)
    return tl::unexpected(key.error().in(path));
  return key;
}

Result<crypto::CertificateAndKey> read_authority(const std::string& directory) {
  const std::string path = directory + "/ca/ca.crt";
  TROTH_TRY(crypto::Certificate certificate, read_certificate(path));
  auto key = read_key(key_path_of(path));
  if (!key && key.error().code == ErrorCode::NotFound) {
    return fail(ErrorCode::NotFound,
                "the authority's key {} is not here; run this where the cell's key is kept",
                key_path_of(path));
  }
  if (!key)
    return tl::unexpected(key.error());
  if (!certificate.belongs_to(*key))
    return fail(ErrorCode::InvalidArgument, "{} is not the key of {}", key_path_of(path), path);
  return crypto::CertificateAndKey{std::move(certificate), *std::move(key)};
}

Status write_certificate(const std::string& path, const crypto::Certificate& certificate) {
  TROTH_TRY(const std::string pem, certificate.to_pem());
  return write_file(path, as_bytes(pem), 0644, path);
}

Status write_key(const std::string& path, const crypto::PrivateKey& key) {
  TROTH_TRY(const Secret pem, key.to_pem());
  return write_file(path, pem.bytes(), 0600, path);
}

Result<IssuedFiles> issue_files(const crypto::CertificateAndKey& authority,
                                const crypto::CertificateRequest& request, const std::string& stem,
                                WallTime now) {
  const IssuedFiles files{.certificate = stem + ".crt", .key = stem + ".key"};
  for (const std::string& path : {files.certificate, files.key}) {
    if (exists(path)) {
      return fail(ErrorCode::AlreadyExists,
                  "{} exists already and is never overwritten; choose another name, or renew it",
                  path);
    }
  }
  TROTH_TRY(const auto issued, crypto::issue_certificate(authority, request, now));
  // The key first: a certificate without its key would look finished.
  TROTH_TRY_VOID(write_key(files.key, issued.key));
  if (auto written = write_certificate(files.certificate, issued.certificate); !written) {
    std::error_code ignored;
    fs::remove(files.key, ignored);
    return tl::unexpected(written.error());
  }
  return files;
}

Status renew_files(const crypto::CertificateAndKey& authority, const std::string& certificate_path,
                   RenewKey renew_key, WallTime now) {
  TROTH_TRY([[maybe_unused]] const UniqueFd lock, lock_directory_of(certificate_path));
  TROTH_TRY(const crypto::Certificate old, read_certificate(certificate_path));
  TROTH_TRY(const crypto::CertificateInfo info, old.inspect());
  // Judged by a moment at which it was valid: renewing an expired one is the point.
  const auto ours =
      crypto::verify_certificate(old, authority.certificate, {.now = info.not_before});
  if (!ours && ours.error().code == ErrorCode::Unauthenticated)
    return tl::unexpected(ours.error().in(certificate_path));
  TROTH_TRY(const crypto::CertificateRequest request, crypto::request_like(old));
  const std::string key_path = key_path_of(certificate_path);
  TROTH_TRY_VOID(finish_renewal(old, key_path));
  if (renew_key == RenewKey::Replace)
    return replace_key(authority, request, certificate_path, now);
  TROTH_TRY(const crypto::PrivateKey key, read_key(key_path));
  TROTH_TRY(const auto renewed, crypto::issue_certificate(authority, request, key, now));
  return write_certificate(certificate_path, renewed);
}

Result<CertificateReport> examine(const std::string& path, const crypto::Certificate& authority,
                                  WallTime now) {
  TROTH_TRY(const crypto::Certificate certificate, read_certificate(path));
  CertificateReport report;
  report.path = path;
  auto info = certificate.inspect();
  if (!info)
    return tl::unexpected(info.error().in(path));
  report.info = *std::move(info);
  report.days_left = crypto::days_left(report.info.not_after, now);
  report.verdict = crypto::verify_certificate(certificate, authority, {.now = now});
  return report;
}

std::vector<std::string> certificate_paths(const std::string& directory,
                                           const Description& description) {
  std::vector<std::string> paths{directory + "/ca/ca.crt"};
  for (const ServerEntry& server : description.servers) {
    const std::string path = fmt::format("{}/{}/server.crt", directory, server.role);
    if (exists(path))
      paths.push_back(path);
  }
  return paths;
}

}  // namespace common::cell
