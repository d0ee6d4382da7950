#include "kdc/decoy.hpp"

#include "common/crypto/hkdf.hpp"

namespace kdc {

using common::Bytes;
using common::ByteView;
using common::Result;
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

Result<Decoy> make_decoy(common::db::ReadTx& tx, const Secret& secret, const std::string& cell,
                         const std::string& name) {
  // 32 bytes key, 16 bytes salt, 4 bytes that choose the donor.
  TROTH_TRY(const Secret made,
            common::crypto::hkdf_sha256(secret.bytes(), {}, common::as_bytes(name), 32 + 16 + 4));
  const ByteView bytes = made.bytes();
  Decoy decoy{
      .salt = {}, .key = Secret::copy_of(bytes.first(32)), .donor = kNobody, .donor_kvno = 0};
  decoy.salt = password_salt(cell, name, bytes.subspan<32, 16>());
  std::uint32_t point = 0;
  for (const std::byte b : bytes.subspan(48, 4))
    point = point << 8U | std::to_integer<std::uint32_t>(b);
  // Somewhere among the users, then the next one from there, round the end.
  TROTH_TRY(auto row,
            tx.query("WITH range AS (SELECT min(principal) AS low, max(principal) AS high FROM key "
                     "INDEXED BY key_of_users WHERE purpose = 1 AND state = 1) "
                     "SELECT principal, kvno, log2_n, r, p FROM key INDEXED BY key_of_users, range "
                     "WHERE purpose = 1 AND state = 1 AND "
                     "principal >= low + ?1 % (high - low + 1) ORDER BY principal LIMIT 1",
                     point));
  TROTH_TRY(const bool exists, row.step());
  if (!exists)
    return decoy;
  decoy.donor = Id(static_cast<std::uint32_t>(row.column_uint64(0)));
  decoy.donor_kvno = static_cast<Kvno>(row.column_uint64(1));
  TROTH_TRY(decoy.parameters, ScryptParameters::make(static_cast<unsigned>(row.column_uint64(2)),
                                                     static_cast<unsigned>(row.column_uint64(3)),
                                                     static_cast<unsigned>(row.column_uint64(4))));
  return decoy;
}

}  // namespace kdc
