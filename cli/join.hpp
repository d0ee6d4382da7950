#pragma once

// Making this machine a client of a cell: what `troth cell join` does, apart from asking.
//
// The first connection believes nothing and brings the authority's certificate only. When a person
// (or --fingerprint) has said that it is the right one, a second connection verifies everything
// with it, and only what that one says is written.

#include <string>
#include <string_view>

#include "common/cell/description.hpp"
#include "common/clock.hpp"
#include "common/config/values.hpp"
#include "common/crypto/certificates.hpp"
#include "common/result.hpp"

namespace cli {

// What a stranger at that address says. Nothing of it is believed yet.
struct CellOffer {
  common::crypto::Certificate authority;
  common::crypto::Digest fingerprint{};  // SHA-256 of the certificate
  std::string cell_name;                 // of the description, and has a name's form
  std::string cell_id;                   // of the description; the second connection must prove it
};

// Asks the KDC at that address. Blocks until `deadline`.
common::Result<CellOffer> ask_for_cell(const common::config::Endpoint& kdc,
                                       common::Instant deadline);

// "1A2B 3C4D …": sixteen groups.
std::string fingerprint_text(const common::crypto::Digest& fingerprint);
// The same in any grouping: 64 hex digits, with spaces, colons or dashes between.
common::Result<common::crypto::Digest> parse_fingerprint(std::string_view text);
// Whether somebody typed the beginning of it, at least kTypedGroups groups, in any grouping.
bool begins_fingerprint(std::string_view typed, const common::crypto::Digest& fingerprint);
// 80 bits: nobody makes a second authority whose fingerprint begins alike.
inline constexpr std::size_t kTypedGroups = 5;

// Fetches the description over a verified connection and makes `directory` with cell.toml and
// ca/ca.crt, whole or not at all; never touches anything that exists. The description, on success.
common::Result<common::cell::Description> join_cell(const common::config::Endpoint& kdc,
                                                    const CellOffer& offer,
                                                    const std::string& directory,
                                                    common::Instant deadline, common::WallTime now);

}  // namespace cli
