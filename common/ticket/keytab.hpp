#pragma once

// The file that holds a service's or host's keys, and the keys while a program has them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.hpp"
#include "common/crypto/secret.hpp"
#include "common/result.hpp"
#include "common/ticket/time.hpp"

namespace common::ticket {

// Far more than rotation ever leaves alive at once; what has ended is dropped.
inline constexpr std::size_t kMaxKeytabKeys = 16;
inline constexpr std::size_t kMaxKeytabBytes = 4096;

// The keys of one principal, oldest first. One thread at a time, as any value; no file is touched
// but by load_keytab and save_keytab.
class Keytab {
 public:
  struct Entry {
    std::uint32_t kvno = 0;
    std::optional<Time> not_after;  // the first moment at which the key is no longer good
    crypto::Secret key;
  };

  Keytab(Keytab&&) noexcept = default;
  Keytab& operator=(Keytab&&) noexcept = default;
  Keytab(const Keytab&) = delete;
  Keytab& operator=(const Keytab&) = delete;
  ~Keytab() = default;

  // Empty. InvalidArgument for a cell or name that has not the right form.
  static Result<Keytab> make(std::string_view cell, std::string_view principal);

  // A key with a higher number than all before. AlreadyExists for a number not above the newest,
  // ResourceExhausted when there are kMaxKeytabKeys, InvalidArgument for another size of key.
  Status add(std::uint32_t kvno, crypto::Secret key, std::optional<Time> not_after = {});
  // Ends the key at `not_after`; NotFound if there is none of that number. Ending the newest is
  // allowed: afterwards nothing sealed with any key is good.
  Status retire(std::uint32_t kvno, Time not_after);
  // Destroys the keys that have ended; returns how many.
  std::size_t drop_ended(Time now);
  // Destroys one key; NotFound if there is none of that number.
  Status remove(std::uint32_t kvno);

  // The key of that number, if it has not ended; valid until the keytab changes.
  [[nodiscard]] const crypto::Secret* find(std::uint32_t kvno, Time now) const;
  // The entry of the highest number; null if there is none.
  [[nodiscard]] const Entry* newest() const;

  [[nodiscard]] const std::string& cell() const { return cell_; }
  [[nodiscard]] const std::string& principal() const { return principal_; }
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  // A second copy, on purpose.
  [[nodiscard]] Keytab clone() const;

 private:
  Keytab(std::string cell, std::string principal)
      : cell_(std::move(cell)), principal_(std::move(principal)) {}
  std::string cell_;
  std::string principal_;
  std::vector<Entry> entries_;
};

// The file's bytes, with a checksum. InvalidArgument for an empty keytab.
Result<crypto::Secret> encode_keytab(const Keytab& keytab);
// Corrupt if anything is wrong with the bytes.
Result<Keytab> decode_keytab(ByteView bytes);

// Reads a keytab. Refused unless the file is a regular one that belongs to the user this process
// runs as and that nobody else may read or write: PermissionDenied, with a sentence that names the
// file and the remedy. No symbolic link is followed in the last component. NotFound if it is
// missing, Corrupt if it is damaged or cut off.
Result<Keytab> load_keytab(const std::string& path);
// The same for who is going to replace it: root may look at the file of a daemon's own user.
Result<Keytab> load_keytab_of_others(const std::string& path);

// Replaces the file at once: another process or a crash finds the old one or the new one, whole.
// Owner, group and mode stay those of the old file, so that a daemon can read what root has
// rotated; a new one is ours, mode 0600. PermissionDenied, and the old file stays, if that cannot
// be. Durable when it returns success. One writer per path at a time.
Status save_keytab(const Keytab& keytab, const std::string& path);

}  // namespace common::ticket
