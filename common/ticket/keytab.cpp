#include "common/ticket/keytab.hpp"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "common/crypto/hash.hpp"
#include "common/io/atomic_file.hpp"
#include "common/io/posix_file_io.hpp"
#include "common/io/unique_fd.hpp"
#include "common/ticket/codec.hpp"
#include "common/ticket/keys.hpp"
#include "common/wire/binary.hpp"

namespace common::ticket {
namespace {

using codec::Type;

constexpr std::uint8_t kKeytabVersion = 1;

Status check_keytab_name(std::string_view principal) {
  TROTH_TRY(const Kind kind, kind_of(principal));
  if (kind == Kind::User)
    return fail(ErrorCode::InvalidArgument, "a user has a password, not a keytab");
  return {};
}

Status append(Keytab& keytab, wire::BinaryReader& in) {
  TROTH_TRY(const std::uint32_t kvno, in.u32());
  TROTH_TRY(const auto not_after, codec::take_optional_time(in));
  TROTH_TRY(const ByteView key, in.fixed(kKeyBytes));
  return keytab.add(kvno, crypto::Secret::copy_of(key), not_after);
}

Result<Keytab> decode_checked(ByteView content) {
  wire::BinaryReader in(content);
  TROTH_TRY_VOID(codec::take_header(in, kKeytabVersion, Type::Keytab));
  TROTH_TRY(const std::string_view cell, codec::take_cell(in));
  TROTH_TRY(const std::string_view principal, codec::take_text(in, kMaxPrincipalName));
  TROTH_TRY(Keytab keytab, Keytab::make(cell, principal));
  TROTH_TRY(const std::uint32_t count, in.u32());
  if (count == 0 || count > kMaxKeytabKeys)
    return fail(ErrorCode::Protocol, "{} keys", count);
  for (std::uint32_t i = 0; i < count; ++i)
    TROTH_TRY_VOID(append(keytab, in));
  TROTH_TRY_VOID(in.finish());
  return keytab;
}

// The open file if it is one that only its owner could have written: ourselves, or with `anybodys`
// whoever it is.
Status check_file(const struct stat& info, const std::string& path, bool anybodys) {
  if (!S_ISREG(info.st_mode))
    return fail(ErrorCode::PermissionDenied, "{} is not a regular file", path);
  if (info.st_uid != ::geteuid() && !anybodys) {
    return fail(ErrorCode::PermissionDenied,
                "{} belongs to uid {}, and this process runs as uid {}: chown it", path,
                info.st_uid, ::geteuid());
  }
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return fail(ErrorCode::PermissionDenied,
                "{} holds keys and has mode {:04o}: chmod 600 it, and rotate the keys if somebody "
                "else may have read them",
                path, info.st_mode & 07777);
  }
  if (info.st_size < 0 || static_cast<std::size_t>(info.st_size) > kMaxKeytabBytes)
    return fail(ErrorCode::Corrupt, "{} is too long to be a keytab", path);
  return {};
}

Status read_exactly(int fd, std::span<std::byte> into, const std::string& path) {
  while (!into.empty()) {
    const ssize_t got = ::read(fd, into.data(), into.size());
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return fail_errno(errno, "read {}", path);
    if (got == 0)
      return fail(ErrorCode::Corrupt, "{} was cut off while it was read", path);
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

Result<Keytab> load(const std::string& path, bool anybodys) {
  // Not blocking: a FIFO in its place must not hang the service before it is refused.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid()) {
    if (errno == ELOOP)
      return fail(ErrorCode::PermissionDenied, "{} is a symbolic link; name the file itself", path);
    return fail_errno(errno, "open {}", path);
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0)
    return fail_errno(errno, "stat {}", path);
  TROTH_TRY_VOID(check_file(info, path, anybodys));
  crypto::Secret bytes(static_cast<std::size_t>(info.st_size));
  TROTH_TRY_VOID(read_exactly(fd.get(), bytes.writable(), path));
  auto keytab = decode_keytab(bytes.bytes());
  if (!keytab)
    return tl::unexpected<Error>(std::move(keytab).error().in(path));
  return keytab;
}

// Gives the new file, which nobody else has touched yet, to whom the old one belongs. By
// descriptor: the directory may be that owner's, who must not lead us to another file.
Status take_over(const std::string& old_path, const std::string& new_path) {
  struct stat old {};
  if (::lstat(old_path.c_str(), &old) != 0)
    return errno == ENOENT ? Status() : fail_errno(errno, "look at {}", old_path);
  if (!S_ISREG(old.st_mode))
    return fail(ErrorCode::PermissionDenied, "{} is not a regular file", old_path);
  const UniqueFd fd(::open(new_path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat made {};
  if (!fd.valid() || ::fstat(fd.get(), &made) != 0)
    return fail_errno(errno, "open {}", new_path);
  if (!S_ISREG(made.st_mode) || made.st_nlink != 1 || made.st_uid != ::geteuid())
    return fail(ErrorCode::PermissionDenied, "somebody else has changed {}", new_path);
  // The mode first, while it is ours: and never more than the owner's part of it.
  if (::fchmod(fd.get(), old.st_mode & S_IRWXU) != 0)
    return fail_errno(errno, "set the mode of {}", new_path);
  if ((made.st_uid != old.st_uid || made.st_gid != old.st_gid) &&
      ::fchown(fd.get(), old.st_uid, old.st_gid) != 0)
    return fail_errno(errno, "give {} to the owner of {}", new_path, old_path);
  return {};
}

}  // namespace

Result<Keytab> Keytab::make(std::string_view cell, std::string_view principal) {
  TROTH_TRY_VOID(check_cell_id(cell));
  TROTH_TRY_VOID(check_keytab_name(principal));
  return Keytab(std::string(cell), std::string(principal));
}

Status Keytab::add(std::uint32_t kvno, crypto::Secret key, std::optional<Time> not_after) {
  if (kvno == 0 || key.size() != kKeyBytes || !codec::encodable(not_after))
    return fail(ErrorCode::InvalidArgument, "not a key that a keytab can hold");
  if (!entries_.empty() && kvno <= entries_.back().kvno) {
    return fail(ErrorCode::AlreadyExists, "key {} of {} is not newer than {}", kvno, principal_,
                entries_.back().kvno);
  }
  if (entries_.size() >= kMaxKeytabKeys)
    return fail(ErrorCode::ResourceExhausted, "{} has {} keys already", principal_, kMaxKeytabKeys);
  entries_.push_back({kvno, not_after, std::move(key)});
  return {};
}

Status Keytab::retire(std::uint32_t kvno, Time not_after) {
  if (not_after == Time{} || !codec::encodable(not_after))
    return fail(ErrorCode::InvalidArgument, "not a time at which a key can end");
  for (Entry& entry : entries_) {
    if (entry.kvno == kvno) {
      entry.not_after = not_after;
      return {};
    }
  }
  return fail(ErrorCode::NotFound, "{} has no key {}", principal_, kvno);
}

std::size_t Keytab::drop_ended(Time now) {
  return std::erase_if(
      entries_, [now](const Entry& entry) { return entry.not_after && now >= *entry.not_after; });
}

Status Keytab::remove(std::uint32_t kvno) {
  if (std::erase_if(entries_, [kvno](const Entry& entry) { return entry.kvno == kvno; }) == 0)
    return fail(ErrorCode::NotFound, "{} has no key {}", principal_, kvno);
  return {};
}

const crypto::Secret* Keytab::find(std::uint32_t kvno, Time now) const {
  for (const Entry& entry : entries_) {
    if (entry.kvno == kvno && !(entry.not_after && now >= *entry.not_after))
      return &entry.key;
  }
  return nullptr;
}

const Keytab::Entry* Keytab::newest() const {
  return entries_.empty() ? nullptr : &entries_.back();
}

Keytab Keytab::clone() const {
  Keytab copy(cell_, principal_);
  for (const Entry& entry : entries_)
    copy.entries_.push_back({entry.kvno, entry.not_after, entry.key.clone()});
  return copy;
}

Result<crypto::Secret> encode_keytab(const Keytab& keytab) {
  if (keytab.entries().empty())
    return fail(ErrorCode::InvalidArgument, "a keytab without keys");
  crypto::Secret room(kMaxKeytabBytes);
  codec::SecretWriter out(room.writable());
  codec::put_header(out, kKeytabVersion, Type::Keytab);
  out.text(keytab.cell()).text(keytab.principal());
  out.u32(static_cast<std::uint32_t>(keytab.entries().size()));
  for (const Keytab::Entry& entry : keytab.entries())
    out.u32(entry.kvno).u64(codec::number(entry.not_after)).fixed(entry.key.bytes());
  TROTH_TRY(const std::size_t content, out.size());
  TROTH_TRY(const crypto::Digest checksum, crypto::sha256(room.bytes().first(content)));
  TROTH_TRY(const std::size_t size, out.fixed(checksum).size());
  return crypto::Secret::copy_of(room.bytes().first(size));
}

Result<Keytab> decode_keytab(ByteView bytes) {
  constexpr std::size_t kChecksum = sizeof(crypto::Digest);
  if (bytes.size() < kChecksum || bytes.size() > kMaxKeytabBytes)
    return fail(ErrorCode::Corrupt, "{} bytes are not a keytab", bytes.size());
  const ByteView content = bytes.first(bytes.size() - kChecksum);
  TROTH_TRY(const crypto::Digest expected, crypto::sha256(content));
  if (!crypto::constant_time_equal(expected, bytes.last(kChecksum)))
    return fail(ErrorCode::Corrupt, "the checksum does not match");
  auto keytab = decode_checked(content);
  if (!keytab)
    return fail(ErrorCode::Corrupt, "not a keytab: {}", keytab.error().message);
  return keytab;
}

Result<Keytab> load_keytab(const std::string& path) {
  return load(path, false);
}

Result<Keytab> load_keytab_of_others(const std::string& path) {
  return load(path, ::geteuid() == 0);
}

Status save_keytab(const Keytab& keytab, const std::string& path) {
  TROTH_TRY(const crypto::Secret bytes, encode_keytab(keytab));
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  // Its new files are 0600 from their first moment.
  TROTH_TRY(const auto io, io::PosixFileIo::open_root(directory));
  return io::write_file_atomically(*io, name, bytes.bytes(), [&](const std::string& temporary) {
    return take_over(path, directory + "/" + temporary);
  });
}

}  // namespace common::ticket
