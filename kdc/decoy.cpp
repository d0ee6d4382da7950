#include "kdc/decoy.hpp"

#include <fmt/format.h>

#include "common/crypto/hkdf.hpp"

namespace kdc {

using common::Bytes;
using common::ByteView;
using common::Result;
using common::Status;
using common::crypto::ScryptParameters;
using common::crypto::Secret;

Bytes password_salt(std::string_view cell, std::string_view name,
                    std::span<const std::byte, 16> random) {
  Bytes salt;
  for (const std::string_view part : {cell, name}) {
    const ByteView bytes = common::as_bytes(part);
    salt.insert(salt.end(), bytes.begin(), bytes.end());
    salt.push_back(std::byte{0});
  }
  salt.insert(salt.end(), random.begin(), random.end());
  return salt;
}

namespace {

// The first user from `point` on: users stand on a ring, each where a multiple of his id puts him.
// So somebody who comes or goes changes the donor of the names before him, and of no others.
Result<common::db::Statement> users_from(common::db::ReadTx& tx, std::uint32_t point) {
  return tx.query(
      "SELECT principal, kvno, log2_n, r, p FROM key INDEXED BY ring_of_users "
      "WHERE purpose = 1 AND state = 1 AND (principal * 2654435761) & 4294967295 >= ?1 "
      "ORDER BY (principal * 2654435761) & 4294967295 LIMIT 1",
      point);
}

Status take_donor(common::db::ReadTx& tx, std::uint32_t point, Decoy& decoy) {
  // Both are looked for always: the names before the end are no cheaper.
  TROTH_TRY(auto row, users_from(tx, point));
  TROTH_TRY(bool exists, row.step());
  TROTH_TRY(auto first, users_from(tx, 0));
  TROTH_TRY(const bool any, first.step());
  if (!exists) {
    row = std::move(first);
    exists = any;
  }
  if (!exists)
    return {};
  decoy.donor = Id(static_cast<std::uint32_t>(row.column_uint64(0)));
  decoy.donor_kvno = static_cast<Kvno>(row.column_uint64(1));
  TROTH_TRY(decoy.parameters, ScryptParameters::make(static_cast<unsigned>(row.column_uint64(2)),
                                                     static_cast<unsigned>(row.column_uint64(3)),
                                                     static_cast<unsigned>(row.column_uint64(4))));
  return {};
}

}  // namespace

Result<Decoy> make_decoy(common::db::ReadTx& tx, const Secret& secret, const std::string& cell,
                         const std::string& name) {
  // 32 bytes key, 4 bytes that choose the donor.
  TROTH_TRY(const Secret made,
            common::crypto::hkdf_sha256(secret.bytes(), {}, common::as_bytes(name), 32 + 4));
  const ByteView bytes = made.bytes();
  Decoy decoy{
      .salt = {}, .key = Secret::copy_of(bytes.first(32)), .donor = kNobody, .donor_kvno = 0};
  std::uint32_t point = 0;
  for (const std::byte b : bytes.subspan(32, 4))
    point = point << 8U | std::to_integer<std::uint32_t>(b);
  TROTH_TRY_VOID(take_donor(tx, point, decoy));
  // A name has no NUL, so this is no other name's.
  std::string donor = name + '\0';
  donor += fmt::format("{} {}", decoy.donor.value, decoy.donor_kvno);
  TROTH_TRY(const Secret random,
            common::crypto::hkdf_sha256(secret.bytes(), {}, common::as_bytes(donor), 16));
  decoy.salt = password_salt(cell, name, random.bytes().first<16>());
  return decoy;
}

}  // namespace kdc
